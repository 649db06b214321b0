"""Why a webhook's signature does not verify: was its body parsed and written anew on the way?

Frameworks hand over parsed JSON, and receivers write it out again to verify it;
the text is the same to people and other bytes to a signature. Only refused
webhooks come here. It decides nothing but the words. Pure.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# A body is parsed and written six times to find a reason: events are thin, below 20 kB.
DIAGNOSED_BYTES_MAX: Final = 64 * 1024
# Nobody can make a receiver verify more than this for the sake of an error's text.
VERIFICATIONS_MAX: Final = 24
# How the common serialisers write by default: compact, with a space after each separator, indented.
_FORMS: Final = (((",", ":"), None), ((", ", ": "), None), ((",", ": "), 2))


def other_serialisations(body: bytes) -> Iterator[bytes]:
    """Yield what the same JSON looks like as common serialisers write it, without the body itself."""
    if len(body) > DIAGNOSED_BYTES_MAX:
        return
    try:
        parsed = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return
    for (separators, indent), ascii_alone in product(_FORMS, (False, True)):
        text = json.dumps(parsed, separators=separators, indent=indent, ensure_ascii=ascii_alone)
        written = text.encode("utf-8", "surrogatepass")
        if written != body:
            yield written
