"""A bank with its own log of what it did: idempotent by attempt id, and as awkward as real ones are.

It keeps its word about three things, as the contract with a bank says: one attempt id is one request,
whatever it has decided it does not undo silently, and what it has moved is in its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from services.banks.messages import Attempt, AttemptAnswer, SettlementPage
from services.node.errors import HopUnknown, HopUnsent
from services.payments.machine.events import BankTold
from tests.simulation.loop import NODE, Node
from tests.simulation.regrets import Regrets
from tests.simulation.settlement_file import SettlementFile
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

# Within what the connector allows; what is slower ends as `unknown` at the caller.
ANSWER_S = (0.002, 0.08)
SLOW_S = (1.0, 3.9)
CALL_S_MAX = 4.0
DECIDE_S = (0.5, 600.0)
DECLINES_FINAL = ("insufficient_funds", "do_not_honour", "account_closed")
DECLINES_RETRYABLE = ("bank_unavailable", "technical", "retry_other_bank")

# How a call ended at a bank, whatever the caller makes of it. unreached: it could not be connected to;
# stopped: our own side never tried; nonsense: what it said cannot be believed.
Ended = Literal["answered", "nonsense", "silent", "unreached", "stopped"]
State = Literal["pending", "confirmed", "declined"]
Later: TypeAlias = Callable[[float, Callable[[], None]], None]


@dataclass
class Entry:
    """What the bank knows of one attempt."""

    attempt: Attempt
    state: State
    reference: str
    at_s: float
    amount_minor: int  # What it does, which is not always what was asked for.
    decline_code: str | None = None
    was_declined: bool = False
    is_spent: bool = False  # An authorisation that was captured or voided.
    is_told_by_file_alone: bool = False
    is_misfiled: bool = False  # Its line is not there, or has another amount.


@dataclass(frozen=True)
class Movement:
    """One line of the bank's log: money came to us (plus) or left (minus)."""

    attempt_id: str
    payment_id: str
    operation: str
    amount_minor: int
    currency: str
    signed_minor: int


class SimBank:
    """One bank.

    Args:
        clock: Virtual seconds.
        late_s_max: How long a request may lie somewhere and still be carried out, or be denied.
        batch_s: How long lines of the settlement file are gathered.
        later: Calls after a time, whoever has died until then.
        tell: Takes a callback and how long it takes at least, in seconds; delivers it, perhaps twice.
    """

    def __init__(
        self, name: str, clock: Callable[[], float], later: Later, weather: Weather, trace: Trace,
        tell: Callable[[BankTold, float], None], late_s_max: float, batch_s: float,
    ) -> None:  # fmt: skip
        self.name = name
        self.now = clock
        self.late_s_max = late_s_max
        self.later = later
        self.weather = weather
        self.trace = trace
        self.tell = tell
        self.entries: dict[str, Entry] = {}
        self.log: list[Movement] = []
        self.regrets = Regrets(self)
        self.file = SettlementFile(self, batch_s)
        self.ended: dict[tuple[Node | None, str], Ended] = {}  # By caller and attempt; the last call.
        self.is_down = False
        self.is_deaf = False  # One-way partition: nothing arrives; the caller cannot tell.
        self.is_mute = False  # The other way: everything arrives, no answer comes back.

    async def send(self, attempt: Attempt) -> AttemptAnswer:
        """Carry a request to the bank and its answer back.

        Once it is on the wire it arrives, or not, whatever becomes of the sender.

        Raises:
            HopUnsent, HopUnknown: As `BanksClient.send`.
        """
        weather, name = self.weather, attempt.attempt_id
        if weather.strikes("connector_refuses"):
            self._end(name, "stopped")
            return AttemptAnswer(name, "unsent", alarm="the rail cannot say this")
        if self.is_down or weather.strikes("bank_unsent"):
            await asyncio.sleep(weather.seconds(*ANSWER_S))
            return self._not_sent(name)
        if self.is_deaf or weather.strikes("bank_request_lost"):
            return await self._hear_nothing(name)
        if weather.strikes("bank_request_late"):
            self.later(weather.seconds(0.0, self.late_s_max), lambda: self._process(attempt))
            return await self._hear_nothing(name)
        trip_s = self._trip_s()
        self.later(trip_s / 2, lambda: self._process(attempt))
        return await self._answer(attempt.attempt_id, "send", trip_s)

    async def inquire(self, _bank: str, attempt_id: str) -> AttemptAnswer:
        """Ask what became of an attempt.

        Raises:
            HopUnsent, HopUnknown: As `BanksClient.inquire`.
        """
        if self.is_down or self.weather.strikes("bank_unsent"):
            return self._not_sent(attempt_id)
        if self.is_deaf:
            return await self._hear_nothing(attempt_id)
        return await self._answer(attempt_id, "inquire", self._trip_s())

    async def settlement(self, _bank: str, after_line: int, lines_max: int) -> SettlementPage:
        """Read lines of the settlement file.

        Raises:
            HopUnsent, HopUnknown: No page.
        """
        return await self.file.read(after_line, lines_max)

    def movement(self, entry: Entry, operation: str, amount_minor: int, sign: int) -> None:
        """Write a line of the log: it has happened."""
        attempt = entry.attempt
        self.log.append(Movement(
            attempt.attempt_id, attempt.end_to_end_id, operation, amount_minor, attempt.currency,
            sign * amount_minor,
        ))  # fmt: skip
        self.trace.note(self.name, operation, attempt.attempt_id, sign * amount_minor)
        self.file.add(entry, operation, amount_minor)

    def told(self, entry: Entry, what: str, *, amount_minor: int | None = None, number: int = 1) -> BankTold:
        """Word a callback about an attempt."""
        attempt = entry.attempt
        return BankTold(
            payment_id=attempt.end_to_end_id, bank=self.name, what=what,  # type: ignore[arg-type]
            bank_event_id=f"{self.name}-{attempt.attempt_id}-{what}-{number}", attempt_id=attempt.attempt_id,
            amount_minor=entry.amount_minor if amount_minor is None else amount_minor,
            currency=attempt.currency, bank_reference=entry.reference,
            decline_code=entry.decline_code if what == "declined" else None,
            dispute_reference=f"D-{attempt.attempt_id}" if what.startswith("dispute") else None,
        )  # fmt: skip

    def _trip_s(self) -> float:
        return self.weather.seconds(*(SLOW_S if self.weather.strikes("bank_slow") else ANSWER_S))

    def _end(self, attempt_id: str, how: Ended) -> None:
        self.ended[NODE.get(), attempt_id] = how

    def _not_sent(self, attempt_id: str) -> AttemptAnswer:
        """Not a byte came here: our own way to the banks service is cut, or the bank is not there."""
        if not self.is_down and self.weather.chance.random() < 0.5:
            self._end(attempt_id, "stopped")
            raise HopUnsent("refused")
        self._end(attempt_id, "unreached")
        return AttemptAnswer(attempt_id, "unsent")

    async def _hear_nothing(self, attempt_id: str) -> AttemptAnswer:
        await asyncio.sleep(CALL_S_MAX)
        self._end(attempt_id, "silent")
        raise HopUnknown("no answer")

    async def _answer(self, attempt_id: str, asked: str, trip_s: float) -> AttemptAnswer:
        await asyncio.sleep(trip_s)
        if self.is_mute or self.weather.strikes("bank_answer_lost"):
            return await self._hear_nothing(attempt_id)
        entry = self.entries.get(attempt_id)
        if entry is None or (self._is_new(entry) and self.weather.strikes("bank_not_found_yet")):
            self._end(attempt_id, "answered" if asked == "inquire" else "silent")
            return AttemptAnswer(attempt_id, "not_found" if asked == "inquire" else "unknown")
        attempt, amount_minor, name = entry.attempt, entry.amount_minor, attempt_id
        if self.weather.strikes("bank_wrong_amount"):
            amount_minor += 1
        if self.weather.strikes("bank_garbled"):
            attempt_id += "x"
        is_true = (attempt_id, amount_minor) == (name, attempt.amount_minor)
        self._end(name, "answered" if is_true else "nonsense")
        self.trace.note(self.name, "says", asked, attempt_id, entry.state, amount_minor)
        return AttemptAnswer(
            attempt_id, entry.state, attempt.end_to_end_id, amount_minor, attempt.currency, entry.reference,
            entry.decline_code,
        )  # fmt: skip

    def _is_new(self, entry: Entry) -> bool:
        return self.now() - entry.at_s < self.late_s_max

    def _process(self, attempt: Attempt) -> None:
        """Take a request in; a repeat changes nothing."""
        entry = self.entries.get(attempt.attempt_id)
        if entry is not None:
            if _asked(entry.attempt) != _asked(attempt):
                self.trace.violate("I3", f"{attempt.attempt_id} was used for two requests")
            return
        entry = Entry(attempt, "pending", f"R-{attempt.attempt_id}", self.now(), attempt.amount_minor)
        self.entries[attempt.attempt_id] = entry
        if attempt.operation in ("collect", "payout") and self.weather.strikes("bank_moves_other_amount"):
            entry.amount_minor += 7
        if self.weather.strikes("bank_pending"):
            self.later(self.weather.seconds(*DECIDE_S), lambda: self._decide(entry, is_late=True))
        else:
            self._decide(entry, is_late=False)

    def _decide(self, entry: Entry, *, is_late: bool) -> None:
        weather = self.weather
        code = self._obstacle(entry)
        if code is None and weather.strikes("bank_declines"):
            code = weather.one_of(DECLINES_FINAL)
        if code is None and weather.strikes("bank_declines_retryable"):
            code = weather.one_of(DECLINES_RETRYABLE)
        entry.state, entry.decline_code = ("confirmed", None) if code is None else ("declined", code)
        entry.was_declined = code is not None
        if code is None:
            self._move(entry)
            self.regrets.begin(entry)
        elif entry.attempt.operation in ("collect", "authorise", "payout", "refund") and weather.strikes(
            "bank_mind_changed"
        ):
            self.later(weather.seconds(0.0, 3600.0), lambda: self._change_mind(entry))
        if is_late or weather.strikes("bank_callback"):
            what = "confirmed" if code is None else "declined"
            self.tell(self.told(entry, what), 0.0 if weather.strikes("bank_callback_early") else 1.0)

    def _obstacle(self, entry: Entry) -> str | None:
        """Why the bank cannot do what is asked; None: it can."""
        attempt = entry.attempt
        if attempt.operation not in ("capture", "void", "refund"):
            return None
        original = next((e for e in self.entries.values() if e.reference == attempt.original_reference), None)
        if (
            original is None
            or original.state != "confirmed"
            or original.attempt.end_to_end_id != attempt.end_to_end_id
        ):
            return "unknown_original"
        if attempt.operation != "refund" and original.is_spent:
            return "already_captured"
        if attempt.operation == "capture" and attempt.amount_minor > original.attempt.amount_minor:
            return "amount_too_large"
        return None

    def _move(self, entry: Entry) -> None:
        """Do what was asked. A refund is paid whatever was refunded before: the limit is our duty."""
        attempt = entry.attempt
        sign = {"collect": 1, "capture": 1, "payout": -1, "refund": -1, "authorise": 0, "void": 0}
        if attempt.operation in ("capture", "void"):
            for original in self.entries.values():
                if original.reference == attempt.original_reference:
                    original.is_spent = True
        self.movement(entry, attempt.operation, entry.amount_minor, sign[attempt.operation])

    def _change_mind(self, entry: Entry) -> None:
        """It said declined, and charged all the same; it may say so nowhere but in its settlement file."""
        if entry.state == "declined":
            entry.state, entry.decline_code = "confirmed", None
            in_file = entry.attempt.operation != "authorise"  # Which moves no money.
            entry.is_told_by_file_alone = in_file and self.weather.strikes("bank_tells_by_file")
            self._move(entry)
            if not entry.is_told_by_file_alone:
                self.tell(self.told(entry, "confirmed"), 10.0)


def _asked(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.end_to_end_id,
        attempt.operation,
        attempt.amount_minor,
        attempt.currency,
        attempt.instrument,
    )
