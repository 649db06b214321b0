"""What a test or the supervisor tells a bank to be like, and the draws that follow from its seed (pure).

The same seed and the same attempt always draw the same number, whatever the order in which attempts come.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, TypeAlias

import msgspec

SCRIPT_PATH = "/v1/script"
# An ordinary bank's time to decide; the deadline of a call is far above it.
LATENCY_MS_DEFAULT = 50
LATENCY_MS_MAX = 60_000
# How long an ordinary bank takes until it decides, or tells, what it does later.
LATER_S_DEFAULT = 1.0
LATER_S_MAX = 3_600.0
COPIES_MAX = 100  # Replays on purpose; more would be a flood and prove nothing else.

Rate: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Latency: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=LATENCY_MS_MAX)]
DeclineCode: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]


class BankScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the whole bank behaves towards instruments that ask for nothing particular.

    Attributes:
        seed: What the draws follow from, together with the attempt's id.
        latency_ms_min, latency_ms_max: Between these an answer is made, before it is sent.
        error_rate: 503, and the attempt was not taken; drawn anew each time it comes.
        unanswered_rate: The attempt was not taken and nothing is answered in time; drawn anew each time.
        timeout_rate: Decided, but not answered in time.
        lost_rate: Decided, and the connection is cut instead of an answer.
        decline_rate: Declined with `decline_code`.
        pending_rate: Decided only later, and told by a callback.
        callback_rate: Also told by a callback, `copies` times.
        settlement_missing_rate, settlement_wrong_rate, settlement_extra_rate: Lines left out of the
            settlement file, with another amount, or there twice.
        later_s: Unit of everything that happens later.
        down: Every connection is cut, nothing is taken.
        slow: Every answer takes two seconds.
    """

    seed: str = ""
    latency_ms_min: Latency = 0
    latency_ms_max: Latency = LATENCY_MS_DEFAULT
    error_rate: Rate = 0.0
    unanswered_rate: Rate = 0.0
    timeout_rate: Rate = 0.0
    lost_rate: Rate = 0.0
    decline_rate: Rate = 0.0
    decline_code: DeclineCode = "do_not_honour"
    pending_rate: Rate = 0.0
    callback_rate: Rate = 0.0
    copies: Annotated[int, msgspec.Meta(ge=1, le=COPIES_MAX)] = 1
    settlement_missing_rate: Rate = 0.0
    settlement_wrong_rate: Rate = 0.0
    settlement_extra_rate: Rate = 0.0
    later_s: Annotated[float, msgspec.Meta(ge=0, le=LATER_S_MAX)] = LATER_S_DEFAULT
    down: bool = False
    slow: bool = False


def draw(seed: str, attempt_id: str, purpose: str) -> float:
    """A number from 0 to below 1 that follows from its arguments alone."""
    digest = hashlib.sha256(f"{seed}\0{attempt_id}\0{purpose}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def latency_s(script: BankScript, attempt_id: str) -> float:
    """How long this attempt's answer is made, seconds."""
    least, most = sorted((script.latency_ms_min, script.latency_ms_max))
    return (least + draw(script.seed, attempt_id, "latency") * (most - least)) / 1000
