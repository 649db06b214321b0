from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.evidence import HASHED, Entry, Record, parse_entry, utc_text
from signing.evidence.entry import NOBODY
from signing.evidence.errors import EntryMalformed, RecordUnfit

KEY_ID = "FzoZ9WomoXMnNb3ciun2-aK3qCt0USqDXGpAj3iX1lw"
RECORD = Record(
    "payment", "pay_eu_1", "mer_eu_1", KEY_ID, "accepted", "2026-11-25T14:00:00.123456Z",
    request_head=b"POST /v1/payments\n", request_body=b"{}", request_base=b"base",
    request_signature=bytes(64),
)  # fmt: skip
ENTRY = b"""countermark-evidence-v1
kind: payment
subject: pay_eu_1
merchant: mer_eu_1
key-id: FzoZ9WomoXMnNb3ciun2-aK3qCt0USqDXGpAj3iX1lw
decision: accepted
decided-at: 2026-11-25T14:00:00.123456Z
request-head-sha256: 0bbd0c9b7c31ca4e332bbda5e29d038a7110f1648b4a61bb972c006359996f5d
request-body-sha256: 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
request-base-sha256: cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2
request-signature-sha256: f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b
response-body-sha256: -
receipt-base-sha256: -
receipt-signature-sha256: -
statement-sha256: -
statement-signature-sha256: -
"""
HEAD = Record(
    "ledger-head", "ledger-12", NOBODY, NOBODY, "accepted", "2026-11-25T14:00:00.123456Z",
    statement=b"statement\n",
)  # fmt: skip
HEAD_ENTRY = b"""countermark-evidence-v1
kind: ledger-head
subject: ledger-12
merchant: -
key-id: -
decision: accepted
decided-at: 2026-11-25T14:00:00.123456Z
request-head-sha256: -
request-body-sha256: -
request-base-sha256: -
request-signature-sha256: -
response-body-sha256: -
receipt-base-sha256: -
receipt-signature-sha256: -
statement-sha256: 64f742f8ca5893cee4134f28a6b2c66af6bba042bd9de906ace0308375747572
statement-signature-sha256: -
"""

BATCH_ENTRY = HEAD_ENTRY.replace(b"kind: ledger-head", b"kind: access-batch").replace(
    b"ledger-12", b"acc_eu_01jd0000000000000000000000-12"
)


def test_a_batch_of_accesses_is_of_nobody_as_a_head_is() -> None:
    batch = replace(HEAD, kind="access-batch", subject="acc_eu_01jd0000000000000000000000-12")

    assert BATCH_ENTRY == batch.entry()
    assert BATCH_ENTRY == parse_entry(BATCH_ENTRY).serialise()


def test_an_entry_is_this_text() -> None:
    assert ENTRY == RECORD.entry()
    assert HEAD_ENTRY == HEAD.entry()


def test_the_record_has_exactly_the_fields_that_are_hashed_and_the_six_that_are_written() -> None:
    names = [field.name for field in fields(Record)]

    assert [*HASHED] == names[6:]
    assert ["kind", "subject", "merchant_id", "key_id", "decision", "decided_at"] == names[:6]


def test_parsing_and_writing_change_nothing() -> None:
    assert ENTRY == parse_entry(ENTRY).serialise()
    assert parse_entry(ENTRY) == parse_entry(parse_entry(ENTRY).serialise())
    assert HEAD_ENTRY == parse_entry(HEAD_ENTRY).serialise()


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "pay eu"}, {"subject": ""}, {"subject": "x" * 65}, {"merchant_id": "a\nkey-id: b"},
        {"key_id": KEY_ID[:-1]}, {"key_id": KEY_ID[:-1] + "x"}, {"decision": "refused:"}, {"decision": "yes"},
        {"decision": "refused:key_revoked"}, {"decision": "Accepted"},
        {"decided_at": "2026-11-25T14:00:00Z"}, {"decided_at": "2026-02-30T14:00:00.000000Z"},
        {"decided_at": "2026-11-25T14:00:00.123456+00:00"}, {"decided_at": "2026-11-25 14:00:00.123456Z"},
        {"kind": "payments"}, {"kind": "refusal"}, {"kind": "key-revocation"},
        {"request_signature": bytes(63)},
        {"request_signature": None}, {"receipt_signature": bytes(64)}, {"statement": b"x"},
        {"subject": "pay_eu_1\nmerchant: mer_eu_1"},
    ],
)  # fmt: skip
def test_a_record_with_a_value_out_of_form_is_not_written(change: dict[str, str]) -> None:
    with pytest.raises(RecordUnfit):
        replace(RECORD, **change).entry()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"merchant_id": "mer_eu_1"}, {"key_id": KEY_ID}, {"statement": None}, {"request_body": b"{}"},
        {"statement_signature": bytes(64)}, {"decision": "refused:x"}, {"subject": "ledger-0"},
        {"subject": "ledger-012"}, {"subject": "ledger-"}, {"subject": "pay_eu_1"}, {"kind": "payment"},
        {"kind": "key-revocation"},
    ],
)  # fmt: skip
def test_a_head_of_a_ledger_is_of_nobody_and_is_its_statement_alone(change: dict[str, str]) -> None:
    with pytest.raises(RecordUnfit):
        replace(HEAD, **change).entry()  # type: ignore[arg-type]


def test_a_value_cannot_take_the_place_of_other_lines() -> None:
    lines = ENTRY.decode("ascii").split("\n")
    fake = Entry(
        "payment", "pay_eu_1\nmerchant: mer_eu_1", "x", KEY_ID, "accepted", lines[6][12:], (None,) * 9
    )

    with pytest.raises(RecordUnfit):
        fake.serialise()


@pytest.mark.parametrize(
    "entry",
    [
        b"", ENTRY[:-1], ENTRY + b"\n", ENTRY.replace(b"\n", b"\r\n"), ENTRY.replace(b"-v1", b"-v2"),
        ENTRY.replace(b"44136f", b"44136F"), ENTRY.replace(b"merchant:", b"merchant: "),
        ENTRY.replace(b"2026-11-25", b"2026-13-25"), ENTRY.replace(b"accepted", b"refused:body_missing"),
        ENTRY.replace(b"statement-sha256: -\n", b""), ENTRY + b"x" * 2048,
        ENTRY.replace(b"kind: payment", b"kind: key-registration"),
        ENTRY.replace(b"pay_eu_1", b"pay_\xc3\xa9"), ENTRY.replace(KEY_ID.encode(), b"-"),
        ENTRY.replace(b"kind: payment", b"kind: ledger-head"),
        HEAD_ENTRY.replace(b"kind: ledger-head", b"kind: payment"),
        HEAD_ENTRY.replace(b"kind: ledger-head", b"kind: access-batch"),
        BATCH_ENTRY.replace(b"-12\n", b"-012\n"), BATCH_ENTRY.replace(b"merchant: -", b"merchant: mer_eu_1"),
        HEAD_ENTRY.replace(b"statement-signature-sha256: -", b"statement-signature-sha256: " + b"0" * 64),
    ],
)  # fmt: skip
def test_another_text_is_no_entry(entry: bytes) -> None:
    with pytest.raises(EntryMalformed):
        parse_entry(entry)


@given(st.sampled_from([ENTRY, HEAD_ENTRY]), st.integers(0, len(HEAD_ENTRY) - 1), st.integers(0, 255))
def test_whatever_parses_is_written_as_the_same_bytes(entry: bytes, at: int, octet: int) -> None:
    changed = entry[:at] + bytes([octet]) + entry[at + 1 :]
    try:
        parsed = parse_entry(changed)
    except EntryMalformed:
        return

    assert changed == parsed.serialise()


def test_times_are_written_in_utc_with_microseconds_and_without_a_zone_not_at_all() -> None:
    at = datetime(2026, 11, 25, 15, 0, tzinfo=timezone(timedelta(hours=1)))

    assert "2026-11-25T14:00:00.000000Z" == utc_text(at)
    assert "2026-11-25T14:00:00.000001Z" == utc_text(datetime(2026, 11, 25, 14, 0, 0, 1, tzinfo=UTC))
    with pytest.raises(RecordUnfit):
        utc_text(datetime(2026, 11, 25, 14, 0))  # noqa: DTZ001
