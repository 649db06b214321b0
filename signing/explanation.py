"""Why a signature was refused, shown: the base that was built here, and where another one differs.

A gateway's 401 returns the base that it built from what it received. The first
byte that differs from the signer's own names the component that was changed on
the way, or was spelled differently. Pure. Source: RFC 9421 §2.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import RequestRefused
from .request_parsing import parse_for_origins

if TYPE_CHECKING:
    from .message import Request

_EXCERPT_BYTES = 24  # on each side of the difference: enough to recognise the place on one line
# A name of other characters is not shown: a base that was handed in may hold what a terminal obeys.
_COMPONENT = re.compile(r'"(@?[a-z0-9!#$%&*+.^_`|~-]+)"[^:]*: ?')


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two signature bases differ.

    Attributes:
        offset: in bytes from the start, the same in both.
        line: from 1.
        component: the component of that line in our base, for example `content-digest`; empty
            when ours has no such line.
        ours: our bytes around the place, escaped.
        theirs: their bytes around the place, escaped.
    """

    offset: int
    line: int
    component: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        place = f'"{self.component}"' if self.component else "the end"
        return (
            f"first difference at byte {self.offset}, line {self.line}, in {place}\n"
            f"  ours:   {self.ours}\n  theirs: {self.theirs}"
        )


def signature_base(request: Request) -> bytes:
    """Return the signature base of a request that carries its signature fields.

    The signature itself is not looked at, and neither is the body.

    Raises:
        RequestRefused: the request is not of the profile, so it has no base; the message says why.
    """
    try:
        return parse_for_origins(request, None).signature_base
    except RequestRefused as error:
        if error.signature_base is not None:
            return error.signature_base
        raise


def first_difference(ours: bytes, theirs: bytes) -> Difference | None:
    """Return where two signature bases begin to differ; None if they are equal."""
    if ours == theirs:
        return None
    shorter = min(len(ours), len(theirs))
    offset = next((i for i in range(shorter) if ours[i] != theirs[i]), shorter)
    line_start = ours.rfind(b"\n", 0, offset) + 1
    line = ours[line_start:].partition(b"\n")[0].decode("latin-1")
    component = _COMPONENT.match(line)
    return Difference(
        offset=offset,
        line=ours.count(b"\n", 0, offset) + 1,
        component=component[1] if component is not None and offset < len(ours) else "",
        ours=_excerpt(ours, offset),
        theirs=_excerpt(theirs, offset),
    )


def explain(ours: bytes, theirs: bytes) -> str:
    """Say in words whether two signature bases are equal, and what to do next."""
    difference = first_difference(ours, theirs)
    if difference is None:
        return (
            "the bases are equal: the request arrived as it was signed, so look at the key. "
            "Was this key registered, and is this its private half?"
        )
    return f"{difference}\n{_ADVICE.get(difference.component, _ADVICE_OTHERWISE)}"


_ADVICE_OTHERWISE = "the request was changed between signing and the gateway, or is another one"
_ADVICE = {
    "@method": "the method was changed on the way, or a client library followed a redirect",
    "@target-uri": "sign the gateway's public address exactly as requested; proxies must not rewrite it",
    "content-type": "the client library set another Content-Type; send exactly application/json",
    "content-digest": "the body was serialised again after signing; send the very bytes that were signed",
    "idempotency-key": "the Idempotency-Key was set again after signing, or lost its quotes",
    "@signature-params": "Signature-Input was changed after signing; send it with its own Signature",
}


def _excerpt(base: bytes, offset: int) -> str:
    if offset >= len(base):
        return "(ends here)"
    excerpt = base[max(0, offset - _EXCERPT_BYTES) : offset + _EXCERPT_BYTES]
    return ascii(excerpt.decode("latin-1"))
