"""The tables of settlement and the functions of the schema over them, in memory.

The differential test (`tests/integration/payments/test_settlement_agrees.py`) holds them against PostgreSQL.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.payments.machine.model import LATE, Attempt, Payment
from services.payments.machine.settlement import Booked, FileLine, Judgement
from tests.simulation.rows import Rows

_MOVES = {"collect", "capture", "payout", "refund"}
_TAKEN_BACK = {"returned", "chargeback"}
# What a break calls the state of an attempt that was done although it had been declined.
_CONFIRMED_LATE = "confirmed late"
_MOVED = {"confirmed", _CONFIRMED_LATE, "reversed"}
_MAY_HAVE_MOVED = {"intent", "sending", "unknown", "confirmed", "reversed"}
NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass
class Break:
    """A row of `settlement_break`."""

    bank: str
    kind: str
    attempt_id: str
    line: int | None
    expected: str
    found: str
    reason: str | None = None  # Why it was closed, by the engine.


class SettlementRows:
    """What is committed of settlement."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.lines: dict[str, dict[int, FileLine]] = {}
        self.breaks: list[Break] = []
        self.searched: dict[str, datetime] = {}
        self.awaited: dict[str, str] = {}  # attempt id to bank

    def settled_until(self, bank: str) -> int:
        return max(self.lines.get(bank, ()), default=0)

    def booked(self, bank: str, lines: Sequence[FileLine]) -> dict[int, Booked]:
        """`payments.booked_of`."""
        found = {}
        for line in lines:
            attempt = self.rows.attempts.get(line.attempt_id)
            if attempt is not None:
                found[line.line] = self._booked(bank, line, attempt)
        return found

    def _booked(self, bank: str, line: FileLine, attempt: Attempt) -> Booked:
        payment = self.rows.whole(attempt.payment_id)
        taken_back = taken_before = 0
        if line.movement in _TAKEN_BACK:
            taken_back = taken_back_minor(payment)
            taken_before = sum(
                each.amount_minor for kept in self.lines.values() for each in kept.values()
                if each.end_to_end_id == attempt.payment_id and each.movement in _TAKEN_BACK
                and (each.bank, each.line) < (bank, line.line)
                and self._is_of(each, attempt.payment_id)
            )  # fmt: skip
        return Booked(
            attempt_id=attempt.attempt_id, payment_id=attempt.payment_id, bank=attempt.bank,
            operation=attempt.operation, state=attempt.state, decline_code=attempt.decline_code,
            amount_minor=attempt.amount_minor, currency=payment.currency,
            lines_before=sum(
                (each.attempt_id, each.movement) == (line.attempt_id, line.movement)
                and each.line < line.line
                for each in self.lines.get(bank, {}).values()
            ),
            taken_back_minor=taken_back, taken_before_minor=taken_before,
        )  # fmt: skip

    def _is_of(self, line: FileLine, payment_id: str) -> bool:
        attempt = self.rows.attempts.get(line.attempt_id)
        return attempt is not None and (attempt.payment_id, attempt.bank) == (payment_id, line.bank)

    def open_breaks(self, bank: str) -> list[Break]:
        return [each for each in self.breaks if each.bank == bank and each.reason is None]

    def lines_in_break(self, bank: str, lines_max: int) -> list[FileLine]:
        """`payments.lines_in_break`: the newest first."""
        numbers = [each.line for each in self.open_breaks(bank) if each.line is not None]
        return [self.lines[bank][number] for number in reversed(numbers)][:lines_max]

    def keep(
        self, bank: str, lines: Sequence[FileLine], judged: Sequence[Judgement]
    ) -> list[tuple[FileLine, Judgement]]:
        """The first half of `payments.keep_settlement`: the lines that are new, and what was judged."""
        kept, new = self.lines.setdefault(bank, {}), []
        for line, judgement in zip(lines, judged, strict=True):
            if line.line in kept:
                continue
            kept[line.line] = line
            new.append((line, judgement))
            if judgement.kind is not None:
                self.breaks.append(Break(
                    bank, judgement.kind, line.attempt_id, line.line, judgement.expected, judgement.found
                ))  # fmt: skip
        return new

    def close(self, bank: str, lines: Sequence[int]) -> None:
        """The second half of `payments.keep_settlement`."""
        for each in self.open_breaks(bank):
            if each.line in lines:
                each.reason = "line and record agree now"

    def find_missing(self, bank: str, until: datetime) -> int:
        """`payments.find_missing_lines`."""
        searched = self.searched.setdefault(bank, NEVER)
        if searched >= until:
            return 0
        for attempt in self.rows.attempts.values():
            if attempt.bank != bank or attempt.operation not in _MOVES or self.is_settled(attempt):
                continue
            made_at = attempt.created_at if attempt.state in _MAY_HAVE_MOVED else None
            if any(at is not None and searched < at <= until for at in (made_at, self._late_at(attempt))):
                self.awaited[attempt.attempt_id] = bank
        opened = sum(self._await(self.rows.attempts[key]) for key in self._awaited_at(bank))
        self.searched[bank] = until
        return opened

    def _await(self, attempt: Attempt) -> int:
        """Look at one awaited attempt again; return how many breaks it opened."""
        key, is_settled = attempt.attempt_id, self.is_settled(attempt)
        state = _CONFIRMED_LATE if attempt.decline_code in LATE else attempt.state
        missing = next((b for b in self.breaks if b.attempt_id == key and b.line is None), None)
        if is_settled and missing is not None and missing.reason is None:
            missing.reason = "the line has come"
        if is_settled or state in ("declined", "not_processed"):
            del self.awaited[key]
        if is_settled or state not in _MOVED or missing is not None:
            return 0
        currency = self.rows.payments[attempt.payment_id].currency
        expected = f"{attempt.operation} {attempt.amount_minor} {currency}, {state}"
        self.breaks.append(Break(attempt.bank, "missing", key, None, expected, "no line"))
        return 1

    def _late_at(self, attempt: Attempt) -> datetime | None:
        """When its bank said that it had done it after all."""
        if attempt.decline_code not in LATE:
            return None
        return next(
            self.rows.told_at[told.payment_id, told.sequence]
            for told in self.rows.told[attempt.payment_id]
            if told.type == "payment.late_success"
            and (told.details or {}).get("attempt_id") == attempt.attempt_id
        )

    def _awaited_at(self, bank: str) -> list[str]:
        return [key for key, of_bank in self.awaited.items() if of_bank == bank]

    def is_settled(self, attempt: Attempt) -> bool:
        """Whether a line of whatever bank names it with its own movement."""
        return any(
            each.attempt_id == attempt.attempt_id and each.movement == attempt.operation
            for kept in self.lines.values()
            for each in kept.values()
        )

    def breaks_open(self) -> int:
        return sum(each.reason is None for each in self.breaks)


def taken_back_minor(payment: Payment) -> int:
    """What banks took back of a payment, as it is booked: returns, and disputes that were lost."""
    asked = {each.subject_id for each in payment.attempts}
    returned = sum(
        each.amount_minor for each in payment.refunds
        if each.origin == "bank" and each.status == "succeeded" and each.refund_id not in asked
    )  # fmt: skip
    return returned + sum(
        each.amount_minor for each in payment.disputes if each.status in ("lost", "accepted")
    )


class Births:
    """When attempts of each bank were made, or done after all: what searches for lines have still to see."""

    def __init__(self) -> None:
        self._at: dict[str, list[datetime]] = {}

    def note(self, attempt: Attempt, when: datetime) -> None:
        at = self._at.setdefault(attempt.bank, [])
        at.append(when)
        if len(at) > 1 and at[-2] > at[-1]:
            at.sort()

    def next_after(self, bank: str, searched: datetime, age: timedelta) -> datetime | None:
        """When the first of these that no search has seen will have this age."""
        at = self._at.get(bank, [])
        place = bisect_right(at, searched)
        return at[place] + age if place < len(at) else None
