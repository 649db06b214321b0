"""Parse one message of the bus into events, keeping each event's bytes as they came.

Pure. An event is believed only as a whole; one that is malformed is left out and takes nobody else's with it.
The publisher may add fields that this service does not use, without a change here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

from services.node.parsed import MESSAGE_BYTES_MAX, Parsed
from services.notifications.errors import EventMalformed

SUBJECT = "countermark.events"
# What the relay puts into one message at the most.
EVENTS_MAX = 200
# Standard Webhooks advises less than 20 kB; receivers are often set up to refuse more.
EVENT_BYTES_MAX = 20_000
# Sequences are PostgreSQL integers.
SEQUENCE_MAX = 2**31 - 1

# These texts become header fields and parts of a signed text: no dot, no space, no control character.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_TYPE = re.compile(r"[a-z_]{1,64}(?:\.[a-z_]{1,64}){1,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `body` is its JSON text to the byte: the receiver gets it, the signature covers it.

    Attributes:
        at: When it happened, with its time zone.
    """

    event_id: str
    type: str
    merchant_id: str
    payment_id: str
    sequence: int
    body: bytes
    at: datetime


class _Message(msgspec.Struct):
    events: list[msgspec.Raw]


class _Fields(msgspec.Struct):
    id: str
    type: str
    merchant_id: str
    payment_id: str
    sequence: int
    at: Annotated[datetime, msgspec.Meta(tz=True)]


_message_decoder = msgspec.json.Decoder(_Message, strict=True)
_fields_decoder = msgspec.json.Decoder(_Fields, strict=True)


def parse_message(subject: str, data: bytes) -> Parsed[Event]:
    """Return the message's events in order.

    Args:
        subject: `countermark.events`; messages of an earlier release name a merchant behind it.
        data: `{"events": [...]}`, 1 to `EVENTS_MAX` of them.

    Raises:
        EventMalformed: It is no such list.
    """
    if subject != SUBJECT and not subject.startswith(SUBJECT + "."):
        raise EventMalformed("the subject is not that of events")
    if len(data) > MESSAGE_BYTES_MAX:
        raise EventMalformed(f"the message is larger than {MESSAGE_BYTES_MAX} bytes")
    try:
        data.decode("utf-8")  # The decoder skips what it does not need without looking at its bytes.
        raws = _message_decoder.decode(data).events
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise EventMalformed("the message is not a list of events") from fault
    if not 1 <= len(raws) <= EVENTS_MAX:
        raise EventMalformed(f"{len(raws)} events; 1 to {EVENTS_MAX} are allowed")
    parsed: Parsed[Event] = Parsed([])
    for raw in raws:
        try:
            parsed.items.append(_parse_event(bytes(raw)))
        except EventMalformed as fault:
            parsed.refused.append(str(fault))
    return parsed


def _parse_event(body: bytes) -> Event:
    if len(body) > EVENT_BYTES_MAX:
        raise EventMalformed(f"an event is larger than {EVENT_BYTES_MAX} bytes")
    try:
        fields = _fields_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise EventMalformed("an event lacks a field or has one of the wrong type") from fault
    ids = (fields.id, fields.merchant_id, fields.payment_id)
    if not (all(_ID.fullmatch(text) for text in ids) and _TYPE.fullmatch(fields.type)):
        raise EventMalformed("an event's id or type has characters that are not allowed")
    if not 1 <= fields.sequence <= SEQUENCE_MAX:
        raise EventMalformed("an event's sequence is not a positive integer")
    return Event(
        fields.id, fields.type, fields.merchant_id, fields.payment_id, fields.sequence, body, fields.at
    )
