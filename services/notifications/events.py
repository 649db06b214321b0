"""Parse one message of the bus into the events of one merchant, keeping each event's bytes as they came.

Pure. A message is believed only as a whole: one malformed or foreign event refuses all of it. The publisher
may add fields that this service does not use, without a change here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

from services.notifications.errors import EventMalformed

SUBJECT_PREFIX = "countermark.events."
# The bus's own limit for one message (max_payload).
MESSAGE_BYTES_MAX = 1024 * 1024
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


def parse_message(subject: str, data: bytes) -> list[Event]:
    """Return the message's events in order.

    Args:
        subject: `countermark.events.<merchant id>`; every event must be of this merchant.
        data: `{"events": [...]}`, 1 to `EVENTS_MAX` of them.

    Raises:
        EventMalformed: anything else.
    """
    merchant_id = subject.removeprefix(SUBJECT_PREFIX)
    if merchant_id == subject or not _ID.fullmatch(merchant_id):
        raise EventMalformed("the subject names no merchant")
    if len(data) > MESSAGE_BYTES_MAX:
        raise EventMalformed(f"the message is larger than {MESSAGE_BYTES_MAX} bytes")
    try:
        data.decode("utf-8")  # The decoder skips what it does not need without looking at its bytes.
        raws = _message_decoder.decode(data).events
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise EventMalformed("the message is not a list of events") from fault
    if not 1 <= len(raws) <= EVENTS_MAX:
        raise EventMalformed(f"{len(raws)} events; 1 to {EVENTS_MAX} are allowed")
    return [_parse_event(bytes(raw), merchant_id) for raw in raws]


def _parse_event(body: bytes, merchant_id: str) -> Event:
    if len(body) > EVENT_BYTES_MAX:
        raise EventMalformed(f"an event is larger than {EVENT_BYTES_MAX} bytes")
    try:
        fields = _fields_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise EventMalformed("an event lacks a field or has one of the wrong type") from fault
    if not (_ID.fullmatch(fields.id) and _ID.fullmatch(fields.payment_id) and _TYPE.fullmatch(fields.type)):
        raise EventMalformed("an event's id or type has characters that are not allowed")
    if not 1 <= fields.sequence <= SEQUENCE_MAX:
        raise EventMalformed("an event's sequence is not a positive integer")
    if fields.merchant_id != merchant_id:
        raise EventMalformed("an event is of another merchant than the message")
    return Event(fields.id, fields.type, merchant_id, fields.payment_id, fields.sequence, body, fields.at)
