"""The gateway's operations as requests to be made: paths, bodies, queries (pure).

A call is one logical operation. Its body's bytes and its idempotency key are made
once and kept through every retry. Source: reference to the API's routes and bodies.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from . import profile
from .errors import IdempotencyKeyInvalid, UnsignableRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

EVIDENCE_MEDIA_TYPE: Final = "application/gzip"
ANSWER_BYTES_MAX: Final = 1024 * 1024  # a full page of a list is far below
EVIDENCE_BYTES_MAX: Final = 16 * 1024 * 1024  # a bundle has about 10 kB; a body in it at most 64 KiB
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_VALUE = re.compile(r"[A-Za-z0-9_.-]{1,256}")

Plain = str | int


@dataclass(frozen=True, slots=True)
class Call:
    """One operation.

    Attributes:
        method: GET, POST, PATCH or DELETE.
        path: with its query, as it is signed after the origin.
        body: the exact bytes; None for a GET. Not in the `repr`: it may hold a card number.
        idempotency_key: without quotes; None for a GET.
        answer_type: the media type of the result.
        answer_bytes_max: longer answers are not read.
        waits_for: codes of refusals that mean "not yet", and are waited out.
        wait_s_max: how long they are; None leaves it to the retry policy.
        prefer_wait_s: the gateway is asked to hold its answer back so long, until the payment rests.
        known_sequence: of what the caller has; if it is still so, the answer may say just that.
    """

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    answer_type: str = profile.MEDIA_TYPE
    answer_bytes_max: int = ANSWER_BYTES_MAX
    waits_for: frozenset[str] = frozenset()
    wait_s_max: float | None = None
    prefer_wait_s: int | None = None
    known_sequence: int | None = None

    @property
    def unchanged_type(self) -> str | None:
        """The media type by which an answer says that nothing changed; its receipt covers it."""
        return None if self.known_sequence is None else f"{self.answer_type}; sequence={self.known_sequence}"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The field lines that the signature covers or that shape the answer."""
        # An encoded answer could not be verified: its receipt covers the bytes as they are.
        asked: tuple[tuple[str, str], ...] = (
            ("Accept", f"{self.answer_type}, application/problem+json"),
            ("Accept-Encoding", "identity"),
        )
        if self.prefer_wait_s is not None:
            asked = (*asked, ("Prefer", f"wait={self.prefer_wait_s}"))
        if self.known_sequence is not None:
            asked = (*asked, ("If-None-Match", f'"{self.known_sequence}"'))
        if self.idempotency_key is None:
            return asked
        return (
            *asked,
            ("Content-Type", profile.MEDIA_TYPE),
            ("Idempotency-Key", f'"{self.idempotency_key}"'),
        )


def read(
    path: str,
    query: Mapping[str, Plain | None] | None = None,
    *,
    wait_s: int | None = None,
    known_sequence: int | None = None,
) -> Call:
    """Return a GET; query parameters that are None are left out.

    Args:
        path: of what is read.
        query: by name.
        wait_s: see `Call.prefer_wait_s`.
        known_sequence: see `Call`.

    Raises:
        UnsignableRequest: a name or value has characters that the profile does not sign.
    """
    pairs = sorted((name, str(value)) for name, value in (query or {}).items() if value is not None)
    for name, value in pairs:
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise UnsignableRequest(
                f"the query parameter {name!a} must have characters A-Z a-z 0-9 _ - (and . in its value)"
            )
    asked = "&".join(f"{name}={value}" for name, value in pairs)
    return Call(
        "GET", f"{path}?{asked}" if asked else path, prefer_wait_s=wait_s, known_sequence=known_sequence
    )


def act(
    path: str,
    members: Mapping[str, object],
    *,
    idempotency_key: str,
    method: str = "POST",
    wait_s: int | None = None,
) -> Call:
    """Return a request that acts; members that are None are left out.

    Raises:
        IdempotencyKeyInvalid: the key is not of the accepted form.
        UnsignableRequest: a member cannot be written as JSON, or is a float.
    """
    if profile.IDEMPOTENCY_KEY.fullmatch(f'"{idempotency_key}"') is None:
        raise IdempotencyKeyInvalid("an idempotency key has 16 to 64 characters A-Z a-z 0-9 _ -")
    present = {name: value for name, value in members.items() if value is not None}
    try:
        if _has_float(present):
            raise UnsignableRequest("amounts are integers in minor units: 1999 stands for 19.99")
        body = json.dumps(present, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsignableRequest("the body cannot be written as JSON in UTF-8") from error
    return Call(method, path, body, idempotency_key, prefer_wait_s=wait_s)


def evidence(payment_id: str, *, wait_s_max: float) -> Call:
    """Return the GET of a payment's evidence bundle, which waits until the bundle is complete."""
    return Call(
        "GET",
        f"{item('payments', payment_id)}/evidence",
        answer_type=EVIDENCE_MEDIA_TYPE,
        answer_bytes_max=EVIDENCE_BYTES_MAX,
        waits_for=frozenset({"evidence_pending"}),
        wait_s_max=wait_s_max,
    )


def item(collection: str, name: str) -> str:
    """Return the path of one object.

    Raises:
        UnsignableRequest: the id has other characters than ids have.
    """
    if _NAME.fullmatch(name) is None:
        raise UnsignableRequest("an id has 1 to 128 characters A-Z a-z 0-9 _ -")
    return f"/v1/{collection}/{name}"


def _has_float(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_float(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_has_float(each) for each in value)
    return isinstance(value, float)
