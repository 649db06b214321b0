"""One turn: its events in order, over the rows they are about; whole changed rows and effects out (pure).

Promise: what is returned keeps what must always hold, or nothing is returned at all (`invariants`).
"""

from __future__ import annotations

from services.payments.machine import answers, payment
from services.payments.machine.account import Balance
from services.payments.machine.case import Case
from services.payments.machine.choice import Routes
from services.payments.machine.errors import RecordIncomplete, Refused
from services.payments.machine.events import (
    Answered,
    Decisions,
    Event,
    ReminderDue,
    Screened,
    Snapshot,
    TurnCame,
)
from services.payments.machine.model import ATTEMPT_OPEN
from services.payments.machine.policy import Policy


def decide(snapshot: Snapshot, routes: Routes, policy: Policy) -> Decisions:
    """Decide a turn.

    Raises:
        IllegalTransition: An event of our own making that the rows exclude.
        RecordIncomplete: A row that an event is about is missing.
        InvariantBroken: The decision would break what must always hold.
    """
    out = Decisions()
    cases: dict[str, Case] = {}
    balances: dict[str, Balance] = {}
    for event in snapshot.events:
        case = cases.get(event.payment_id)
        if case is None:
            case = _open(snapshot, event.payment_id, balances, routes, policy, out)
            cases[event.payment_id] = case
        result = "applied"
        try:
            _apply(case, event)
        except Refused as refusal:
            result = f"refused: {refusal.code}"
        if event.mail_id is not None:
            out.mail_done.append((event.mail_id, result))
    for account_id, balance in balances.items():
        if (row := balance.changed_row()) is not None:
            out.accounts.append(row)
        if balance.flushed:
            out.flushed.append(account_id)
    for case in cases.values():
        _close(case)
    return out


def _open(
    snapshot: Snapshot,
    payment_id: str,
    balances: dict[str, Balance],
    routes: Routes,
    policy: Policy,
    out: Decisions,
) -> Case:
    row = snapshot.payments.get(payment_id)
    if row is None:
        raise RecordIncomplete(f"the snapshot lacks payment {payment_id}")
    balance = balances.get(row.account_id)
    if balance is None:
        account = snapshot.accounts.get(row.account_id)
        if account is None:
            raise RecordIncomplete(f"the snapshot lacks account {row.account_id}")
        balance = balances[row.account_id] = Balance(account)
    return Case(row, balance, snapshot.now, routes, policy, out)


def _apply(case: Case, event: Event) -> None:
    if isinstance(event, Answered):
        answers.answered(case, event)
    elif isinstance(event, Screened):
        payment.screened(case, event)
    elif isinstance(event, TurnCame):
        payment.start(case)
    elif isinstance(event, ReminderDue):
        remind(case, event)


def remind(case: Case, event: ReminderDue) -> None:
    """A reminder; one that somebody was quicker with changes nothing."""
    row = case.row
    if row.due is None or row.due > case.now:
        return
    if row.status == "accepted":
        payment.start(case)
    elif row.status == "screening":
        payment.ask_again(case)
    elif row.status == "reserved":
        payment.route_again(case)
    else:
        for attempt in row.attempts:
            if attempt.state in ATTEMPT_OPEN and attempt.subject_id == event.subject_id:
                answers.take_over(case, attempt)


def _close(case: Case) -> None:
    if case.row is case.before:
        return
    if case.row.sequence != case.sequence:
        case.change()
    row, out = case.row, case.out
    out.payments.append(row)
    known = case.before.attempts
    for place, attempt in enumerate(row.attempts):
        if place >= len(known) or known[place] is not attempt:
            out.attempts.append(attempt)
