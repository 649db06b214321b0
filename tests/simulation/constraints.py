"""What the real schema refuses, refused here with the same errors.

The differential test (`tests/integration/payments/test_record_agrees.py`) holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg

from services.payments.machine.events import Decisions
from services.payments.machine.model import PAYMENT_FINAL, REFUND_FINAL, Attempt, unclaimed_minor
from tests.simulation.rows import Rows

_GONE = {"declined", "not_processed", "reversed"}
_MONEY = {"collect", "authorise", "payout"}
_DISPUTE_OPEN = {"opened"}


def refuse(rows: Rows, decisions: Decisions) -> None:
    """Raise what PostgreSQL would raise for these writes.

    Raises:
        asyncpg.CheckViolationError, asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError: As there.
    """
    for broken in _broken_checks(rows, decisions):
        raise asyncpg.CheckViolationError(broken)
    for broken in _repeated(rows, decisions):
        raise asyncpg.UniqueViolationError(broken)
    for transfer in decisions.transfers:
        if transfer.resolves is not None and not (
            transfer.resolves in rows.transfers
            or any(each.transfer_id == transfer.resolves for each in decisions.transfers)
        ):
            raise asyncpg.ForeignKeyViolationError(f"{transfer.transfer_id} resolves what is not there")


def _broken_checks(rows: Rows, decisions: Decisions) -> Iterator[str]:
    for account in decisions.accounts:
        if account.held_minor < 0 or account.posted_minor - account.held_minor < 0:
            yield f"account_never_overdrawn: {account.account_id}"
        if account.unposted_minor < 0:
            yield f"unposted: {account.account_id}"
    for payment in decisions.payments:
        if (payment.status in PAYMENT_FINAL) != (payment.due is None):
            yield f"payment_reminder: {payment.payment_id} {payment.status}"
        if unclaimed_minor(payment) < 0 or payment.captured_minor > payment.amount_minor:
            yield f"payment_headroom: {payment.payment_id}"
        if payment.refund_reserved_minor < 0 or payment.refunded_minor < 0 or payment.disputed_minor < 0:
            yield f"payment_headroom: {payment.payment_id}"
        if payment.sequence < rows.payments[payment.payment_id].sequence:
            yield f"payment_sequence: {payment.payment_id}"
    for refund in decisions.refunds:
        if (refund.status in REFUND_FINAL) != (refund.due is None):
            yield f"refund_reminder: {refund.refund_id} {refund.status}"
    for transfer in decisions.transfers:
        if transfer.amount_minor <= 0 or transfer.debit_account == transfer.credit_account:
            yield f"ledger_transfer: {transfer.transfer_id}"


def _repeated(rows: Rows, decisions: Decisions) -> Iterator[str]:
    written = {each.attempt_id: each for each in decisions.attempts}
    for payment_id in {each.payment_id: None for each in decisions.attempts}:
        attempts = {each.attempt_id: each for each in rows.whole(payment_id).attempts} | {
            key: each for key, each in written.items() if each.payment_id == payment_id
        }
        alive = [_op_key(each) for each in attempts.values() if each.state not in _GONE]
        if len(alive) != len(set(alive)):
            yield f"one_money_attempt: {payment_id}"
    screened = [each.payment_id for each in decisions.screenings]
    if len(screened) > len(set(screened)) or any(each in rows.screenings for each in screened):
        yield f"screening_pkey: {screened}"
    credited = [each.source_id for each in decisions.credits]
    if len(credited) > len(set(credited)) or any(each in rows.credits for each in credited):
        yield f"credit_pkey: {credited}"
    born: set[str] = set()
    for refund in decisions.refunds:
        known = rows.refunds.get(refund.refund_id)
        if refund.refund_id in born or (known is not None and known.payment_id != refund.payment_id):
            yield f"refund_pkey: {refund.refund_id}"
        born.add(refund.refund_id)
    seen: set[str] = set()
    for transfer in decisions.transfers:
        if transfer.transfer_id in rows.transfers or transfer.transfer_id in seen:
            yield f"ledger_transfer_pkey: {transfer.transfer_id}"
        if transfer.resolves is not None and transfer.resolves in rows.resolved:
            yield f"ledger_transfer_resolves_key: {transfer.resolves}"
        seen.add(transfer.transfer_id)
    told: set[tuple[str, int]] = set()
    for event in decisions.told:
        key = (event.payment_id, event.sequence)
        if key in told or key in rows.told_at:
            yield f"event_pkey: {key}"
        told.add(key)


def _op_key(attempt: Attempt) -> tuple[str, str]:
    return attempt.subject_id, "money" if attempt.operation in _MONEY else attempt.operation
