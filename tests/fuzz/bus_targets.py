"""Targets for what subscribers read of the bus, and for the places that followers of the feed name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.store.feed_place import parse_place
from services.node.errors import MessageMalformed
from services.notifications import events as bus_events
from services.reporting import facts as bus_facts


def events(octets: bytes) -> bool:
    """`parse_message` of notifications: each event to the byte; an input that is refused has none."""
    with contextlib.suppress(MessageMalformed):
        parsed = bus_events.parse_message(bus_events.SUBJECT, octets)
        for event in parsed.items:
            assert event.body in octets
            said = msgspec.json.decode(event.body)
            assert (said["id"], said["merchant_id"]) == (event.event_id, event.merchant_id)
        return bool(parsed.items)
    return False


def facts(octets: bytes) -> bool:
    """`parse_message` of reporting: nothing but what a fact may have."""
    with contextlib.suppress(MessageMalformed):
        for fact in bus_facts.parse_message(bus_facts.SUBJECT, octets).items:
            assert f"{fact.place[0]}.{fact.place[1]}" == fact.row
            assert (fact.hour.minute, fact.hour.second, fact.hour.microsecond) == (0, 0, 0)
        return True
    return False


def feed_place(octets: bytes) -> bool:
    """`parse_place`: one spelling for each place."""
    text = octets.decode("latin-1")
    place = parse_place(text)
    assert place is None or text == str(place)
    return place is not None


BUS_TARGETS: Final[dict[str, Callable[[bytes], bool]]] = {
    "events": events,
    "facts": facts,
    "feed_place": feed_place,
}


def bus_seeds() -> dict[str, dict[str, bytes]]:
    """Return file contents by target and name."""
    event = (
        b'{"id":"evt_eu_1_1","type":"payment.accepted","merchant_id":"mer_eu_1","payment_id":"pay_eu_1",'
        b'"account_id":"acc_1","account_version":null,"subject_id":null,"sequence":1,'
        b'"at":"2026-11-27T09:20:11.123Z","data":{"status":"accepted"}}'
    )
    fact = (
        b'{"row":"7.9","type":"payment.failed","hour":"2026-11-27T09:00:00Z","kind":"collect","currency":"EUR",'
        b'"band":11,"decline_code":"lost_card"}'
    )
    return {
        "events": {
            "one": b'{"events":[%s]}' % event,
            "two": b'{"events":[%s,%s]}' % (event, event.replace(b"_1_1", b"_1_2")),
            "mixed": b'{"events":[%s,%s]}' % (event, event.replace(b'"sequence":1', b'"sequence":0')),
            "refused-none": b'{"events":[%s]}' % event.replace(b'"sequence":1', b'"sequence":0'),
        },
        "facts": {
            "two": b'{"facts":[%s,%s]}' % (fact, fact.replace(b'"lost_card"', b"null")),
            "refused-somebody": b'{"facts":[%s]}' % fact.replace(b"{", b'{"merchant_id":"mer_eu_1",'),
        },
        "feed_place": {
            "begin": b"f1.81544.1790000000000000",
            "within": b"f1.81544.1790000000000000.81600.1790000000500000.1790000000400000.pay_eu_1.6",
            "refused-zero": b"f1.081544.1",
        },
    }
