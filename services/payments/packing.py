"""Pack rows of the outbox into messages of the bus, one merchant to a message (pure).

Promise: whichever prefix of the messages is stored on the bus, the resume position of the last stored one
misses no event; at worst events are published twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.payments.event_bodies import EventFacts, event_body

SUBJECT_PREFIX = "countermark.events."
# A message of 200 events is about 100 kB, a tenth of what the bus takes.
MESSAGE_EVENTS_MAX = 200
_encoder = msgspec.json.Encoder()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow(EventFacts):
    """One row of the outbox."""

    xid: int
    position: int


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
        body = _encoder.encode({"events": [event_body(rows[index]) for index in indices]})
        position = _position(rows[indices[-1]])
        messages.append(Message(SUBJECT_PREFIX + merchant_id, body, position, resume, len(indices)))
    return messages


def _position(row: EventRow) -> Position:
    return Position(row.xid, row.position)
