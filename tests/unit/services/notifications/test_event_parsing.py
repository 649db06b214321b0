"""Messages of the bus: what is taken keeps its bytes, anything else is refused as a whole."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.errors import EventMalformed
from services.notifications.events import EVENT_BYTES_MAX, EVENTS_MAX, is_public, parse_message

SUBJECT = "countermark.events.mer_a"
GOOD = {
    "id": "evt_1_1",
    "type": "payment.succeeded",
    "merchant_id": "mer_a",
    "payment_id": "pay_eu_1",
    "sequence": 1,
    "at": "2026-01-01T00:00:00Z",
    "account_version": None,
    "data": {"amount_minor": 1},
}
ids = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
events = st.fixed_dictionaries(
    {
        "id": ids,
        "type": st.sampled_from(["payment.accepted", "payment.outcome_unknown", "refund.reversed"]),
        "merchant_id": st.just("mer_a"),
        "payment_id": ids,
        "sequence": st.integers(1, 2**31 - 1),
        "at": st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat()),
        "data": json_values,
    }
)


def _message(*listed: Any) -> bytes:
    return msgspec.json.encode({"events": listed})


@given(st.lists(events, min_size=1, max_size=5))
def test_each_event_keeps_its_bytes_and_order(listed: list[dict[str, Any]]) -> None:
    parsed = parse_message(SUBJECT, _message(*listed))

    assert [msgspec.json.encode(event) for event in listed] == [event.body for event in parsed]
    assert [(e["id"], e["payment_id"], e["sequence"]) for e in listed] == [
        (e.event_id, e.payment_id, e.sequence) for e in parsed
    ]


def test_odd_spacing_inside_an_event_is_kept_to_the_byte() -> None:
    body = b'{ "sequence" : 1,"id":"evt_1_1",\n"type":"a.b", '
    body += b'"merchant_id":"mer_a","payment_id":"p","at":"2026-01-01T00:00:00Z","x":"\\u00e9"}'

    (event,) = parse_message(SUBJECT, b'{"events": [ ' + body + b' ], "more": 1}')

    assert body == event.body


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_malformed(data: bytes) -> None:
    with pytest.raises(EventMalformed):
        parse_message(SUBJECT, data)


@given(json_values)
def test_any_json_is_events_or_malformed(value: Any) -> None:
    with pytest.raises(EventMalformed):
        parse_message(SUBJECT, _message(value))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "evt.1"}, {"id": "evt 1"}, {"id": "evt\r\nx: y"}, {"id": ""}, {"id": "e" * 129}, {"id": 1},
        {"type": "payment"}, {"type": "payment.succeeded\n"}, {"type": None},
        {"merchant_id": "mer_b"}, {"merchant_id": "MER_A"},
        {"payment_id": "a/b"}, {"payment_id": ""},
        {"sequence": 0}, {"sequence": -1}, {"sequence": 2**31}, {"sequence": "1"}, {"sequence": 1.5},
        {"sequence": True}, {"sequence": None}, {"data": "x" * EVENT_BYTES_MAX},
    ],
)  # fmt: skip
def test_one_bad_event_refuses_the_message(change: dict[str, Any]) -> None:
    assert 2 == len(parse_message(SUBJECT, _message(GOOD, GOOD)))
    with pytest.raises(EventMalformed):
        parse_message(SUBJECT, _message(GOOD, GOOD | change))


@pytest.mark.parametrize("missing", ["id", "type", "merchant_id", "payment_id", "sequence"])
def test_a_missing_field_refuses_the_message(missing: str) -> None:
    with pytest.raises(EventMalformed):
        parse_message(SUBJECT, _message({k: v for k, v in GOOD.items() if k != missing}))


@pytest.mark.parametrize(
    "subject",
    [
        "countermark.events.mer_b",
        "countermark.events.",
        "countermark.events.mer_a.x",
        "events.mer_a",
        "mer_a",
        "",
    ],
)
def test_a_message_belongs_to_the_merchant_of_its_subject(subject: str) -> None:
    with pytest.raises(EventMalformed):
        parse_message(subject, _message(GOOD))


def test_the_number_and_the_size_are_bounded() -> None:
    assert EVENTS_MAX == len(parse_message(SUBJECT, _message(*[GOOD] * EVENTS_MAX)))
    for data in (_message(), _message(*[GOOD] * (EVENTS_MAX + 1)), b" " * 2**20 + _message(GOOD)):
        with pytest.raises(EventMalformed):
            parse_message(SUBJECT, data)


@pytest.mark.parametrize(
    "data",
    [b'{"events":[{"id":"evt_1","x":"\xff"}]}', b'{"events":' + b"[" * 100_000, b'{"events":[null]}', b"[]"],
)
def test_what_decoders_stumble_over_is_malformed(data: bytes) -> None:
    with pytest.raises(EventMalformed):
        parse_message(SUBJECT, data)


def test_merchants_are_sent_how_things_end_and_nothing_of_how_they_are_screened_or_who_approved() -> None:
    assert [True, True, True] == [
        is_public(kind) for kind in ("payment.succeeded", "refund.failed", "dispute.opened")
    ]
    assert [False, False, False] == [
        is_public(kind)
        for kind in (
            "payment.screening_passed",
            "refund.review_approved",
            "payment.needs_operator",
            "payment.x",
        )
    ]
