"""What leaves the engine for whoever counts: nothing of anybody, and only what was agreed on is read."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.node.errors import MessageMalformed
from services.payments.facts import FACTS_SUBJECT, MESSAGE_FACTS_MAX, fact_of, pack_facts
from services.payments.packing import EventRow, Position
from services.reporting.facts import FACTS_MAX, SUBJECT, parse_message

HOUR = datetime(2026, 11, 27, 9, tzinfo=UTC)
WORDS = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)
ROWS = st.builds(
    EventRow,
    xid=st.integers(1, 2**62), position=st.integers(1, 2**62), payment_id=WORDS, sequence=st.integers(1, 9),
    type=st.sampled_from(["payment.succeeded", "refund.requested", "dispute.lost"]),
    at=st.integers(0, 3_599_999).map(lambda ms: HOUR + timedelta(milliseconds=ms)),
    merchant_id=WORDS, account_id=WORDS, account_version=st.none() | st.integers(1, 9),
    kind=st.sampled_from(["collect", "payout"]), amount_minor=st.integers(1, 10**12),
    currency=st.sampled_from(["EUR", "JPY"]), merchant_reference=st.none() | WORDS,
    decline_code=st.none() | st.just("lost_card"), subject_id=st.none() | WORDS,
    details=st.none() | st.just("{}"),
)  # fmt: skip


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_what_is_packed_is_read_as_facts_in_order(rows: list[EventRow]) -> None:
    [message] = pack_facts(rows)

    facts = parse_message(message.subject, message.body).items

    assert [(row.xid, row.position) for row in rows] == [fact.place for fact in facts]
    assert {HOUR} == {fact.hour for fact in facts}
    assert Position(rows[-1].xid, rows[-1].position) == message.position


@given(ROWS, ROWS)
def test_who_it_was_about_when_exactly_and_how_much_makes_no_difference(
    row: EventRow, other: EventRow
) -> None:
    """Two events that differ in nothing else are one fact: nothing of it can be found again in the fact."""
    amount = 1 << (row.amount_minor.bit_length() - 1)
    disguised = replace(
        row, payment_id=other.payment_id, sequence=other.sequence, at=other.at, merchant_id=other.merchant_id,
        account_id=other.account_id, account_version=other.account_version, amount_minor=amount,
        merchant_reference=other.merchant_reference, subject_id=other.subject_id, details=other.details,
    )  # fmt: skip

    assert fact_of(row) == fact_of(disguised)


def test_a_long_outbox_is_several_messages_each_of_which_can_be_gone_on_from() -> None:
    row = EventRow(
        xid=1, position=1, payment_id="pay", sequence=1, type="payment.accepted", at=HOUR, merchant_id="m",
        account_id="a", account_version=None, kind="collect", amount_minor=1, currency="EUR",
        merchant_reference=None, decline_code=None,
    )  # fmt: skip
    rows = [replace(row, position=number) for number in range(1, 2 * MESSAGE_FACTS_MAX + 2)]

    messages = pack_facts(rows)

    assert [MESSAGE_FACTS_MAX, MESSAGE_FACTS_MAX, 1] == [each.events for each in messages]
    assert [1000, 2000, 2001] == [each.position.position for each in messages]
    assert [] == pack_facts([])


def test_publisher_and_subscriber_agree_on_subject_and_size() -> None:
    assert (FACTS_SUBJECT, MESSAGE_FACTS_MAX) == (SUBJECT, FACTS_MAX)


SOUND: dict[str, Any] = {
    "row": "7.9", "type": "payment.failed", "hour": "2026-11-27T09:00:00Z", "kind": "collect",
    "currency": "EUR", "band": 11, "decline_code": "lost_card",
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"merchant_id": "mer_eu_1"},
        {"hour": "2026-11-27T09:00:01Z"},
        {"hour": "2026-11-27T09:30:00Z"},
        {"hour": "2026-11-27T09:00:00"},
        {"row": "7"},
        {"row": "0.0"},
        {"row": "9999999999999999999.1"},
        {"hour": "2026-01-01T00:00:00+05:00"},
        {"band": 0},
        {"band": 64},
        {"band": 1.5},
        {"currency": "eur"},
        {"type": "payment"},
        {"kind": "Alice Example"},
        {"decline_code": "Alice Example"},
    ],
)
def test_a_fact_of_another_form_refuses_its_message_and_is_not_repeated(changes: dict[str, Any]) -> None:
    body = msgspec.json.encode({"facts": [SOUND, SOUND | changes]})

    with pytest.raises(MessageMalformed) as refused:
        parse_message(SUBJECT, body)

    assert "Alice" not in str(refused.value)
    assert "mer_eu" not in str(refused.value)


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_parser(body: bytes) -> None:
    with pytest.raises(MessageMalformed):
        parse_message(SUBJECT, body)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("countermark.events", msgspec.json.encode({"facts": [SOUND]})),
        (SUBJECT, msgspec.json.encode({"facts": []})),
        (SUBJECT, msgspec.json.encode({"facts": [SOUND] * (FACTS_MAX + 1)})),
        (SUBJECT, msgspec.json.encode({"facts": [SOUND], "merchant_id": "m"})),
        (SUBJECT, b" " * (1024 * 1024 + 1)),
    ],
)
def test_another_message_is_refused(subject: str, body: bytes) -> None:
    with pytest.raises(MessageMalformed):
        parse_message(subject, body)


def test_a_fact_has_no_field_that_names_anybody() -> None:
    assert not [
        name for name in SOUND if re.search(r"id$|reference|subject|instrument|detail|amount|name", name)
    ]
