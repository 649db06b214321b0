"""What an instrument, or else the bank's script, makes the bank do with one request (pure).

`tok_NAME` asks for a behaviour of the step that moves money first (collect, authorise, payout);
`tok_capture_NAME`, `tok_void_NAME`, `tok_refund_NAME` of that step; chargebacks, recalls and returns follow
whatever took the money. Any other token is an ordinary one, and the script decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal, TypeAlias

from services.bank_simulator.script import BankScript, draw

# Longer than the patience of a caller with a deadline of 3 s; short enough not to outlive a stopping process.
NEVER_IN_TIME_S = 10.0
SLOW_S = 2.0
# How many times `later_s` an attempt stays hidden that the bank has and does not find.
HIDDEN_LATERS = 3

Operation: TypeAlias = Literal["collect", "authorise", "capture", "void", "payout", "refund"]
Word: TypeAlias = Literal[
    "confirmed",
    "declined",
    "bounced",
    "returned",
    "recalled",
    "dispute_opened",
    "dispute_won",
    "dispute_lost",
]

_TOKEN: Final = "tok_"  # noqa: S105 - how instruments begin.
_DECLINED: Final = "declined_"
_MONEY_FIRST: Final = frozenset({"collect", "authorise", "payout"})
_TAKES: Final = frozenset({"collect", "capture"})


class Deed(Enum):
    """What the bank does with the attempt, before it says anything."""

    DECIDES = "decides at once"
    PENDS = "takes it and decides later"
    WITHHOLDS = "does not take it: no trace, no money"
    WITHHOLDS_ONCE = "does not take it when it comes first"
    HIDES = "decides at once, and does not find it for a while"
    DENIES = "moves the money and says that it declined"


class Manner(Enum):
    """How the bank answers the request; questions are always answered at once."""

    AT_ONCE = "at once"
    SLOWLY = "slowly"
    NEVER_IN_TIME = "never in time"
    CUT = "cuts the connection"
    FAILS = "503"
    GARBAGE = "bytes that are no answer"
    HUGE = "more than anybody should read"
    NESTED = "deeper than anybody should parse"
    REDIRECT = "sends the caller elsewhere"
    OTHER_AMOUNT = "an answer with another amount"
    CALLBACK_FIRST = "after its callback has arrived"


@dataclass(frozen=True, slots=True)
class Later:
    """Something that the bank does, and tells, after a while.

    Attributes:
        laters: When, in units of the script's `later_s` after the attempt came.
        copies: How often the callback is sent; 0 is silence.
        amount_off_minor: Added to the amount that the callback tells; the books stay right.
    """

    laters: int
    word: Word
    copies: int = 1
    amount_off_minor: int = 0


@dataclass(frozen=True, slots=True)
class Conduct:
    """Everything about how one request is treated."""

    deed: Deed = Deed.DECIDES
    decline_code: str | None = None
    manner: Manner = Manner.AT_ONCE
    later: tuple[Later, ...] = ()


ORDINARY: Final = Conduct()
_CONDUCTS: Final[dict[str, Conduct]] = {
    "slow": Conduct(manner=Manner.SLOWLY),
    "timeout_then_success": Conduct(manner=Manner.NEVER_IN_TIME),
    "timeout_then_nothing": Conduct(Deed.WITHHOLDS, manner=Manner.NEVER_IN_TIME),
    "reset": Conduct(manner=Manner.CUT),
    "reset_before": Conduct(Deed.WITHHOLDS, manner=Manner.CUT),
    "unavailable": Conduct(Deed.WITHHOLDS, manner=Manner.FAILS),
    "unavailable_once": Conduct(Deed.WITHHOLDS_ONCE, manner=Manner.FAILS),
    "error_after": Conduct(manner=Manner.FAILS),
    "found_late": Conduct(Deed.HIDES, manner=Manner.NEVER_IN_TIME),
    "garbage": Conduct(manner=Manner.GARBAGE),
    "huge": Conduct(manner=Manner.HUGE),
    "nested": Conduct(manner=Manner.NESTED),
    "redirect": Conduct(manner=Manner.REDIRECT),
    "wrong_amount": Conduct(manner=Manner.OTHER_AMOUNT),
    "pending_then_confirmed": Conduct(Deed.PENDS, later=(Later(1, "confirmed"),)),
    "pending_then_declined": Conduct(Deed.PENDS, later=(Later(1, "declined"),)),
    "pending_then_silent": Conduct(Deed.PENDS, later=(Later(1, "confirmed", copies=0),)),
    "pending_for_ever": Conduct(Deed.PENDS),
    "wrong_amount_callback": Conduct(Deed.PENDS, later=(Later(1, "confirmed", amount_off_minor=1),)),
    "duplicate_callbacks": Conduct(later=(Later(1, "confirmed", copies=3),)),
    "callback_first": Conduct(manner=Manner.CALLBACK_FIRST, later=(Later(0, "confirmed"),)),
    "declined_then_confirmed": Conduct(decline_code="timeout", later=(Later(1, "confirmed"),)),
    "denied": Conduct(Deed.DENIES, decline_code="do_not_honour"),
}
# What follows once money was taken, whichever step took it.
_AFTERMATHS: Final[dict[str, Conduct]] = {
    "chargeback_won": Conduct(later=(Later(1, "dispute_opened"), Later(2, "dispute_won"))),
    "chargeback_lost": Conduct(later=(Later(1, "dispute_opened"), Later(2, "dispute_lost"))),
    "chargeback_open": Conduct(later=(Later(1, "dispute_opened"),)),
    "recalled": Conduct(later=(Later(1, "recalled"),)),
    "returned": Conduct(later=(Later(1, "returned"),)),
}
_BOUNCES: Final = Conduct(later=(Later(1, "bounced"),))
NAMES: Final = frozenset(_CONDUCTS) | frozenset(_AFTERMATHS) | {"bounces"}


def conduct_of(instrument: str, operation: Operation, bank: str) -> Conduct:
    """Tell what an instrument asks for; every unknown token is an ordinary one.

    `technical_at_<bank>`, with `_` for `-`, declines with a code after which another bank may be tried, at
    that bank only.
    """
    name, step = _name_and_step(instrument)
    if step == operation == "refund" and name == "bounces":
        return _BOUNCES
    if name in _AFTERMATHS:
        return _AFTERMATHS[name] if step is None and operation in _TAKES else ORDINARY
    if not (operation in _MONEY_FIRST if step is None else step == operation):
        return ORDINARY
    if name in _CONDUCTS:
        return _CONDUCTS[name]
    if name == f"technical_at_{bank.replace('-', '_')}":
        return Conduct(decline_code="technical")
    if name.startswith(_DECLINED) and name != _DECLINED:
        return Conduct(decline_code=name.removeprefix(_DECLINED).lower()[:64])
    return ORDINARY


def _name_and_step(instrument: str) -> tuple[str, str | None]:
    name = instrument.removeprefix(_TOKEN) if instrument.startswith(_TOKEN) else ""
    for step in ("capture", "void", "refund"):
        if name.startswith(f"{step}_"):
            return name.removeprefix(f"{step}_"), step
    return name, None


def conduct_under(script: BankScript, conduct: Conduct, attempt_id: str, came: int) -> Conduct:
    """What becomes of a conduct under the bank's script.

    Args:
        came: How often this attempt came before and was not taken.
    """
    if script.down:
        return Conduct(Deed.WITHHOLDS, manner=Manner.CUT)
    if conduct == ORDINARY:
        conduct = _drawn(script, attempt_id, came)
    if conduct.deed is Deed.WITHHOLDS_ONCE:
        conduct = replace(conduct, deed=Deed.WITHHOLDS) if came == 0 else ORDINARY
    if script.slow and conduct.manner is Manner.AT_ONCE:
        conduct = replace(conduct, manner=Manner.SLOWLY)
    return conduct


def _drawn(script: BankScript, attempt_id: str, came: int) -> Conduct:
    luck = draw(script.seed, attempt_id, f"taken {came}")
    if luck < script.error_rate:
        return Conduct(Deed.WITHHOLDS, manner=Manner.FAILS)
    if luck < script.error_rate + script.unanswered_rate:
        return Conduct(Deed.WITHHOLDS, manner=Manner.NEVER_IN_TIME)
    if draw(script.seed, attempt_id, "declined") < script.decline_rate:
        return Conduct(decline_code=script.decline_code)
    if draw(script.seed, attempt_id, "pending") < script.pending_rate:
        return Conduct(Deed.PENDS, later=(Later(1, "confirmed", copies=script.copies),))
    luck, manner = draw(script.seed, attempt_id, "answered"), Manner.AT_ONCE
    if luck < script.timeout_rate:
        manner = Manner.NEVER_IN_TIME
    elif luck < script.timeout_rate + script.lost_rate:
        manner = Manner.CUT
    told = draw(script.seed, attempt_id, "told") < script.callback_rate
    return Conduct(manner=manner, later=(Later(1, "confirmed", copies=script.copies),) if told else ())
