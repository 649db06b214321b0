"""Decisions that no record may write, each spoilt in one way; what is not there cannot be spoilt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from services.payments.machine.events import Decisions
from services.payments.machine.model import PAYMENT_FINAL, attempt_id_of

SPOILERS: dict[str, Callable[[Decisions], bool]] = {}


def _spoiler(spoil: Callable[[Decisions], bool]) -> Callable[[Decisions], bool]:
    SPOILERS[spoil.__name__.lstrip("_")] = spoil
    return spoil


@_spoiler
def _overdrawn(decisions: Decisions) -> bool:
    if not decisions.accounts:
        return False
    row = decisions.accounts[0]
    decisions.accounts[0] = msgspec.structs.replace(row, posted_minor=row.held_minor - 1)
    return True


@_spoiler
def _no_reminder(decisions: Decisions) -> bool:
    if not decisions.payments:
        return False
    row = decisions.payments[0]
    due = datetime(2030, 1, 1, tzinfo=UTC) if row.status in PAYMENT_FINAL else None
    decisions.payments[0] = msgspec.structs.replace(row, due=due)
    return True


@_spoiler
def _more_refunded_than_captured(decisions: Decisions) -> bool:
    if not decisions.payments:
        return False
    row = decisions.payments[0]
    decisions.payments[0] = msgspec.structs.replace(row, refunded_minor=row.captured_minor + 1)
    return True


@_spoiler
def _more_captured_than_asked(decisions: Decisions) -> bool:
    if not decisions.payments:
        return False
    row = decisions.payments[0]
    decisions.payments[0] = msgspec.structs.replace(row, captured_minor=row.amount_minor + 1)
    return True


@_spoiler
def _two_money_attempts(decisions: Decisions) -> bool:
    for row in decisions.attempts:
        if row.state not in ("declined", "not_processed", "reversed"):
            number = row.number + 50
            name = attempt_id_of(row.subject_id, row.operation, number)
            decisions.attempts.append(
                msgspec.structs.replace(row, attempt_id=name, number=number, state="sending")
            )
            return True
    return False


@_spoiler
def _transfer_twice(decisions: Decisions) -> bool:
    if not decisions.transfers:
        return False
    decisions.transfers.append(decisions.transfers[-1])
    return True


@_spoiler
def _transfer_to_itself(decisions: Decisions) -> bool:
    if not decisions.transfers:
        return False
    row = decisions.transfers[-1]
    decisions.transfers[-1] = msgspec.structs.replace(row, credit_account=row.debit_account)
    return True


@_spoiler
def _transfer_of_nothing(decisions: Decisions) -> bool:
    if not decisions.transfers:
        return False
    decisions.transfers[-1] = msgspec.structs.replace(decisions.transfers[-1], amount_minor=0)
    return True


@_spoiler
def _event_twice(decisions: Decisions) -> bool:
    if not decisions.told:
        return False
    decisions.told.append(decisions.told[-1])
    return True


@_spoiler
def _screened_twice(decisions: Decisions) -> bool:
    if not decisions.screenings:
        return False
    decisions.screenings.append(decisions.screenings[-1])
    return True


@_spoiler
def _credit_twice(decisions: Decisions) -> bool:
    if not decisions.credits:
        return False
    decisions.credits.append(decisions.credits[-1])
    return True


def spoil(number: int, decisions: Decisions) -> str | None:
    """Spoil in one of the ways that are possible, chosen by a number; returns its name."""
    possible = [name for name, spoiler in SPOILERS.items() if spoiler(_copy(decisions))]
    # Every decision has a payment; what only some have is chosen first.
    seldom = [name for name in possible if name.startswith(("credit", "transfer", "screened", "two"))]
    names = seldom or possible
    if not names:
        return None
    name = names[number % len(names)]
    SPOILERS[name](decisions)
    return name


def _copy(decisions: Decisions) -> Decisions:
    return Decisions(**{name: list(getattr(decisions, name)) for name in decisions.__struct_fields__})
