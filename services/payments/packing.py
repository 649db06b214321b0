"""Pack rows of the outbox into messages of the bus, one merchant to a message (pure).

Promise: whichever prefix of the messages is stored on the bus, the resume position of the last stored one
misses no event; at worst events are published twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

SUBJECT_PREFIX = "countermark.events."
# A message of 200 events is about 100 kB, a tenth of what the bus takes.
MESSAGE_EVENTS_MAX = 200
# The status that each type of event leaves its subject in; types that are not here leave it as it was.
_STATUS = {
    "payment.accepted": "accepted",
    "payment.review_opened": "in_review",
    "payment.reserved": "reserved",
    "payment.submitted": "submitted",
    "payment.bank_changed": "submitted",
    "payment.outcome_unknown": "unknown",
    "payment.authorized": "authorized",
    "payment.capture_requested": "capturing",
    "payment.capture_declined": "authorized",
    "payment.void_requested": "voiding",
    "payment.void_declined": "authorized",
    "payment.captured": "succeeded",
    "payment.succeeded": "succeeded",
    "payment.failed": "failed",
    "payment.canceled": "canceled",
    "payment.expired": "expired",
    "refund.requested": "requested",
    "refund.review_opened": "in_review",
    "refund.submitted": "submitted",
    "refund.outcome_unknown": "unknown",
    "refund.succeeded": "succeeded",
    "refund.failed": "failed",
    "refund.canceled": "canceled",
    "refund.reversed": "reversed",
    "dispute.opened": "opened",
    "dispute.won": "won",
    "dispute.lost": "lost",
    "dispute.expired": "expired",
}
# As for `payments.events_of`: who of our people decided, why, and by which rule is nobody's business outside.
_HIDDEN_DETAILS = frozenset({"by", "rule_pack", "reasons", "reason"})
_OWN_REASON = "refund.requested"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the outbox: transaction, then place among its rows. Written `<xid>.<position>`."""

    xid: int = 0
    position: int = 0

    def __str__(self) -> str:
        return f"{self.xid}.{self.position}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Parse what `str()` wrote.

        Raises:
            ValueError: It did not.
        """
        xid, _, position = text.partition(".")
        return cls(int(xid), int(position))


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of the outbox with what subscribers are told about its payment.

    Attributes:
        subject_id: The refund or dispute it is about; None for the payment itself.
        details: A JSON object, or None.
    """

    xid: int
    position: int
    payment_id: str
    sequence: int
    type: str
    at: datetime
    merchant_id: str
    account_id: str
    account_version: int | None
    kind: str
    amount_minor: int
    currency: str
    merchant_reference: str | None
    decline_code: str | None
    subject_id: str | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the bus.

    Attributes:
        position: Of its last event.
        resume: Everything up to here is on the bus once this message and those before it are.
        events: How many it holds.
    """

    subject: str
    body: bytes
    position: Position
    resume: Position
    events: int


def pack(rows: Sequence[EventRow], start: Position) -> list[Message]:
    """Group rows by merchant, keeping their order within each.

    Args:
        rows: In the outbox's order, all after `start`.
        start: Where the outbox was read from.
    """
    groups: list[tuple[str, list[int]]] = []
    open_groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        indices = open_groups.get(row.merchant_id)
        if indices is None or len(indices) == MESSAGE_EVENTS_MAX:
            indices = open_groups[row.merchant_id] = []
            groups.append((row.merchant_id, indices))
        indices.append(index)

    packed = [False] * len(rows)
    frontier, resume = 0, start
    messages = []
    for merchant_id, indices in groups:
        for index in indices:
            packed[index] = True
        while frontier < len(rows) and packed[frontier]:
            resume = _position(rows[frontier])
            frontier += 1
        body = _encoder.encode({"events": [_event(rows[index]) for index in indices]})
        position = _position(rows[indices[-1]])
        messages.append(Message(SUBJECT_PREFIX + merchant_id, body, position, resume, len(indices)))
    return messages


def _position(row: EventRow) -> Position:
    return Position(row.xid, row.position)


def _event(row: EventRow) -> dict[str, object]:
    return {
        "id": f"evt_{row.payment_id.removeprefix('pay_')}_{row.sequence}",
        "type": row.type,
        "merchant_id": row.merchant_id,
        "payment_id": row.payment_id,
        "account_id": row.account_id,
        "account_version": row.account_version,
        "subject_id": row.subject_id,
        "sequence": row.sequence,
        "at": row.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "status": _STATUS.get(row.type),
            "kind": row.kind,
            "amount_minor": row.amount_minor,
            "currency": row.currency,
            "merchant_reference": row.merchant_reference,
            "decline_code": row.decline_code,
            "details": _shown(row),
        },
    }


def _shown(row: EventRow) -> dict[str, object] | None:
    if row.details is None:
        return None
    hidden = _HIDDEN_DETAILS - {"reason"} if row.type == _OWN_REASON else _HIDDEN_DETAILS
    return {name: value for name, value in _decoder.decode(row.details).items() if name not in hidden}
