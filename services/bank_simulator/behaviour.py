"""Which instrument makes the bank behave how (pure).

The money moves, or does not, before any awkwardness begins: that is what makes an outcome unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# Longer than the patience of a caller with a deadline of 3 s; short enough not to outlive a stopping process.
NEVER_IN_TIME_S = 10.0
SLOW_S = 2.0
_DECLINED = "tok_declined_"


class Manner(Enum):
    """How the bank answers the request that makes the charge; questions are always answered at once."""

    AT_ONCE = "at once"
    SLOWLY = "slowly"
    NEVER_IN_TIME = "never in time"
    CUT = "cuts the connection"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Whether the bank declines, and how it answers."""

    decline_code: str | None
    manner: Manner


def behaviour_of(instrument: str) -> Behaviour:
    """Tell the behaviour that an instrument asks for; every unknown token confirms at once."""
    if instrument.startswith(_DECLINED) and instrument != _DECLINED:
        return Behaviour(instrument.removeprefix(_DECLINED).lower(), Manner.AT_ONCE)
    manners = {
        "tok_slow": Manner.SLOWLY,
        "tok_timeout_then_success": Manner.NEVER_IN_TIME,
        "tok_reset": Manner.CUT,
    }
    return Behaviour(None, manners.get(instrument, Manner.AT_ONCE))
