"""Messages of the bus: what is taken keeps its bytes, and takes nobody else's place."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifications.errors import EventMalformed
from services.notifications.events import EVENT_BYTES_MAX, EVENTS_MAX, SUBJECT, parse_message

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
        "merchant_id": ids,
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
    parsed = parse_message(SUBJECT, _message(*listed)).items

    assert [msgspec.json.encode(event) for event in listed] == [event.body for event in parsed]
    assert [(e["id"], e["merchant_id"], e["payment_id"], e["sequence"]) for e in listed] == [
        (e.event_id, e.merchant_id, e.payment_id, e.sequence) for e in parsed
    ]


def test_odd_spacing_inside_an_event_is_kept_to_the_byte() -> None:
    body = b'{ "sequence" : 1,"id":"evt_1_1",\n"type":"a.b", '
    body += b'"merchant_id":"mer_a","payment_id":"p","at":"2026-01-01T00:00:00Z","x":"\\u00e9"}'

    (event,) = parse_message(SUBJECT, b'{"events": [ ' + body + b' ], "more": 1}').items

    assert body == event.body


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_malformed(data: bytes) -> None:
    with pytest.raises(EventMalformed):
        parse_message(SUBJECT, data)


@given(json_values)
def test_any_json_is_an_event_or_left_out(value: Any) -> None:
    parsed = parse_message(SUBJECT, _message(value, GOOD))

    assert (["evt_1_1"], 1) == ([event.event_id for event in parsed.items], len(parsed.refused))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "evt.1"}, {"id": "evt 1"}, {"id": "evt\r\nx: y"}, {"id": ""}, {"id": "e" * 129}, {"id": 1},
        {"type": "payment"}, {"type": "payment.succeeded\n"}, {"type": None},
        {"merchant_id": "mer b"}, {"merchant_id": ""}, {"merchant_id": 7},
        {"payment_id": "a/b"}, {"payment_id": ""},
        {"sequence": 0}, {"sequence": -1}, {"sequence": 2**31}, {"sequence": "1"}, {"sequence": 1.5},
        {"sequence": True}, {"sequence": None}, {"data": "x" * EVENT_BYTES_MAX},
    ],
)  # fmt: skip
def test_one_bad_event_is_left_out_and_takes_no_other_with_it(change: dict[str, Any]) -> None:
    parsed = parse_message(SUBJECT, _message(GOOD, GOOD | change, GOOD | {"id": "evt_1_2"}))

    assert ["evt_1_1", "evt_1_2"] == [event.event_id for event in parsed.items]
    assert 1 == len(parsed.refused)


@pytest.mark.parametrize("missing", ["id", "type", "merchant_id", "payment_id", "sequence", "at"])
def test_an_event_without_a_field_is_left_out(missing: str) -> None:
    parsed = parse_message(SUBJECT, _message({k: v for k, v in GOOD.items() if k != missing}))

    assert ([], 1) == (parsed.items, len(parsed.refused))


@pytest.mark.parametrize("subject", ["countermark.facts", "countermark.eventsx", "events", ""])
def test_a_message_of_another_subject_is_refused(subject: str) -> None:
    with pytest.raises(EventMalformed):
        parse_message(subject, _message(GOOD))


def test_what_an_earlier_release_left_on_the_bus_is_read() -> None:
    assert 1 == len(parse_message("countermark.events.mer_a", _message(GOOD)).items)


def test_the_number_and_the_size_are_bounded() -> None:
    assert EVENTS_MAX == len(parse_message(SUBJECT, _message(*[GOOD] * EVENTS_MAX)).items)
    for data in (_message(), _message(*[GOOD] * (EVENTS_MAX + 1)), b" " * 2**20 + _message(GOOD)):
        with pytest.raises(EventMalformed):
            parse_message(SUBJECT, data)


@pytest.mark.parametrize(
    "data",
    [b'{"events":[{"id":"evt_1","x":"\xff"}]}', b'{"events":' + b"[" * 100_000, b'{"events":null}', b"[]"],
)
def test_what_decoders_stumble_over_is_malformed(data: bytes) -> None:
    with pytest.raises(EventMalformed):
        parse_message(SUBJECT, data)
