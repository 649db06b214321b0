"""Lives that two records live alike: their steps, and what is compared of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from services.payments.machine import turn
from services.payments.machine.choice import Choice
from services.payments.machine.events import Decisions, Snapshot
from services.payments.machine.model import Payment
from services.payments.machine.policy import Policy
from tests.simulation.database import Database
from tests.simulation.spoiling import spoil

BANKS = ("bank-alpha", "bank-bravo")
AN_HOUR = timedelta(hours=1)
# Nothing becomes due while the real record is at work, and "not found" counts at once where it ever does.
POLICY = Policy(
    lease=AN_HOUR, screening_lease=AN_HOUR, route_retry=AN_HOUR, second_approver_minor={"EUR": 400},
    refund_review_minor={"EUR": 100}, not_found_quiet=timedelta(0), not_founds_min=1,
)  # fmt: skip


class Routes:
    """By the payment's id, so that both records choose alike."""

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        left = [name for name in BANKS if name not in excluded]
        first = len(left) > 1 and payment.payment_id[-1] > "f"
        return Choice(bank=left[first] if left else None, explanation="{}")

    def is_not_found_final(self, bank: str) -> bool:
        return bank == BANKS[0]


def decide(snapshot: Snapshot) -> Decisions:
    return turn.decide(snapshot, Routes(), POLICY)


@dataclass
class Step:
    """One operation, and what the simulated record said to it.

    Attributes:
        spoiler: Chooses what to do to the decision before it is written, among what is possible.
        spoilt: What was done; the record must refuse it.
    """

    kind: str
    given: Any = None
    spoiler: int | None = None
    said: Any = None
    spoilt: list[str] = field(default_factory=list)


@dataclass
class Life:
    """All steps of one seed, and the rows at its end."""

    accounts: list[str]
    steps: list[Step] = field(default_factory=list)
    database: Database | None = None


def plain(value: Any) -> Any:
    """Builtins to compare; of a time only whether there is one, of a window's name all but its moment."""
    if isinstance(value, datetime):
        return "a time"
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__ if name != "mail_id"}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, str) and "/window/" in value:
        return value.rpartition("/")[0]
    return value


def of_decisions(decisions: Decisions) -> Any:
    """What a turn decided; letters are told by their order, because the records number them differently."""
    shown = plain(decisions)
    shown["mail_done"] = [result for _, result in decisions.mail_done]
    # Reminders of one moment have no order among each other.
    return {name: sorted(rows, key=str) for name, rows in shown.items()}


def spoilt(number: int | None, done: list[str]) -> Callable[[Snapshot], Decisions]:
    """The decision, with something done to it that no record may accept; `done` tells what."""

    def spoil_some(snapshot: Snapshot) -> Decisions:
        decisions = decide(snapshot)
        if number is not None and (name := spoil(number, decisions)) is not None:
            done.append(name)
        return decisions

    return spoil_some
