"""Pack rows of the outbox into messages of the bus, in the outbox's order, whoever they are of (pure).

Promise: whichever prefix of the messages is stored on the bus, whoever goes on from the position of the last
stored one misses no event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from services.payments.event_bodies import EventFacts, event_body

EVENTS_SUBJECT = "countermark.events"
# A message of 200 events is about 100 kB, and is one transaction of whoever reads it.
MESSAGE_EVENTS_MAX = 200
# Events are up to 20 kB each; the bus takes 1 MiB, headers included.
MESSAGE_BYTES_MAX = 900_000
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
        position: Of its last event: everything up to here is on the bus once it and those before it are.
        events: How many it holds.
    """

    subject: str
    body: bytes
    position: Position
    events: int


def pack(rows: Sequence[EventRow]) -> list[Message]:
    """Put rows into as few messages as their bounds allow, whole.

    Args:
        rows: In the outbox's order.
    """
    return pack_as(EVENTS_SUBJECT, "events", rows, event_body, MESSAGE_EVENTS_MAX)


def pack_as(
    subject: str,
    member: str,
    rows: Sequence[EventRow],
    shown: Callable[[EventRow], object],
    items_max: int,
) -> list[Message]:
    """Put what is shown of rows into as few messages as their bounds allow.

    Args:
        subject: Of the messages.
        member: Of the object that a message is; it holds the list.
        rows: In the outbox's order.
        shown: What a subscriber of this subject may know of a row.
        items_max: In one message.
    """
    messages: list[Message] = []
    bodies: list[bytes] = []
    size = 0

    def close(last: EventRow) -> None:
        body = b'{"%s":[%s]}' % (member.encode(), b",".join(bodies))
        messages.append(Message(subject, body, Position(last.xid, last.position), len(bodies)))

    for index, row in enumerate(rows):
        body = _encoder.encode(shown(row))
        if bodies and (len(bodies) == items_max or size + len(body) > MESSAGE_BYTES_MAX):
            close(rows[index - 1])
            bodies, size = [], 0
        bodies.append(body)
        size += len(body) + 1
    if bodies:
        close(rows[-1])
    return messages
