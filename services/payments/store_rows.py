"""Rows as they come from PostgreSQL and go there: JSON in the spelling of the engine's structs (pure).

Promise: what goes back says how the row was when it was read, so that a row which changed under a decision
refuses the whole turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from services.payments.machine.events import Decisions, Event, Mail, ReminderDue, Snapshot, TurnCame
from services.payments.machine.model import Account, Attempt, Dispute, Payment, Refund

# A mail that cannot be read is answered for ever, or it would come back with every turn of its account.
MAIL_MALFORMED = "refused: mail-malformed"

_Row: TypeAlias = dict[str, object]
# Columns that a decision may change, and those by which a change under it would show.
_PAYMENT_ROW: Final = (
    "payment_id", "status", "sequence", "account_version", "bank", "decline_code", "due", "expires_at",
    "reviewers", "raised_at", "captured_minor", "refund_reserved_minor", "refunded_minor", "disputed_minor",
    "tries",
)  # fmt: skip
_PAYMENT_GUARD: Final = ("status", "sequence", "due")
_ACCOUNT_ROW: Final = ("account_id", "posted_minor", "held_minor", "unposted_minor", "version")
_ACCOUNT_GUARD: Final = ("version", "posted_minor", "held_minor", "unposted_minor")
_ATTEMPT_ROW: Final = (
    "attempt_id", "state", "epoch", "tries", "unsent", "not_founds", "not_found_since", "bank_reference",
    "decline_code",
)  # fmt: skip
_ATTEMPT_GUARD: Final = ("state", "epoch")
_CLAIM_GUARD: Final = ("status", "due")
_NO_BODY: Final = msgspec.Raw()
_SCREENING_ROW: Final = ("payment_id", "verdict", "rule_pack", "inputs_digest", "reasons")


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """What waits: a payment's turn, a mail with its body, or a reminder with its subject."""

    payment_id: str
    mail_id: int | None = None
    body: msgspec.Raw = _NO_BODY
    subject_id: str | None = None


_accounts = msgspec.json.Decoder(list[Account])
_payments = msgspec.json.Decoder(list[Payment])
_arrivals = msgspec.json.Decoder(list[Arrival])
_mail = msgspec.json.Decoder(Mail)
_encoder = msgspec.json.Encoder()


def accounts_from(text: str | None) -> dict[str, Account]:
    """The accounts of one read, by id."""
    return {account.account_id: account for account in _accounts.decode(text)} if text else {}


def payments_from(text: str | None) -> dict[str, Payment]:
    """The payments of one read with all that hangs on them, by id."""
    return {payment.payment_id: payment for payment in _payments.decode(text)} if text else {}


def events_from(text: str | None) -> tuple[list[Event], list[tuple[int, str]]]:
    """The events of one read, in order; and the mails that are none, each with its refusal."""
    events: list[Event] = []
    refused: list[tuple[int, str]] = []
    for arrival in _arrivals.decode(text) if text else ():
        if arrival.subject_id is not None:
            events.append(ReminderDue(payment_id=arrival.payment_id, subject_id=arrival.subject_id))
        elif arrival.mail_id is None:
            events.append(TurnCame(payment_id=arrival.payment_id))
        else:
            mail = _mail_of(arrival.body, arrival.payment_id)
            if mail is None:
                refused.append((arrival.mail_id, MAIL_MALFORMED))
            else:
                events.append(msgspec.structs.replace(mail, mail_id=arrival.mail_id))
    return events, refused


def _mail_of(body: msgspec.Raw, payment_id: str) -> Mail | None:
    try:
        mail = _mail.decode(body)
    except msgspec.DecodeError:
        return None
    return mail if mail.payment_id == payment_id else None


def written(seen: Snapshot, decided: Decisions) -> list[object]:
    """The arguments of `payments.write_turn`, in its order; None where there is nothing of the kind."""
    attempts: dict[str, Attempt] = {}
    refunds: dict[str, Refund] = {}
    disputes: dict[str, Dispute] = {}
    for payment in seen.payments.values():
        for attempt in payment.attempts:
            attempts[attempt.attempt_id] = attempt
        for refund in payment.refunds:
            refunds[refund.refund_id] = refund
        for dispute in payment.disputes:
            disputes[dispute.dispute_id] = dispute
    changed = [attempt for attempt in decided.attempts if attempt.attempt_id in attempts]
    born = [attempt for attempt in decided.attempts if attempt.attempt_id not in attempts]
    return [
        _json([_row(new, _ACCOUNT_ROW, seen.accounts[new.account_id], _ACCOUNT_GUARD)
               for new in decided.accounts]),
        _json([_row(new, _PAYMENT_ROW, seen.payments[new.payment_id], _PAYMENT_GUARD)
               for new in decided.payments]),
        _json([_row(row, _ATTEMPT_ROW, attempts[row.attempt_id], _ATTEMPT_GUARD) for row in changed]),
        _json(born),
        _json(_claims(decided.refunds, "refund_id", refunds)),
        _json(_claims(decided.disputes, "dispute_id", disputes)),
        _json(decided.transfers),
        _json(decided.credits),
        _json(decided.told),
        _json([{name: getattr(row, name) for name in _SCREENING_ROW} for row in decided.screenings]),
        _json([{"mail_id": mail_id, "result": result} for mail_id, result in decided.mail_done]),
        _json([{"subject": subject, "problem": problem} for subject, problem in decided.contradictions]),
        decided.flushed,
    ]  # fmt: skip


def _claims(rows: Iterable[Refund | Dispute], key: str, known: Mapping[str, Refund | Dispute]) -> list[_Row]:
    return [_row(row, row.__struct_fields__, known.get(getattr(row, key)), _CLAIM_GUARD) for row in rows]


def _row(
    new: msgspec.Struct, columns: Sequence[str], old: msgspec.Struct | None, guard: Sequence[str]
) -> _Row:
    row: _Row = {name: getattr(new, name) for name in columns}
    if old is not None:
        for name in guard:
            row["was_" + name] = getattr(old, name)
    return row


def _json(rows: Sequence[object]) -> str | None:
    return _encoder.encode(rows).decode() if rows else None
