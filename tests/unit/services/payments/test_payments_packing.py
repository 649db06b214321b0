from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.packing import (
    EVENTS_SUBJECT,
    MESSAGE_BYTES_MAX,
    MESSAGE_EVENTS_MAX,
    EventRow,
    Position,
    pack,
)

START = Position(7, 3)


def _row(index: int, merchant: str, at: datetime = datetime(2026, 1, 2, tzinfo=UTC)) -> EventRow:
    return EventRow(
        xid=8 + index // 3, position=100 + index, payment_id=f"pay_eu_{index}", sequence=2,
        type="payment.outcome_unknown", at=at, merchant_id=merchant, account_id="acc", account_version=5,
        kind="collect", amount_minor=1999, currency="EUR", merchant_reference=None, decline_code=None,
    )  # fmt: skip


_rows = st.lists(st.sampled_from(["mer_a", "mer_b", "mer_c"]), max_size=500).map(
    lambda merchants: [_row(index, merchant) for index, merchant in enumerate(merchants)]
)


@given(rows=_rows)
def test_every_event_is_packed_once_in_the_outboxs_order(rows: list[EventRow]) -> None:
    messages = pack(rows)

    packed = [msgspec.json.decode(message.body)["events"] for message in messages]
    assert [row.payment_id for row in rows] == [event["payment_id"] for events in packed for event in events]
    assert [len(events) for events in packed] == [message.events for message in messages]
    assert -(-len(rows) // MESSAGE_EVENTS_MAX) == len(messages)


@given(sizes=st.lists(st.integers(0, 19_000), max_size=250))
def test_a_message_is_never_larger_than_what_the_bus_takes(sizes: list[int]) -> None:
    rows = [replace(_row(index, "mer_a"), merchant_reference="x" * size) for index, size in enumerate(sizes)]

    messages = pack(rows)

    assert all(len(message.body) <= MESSAGE_BYTES_MAX + 100 for message in messages)
    assert len(rows) == sum(message.events for message in messages)


@given(rows=_rows, data=st.data())
def test_going_on_after_any_stored_prefix_misses_no_event(rows: list[EventRow], data: st.DataObject) -> None:
    messages = pack(rows)
    stored = messages[: data.draw(st.integers(0, len(messages)))]
    place = stored[-1].position if stored else START

    seen = [e["payment_id"] for m in stored for e in msgspec.json.decode(m.body)["events"]]
    again = [row.payment_id for row in rows if Position(row.xid, row.position) > place]

    assert [row.payment_id for row in rows] == seen + again


def test_an_event_is_what_subscribers_were_promised() -> None:
    east = timezone(timedelta(hours=2))
    [message] = pack([_row(0, "mer_a", datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=east))])

    assert (EVENTS_SUBJECT, Position(8, 100)) == (message.subject, message.position)
    assert {
        "events": [
            {
                "id": "evt_eu_0_2",
                "type": "payment.outcome_unknown",
                "merchant_id": "mer_a",
                "payment_id": "pay_eu_0",
                "account_id": "acc",
                "account_version": 5,
                "subject_id": None,
                "sequence": 2,
                "at": "2026-01-02T01:04:05.678Z",
                "data": {
                    "status": "unknown",
                    "kind": "collect",
                    "amount_minor": 1999,
                    "currency": "EUR",
                    "merchant_reference": None,
                    "decline_code": None,
                    "details": None,
                },
            }
        ]
    } == msgspec.json.decode(message.body)


def test_an_event_of_a_refund_names_it_and_hides_who_of_the_operators_did_it() -> None:
    row = replace(
        _row(0, "mer_a"), type="refund.succeeded", subject_id="ref_eu_1",
        details='{"amount_minor":5,"by":"alice"}',
    )  # fmt: skip

    [event] = msgspec.json.decode(pack([row])[0].body)["events"]

    assert ("refund.succeeded", "ref_eu_1", "succeeded", {"amount_minor": 5}) == (
        event["type"], event["subject_id"], event["data"]["status"], event["data"]["details"],
    )  # fmt: skip


def test_rules_and_what_operators_wrote_stay_inside_but_a_merchants_own_reason_does_not() -> None:
    details = '{"rule_pack":"demo@1","reasons":["velocity"],"reason":"faulty goods","bank":"bank-alpha"}'
    review, refund = (
        replace(_row(0, "mer_a"), type=kind, details=details)
        for kind in ("payment.review_opened", "refund.requested")
    )

    [message] = pack([review, refund])

    shown = [event["data"]["details"] for event in msgspec.json.decode(message.body)["events"]]
    assert [{"bank": "bank-alpha"}, {"bank": "bank-alpha", "reason": "faulty goods"}] == shown


def test_a_type_that_changes_no_status_is_published_without_one() -> None:
    [message] = pack([replace(_row(0, "mer_a"), type="payment.contradiction")])

    assert msgspec.json.decode(message.body)["events"][0]["data"]["status"] is None


@given(xid=st.integers(0, 2**64 - 1), position=st.integers(0, 2**63 - 1))
def test_a_position_survives_its_header(xid: int, position: int) -> None:
    assert Position(xid, position) == Position.parse(str(Position(xid, position)))


@pytest.mark.parametrize("text", ["", "7", "7.", ".7", "a.b"])
def test_a_malformed_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Position.parse(text)
