"""`Prefer: wait=N`, which is a wish and never more: it is not covered by the signature (pure).

Whoever changes it on the way makes an answer come sooner or later, within the bound here, and changes nothing
of what it says. Source: RFC 7240 §2, §4.3.
"""

from __future__ import annotations

import re

# Below what the edge lets one request take (30 s) and what clients wait for an answer.
WAIT_S_MAX = 20
_WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,4})"?', re.ASCII | re.IGNORECASE)


def wait_s(prefer: str | None, *, seconds_max: float = WAIT_S_MAX) -> int:
    """Return for how many seconds the sender would wait; 0 if it did not say so in a known way.

    Args:
        prefer: the field's value.
        seconds_max: more than this is granted to nobody.
    """
    # The first of several counts, as RFC 7240 §2 says; parameters of a preference mean nothing here.
    for preference in (prefer or "").split(","):
        match = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if match is not None:
            return min(int(match[1]), int(seconds_max))
    return 0
