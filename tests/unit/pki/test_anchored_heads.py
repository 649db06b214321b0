"""The statement about a ledger's head has one spelling; a ledger that was cut or replaced does not fit it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.anchored_head import (
    AnchoredHead,
    compare_with_anchor,
    comparison_fields,
    comparison_sentence,
    format_remembered,
    head_statement,
    parse_head_statement,
    parse_remembered,
    require_kept,
)
from pki.errors import LedgerError
from pki.ledger import Attribution, LedgerHead, VerifiedLedger, ledger_line, verify_ledger

AT = datetime(2026, 11, 25, 14, 0, 0, 123456, tzinfo=UTC)
DOMAIN = "countermark.internal"
HEAD = AnchoredHead(DOMAIN, LedgerHead(12, "0f" * 32), AT)
STATEMENT = b"""countermark-ledger-head-v1
trust-domain: countermark.internal
sequence: 12
head: 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
at: 2026-11-25T14:00:00.123456Z
"""
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HEADS = st.builds(
    AnchoredHead,
    st.builds(lambda labels: ".".join([*labels, "internal"]), st.lists(LABELS, min_size=1, max_size=4)),
    st.builds(LedgerHead, st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32).map(bytes.hex)),
    st.datetimes(timezones=st.just(UTC)),
    st.none() | st.integers(0),
)


def ledger(count: int, note: str = "", *, fork_after: int = 0) -> VerifiedLedger:
    """A ledger of so many lines; two with other notes are the same up to the line after which they part."""
    head, lines = LedgerHead(), []
    for number in range(1, count + 1):
        fields = {"serial": f"{number:x}", "note": "" if number <= fork_after else note}
        by = Attribution("uid 0", "test", "none")
        line, head = ledger_line(head, event="intent", by=by, now=AT, fields=fields)
        lines.append(line)
    return verify_ledger(lines)


def anchored(of: VerifiedLedger, *numbers: int) -> list[AnchoredHead]:
    """The heads that were anchored when the ledger had these numbers of lines."""
    return [
        AnchoredHead(
            DOMAIN, LedgerHead(number, str(of.entries[number - 1]["hash"])), AT + timedelta(hours=number)
        )
        for number in numbers
    ]


def test_a_statement_is_this_text() -> None:
    assert STATEMENT == head_statement(HEAD)
    assert parse_head_statement(STATEMENT) == HEAD
    assert replace(HEAD, leaf_index=7) == parse_head_statement(STATEMENT, 7)


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    elsewhere = replace(HEAD, at=AT.astimezone(timezone(timedelta(hours=5, minutes=30))))

    assert STATEMENT == head_statement(elsewhere)


@given(HEADS)
def test_what_is_stated_is_read_again(head: AnchoredHead) -> None:
    assert head == parse_head_statement(head_statement(head), head.leaf_index)
    assert replace(head, leaf_index=None) == parse_remembered(format_remembered(head), head.trust_domain)


@given(at=st.integers(0, len(STATEMENT) - 1), octets=st.binary(max_size=3))
def test_whatever_parses_is_written_as_the_same_bytes(at: int, octets: bytes) -> None:
    changed = STATEMENT[:at] + octets + STATEMENT[at + 1 :]
    try:
        parsed = parse_head_statement(changed)
    except LedgerError:
        return

    assert changed == head_statement(parsed)


@given(st.binary(max_size=600))
def test_no_bytes_raise_anything_but_a_refusal(octets: bytes) -> None:
    for parse in (parse_head_statement, lambda data: parse_remembered(data, DOMAIN)):
        with pytest.raises(LedgerError):
            parse(octets)


@pytest.mark.parametrize(
    "statement",
    [
        b"", STATEMENT[:-1], STATEMENT + b"\n", STATEMENT.replace(b"\n", b"\r\n"),
        STATEMENT.replace(b"-v1", b"-v2"), STATEMENT.replace(b"sequence: 12", b"sequence: 012"),
        STATEMENT.replace(b"sequence: 12", b"sequence: 0"),
        STATEMENT.replace(b"sequence: 12", b"sequence: +12"),
        STATEMENT.replace(b"sequence: 12", b"sequence: 9223372036854775808"),
        STATEMENT.replace(b"0f0f", b"0F0F"), STATEMENT.replace(b"countermark.internal", b"internal"),
        STATEMENT.replace(b"countermark.internal", b"Countermark.internal"),
        STATEMENT.replace(b"2026-11-25", b"2026-02-30"), STATEMENT.replace(b".123456Z", b"Z"),
        STATEMENT.replace(b".123456Z", b".123456+00:00"), STATEMENT.replace(b"sequence: 12\n", b""),
        STATEMENT + b"x" * 512,
    ],
)  # fmt: skip
def test_another_text_is_no_statement(statement: bytes) -> None:
    with pytest.raises(LedgerError):
        parse_head_statement(statement)


@pytest.mark.parametrize(
    "head",
    [
        replace(HEAD, head=LedgerHead()), replace(HEAD, head=LedgerHead(12, "0F" * 32)),
        replace(HEAD, trust_domain="countermark.internal\nsequence: 3"),
        replace(HEAD, trust_domain="ü.internal"),
        replace(HEAD, at=datetime(2026, 11, 25, 14)),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_a_head_with_a_value_out_of_form_is_not_stated(head: AnchoredHead) -> None:
    with pytest.raises(LedgerError):
        head_statement(head)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("more", 1), ("seq", True), ("seq", "12"), ("seq", -1), ("record", "ledger-13"), ("digest", "0f"),
        ("at", "2026-11-25T14:00:00.123456+00:00"), ("digest", "0f" * 4000),
    ],
)  # fmt: skip
def test_what_is_remembered_in_another_form_is_refused(name: str, value: object) -> None:
    fields = json.loads(format_remembered(HEAD))
    assert {
        "seq": 12,
        "digest": "0f" * 32,
        "at": "2026-11-25T14:00:00.123456Z",
        "record": "ledger-12",
    } == fields

    for document in ({**fields, name: value}, [fields], {"seq": 12}):
        with pytest.raises(LedgerError, match=r"anchor\.json is damaged"):
            parse_remembered(json.dumps(document, indent=1).encode() + b"\n", DOMAIN)


def test_a_ledger_that_went_on_fits_and_its_new_lines_are_counted() -> None:
    whole = ledger(10)
    compared = compare_with_anchor(whole, anchored(whole, 7, 3))

    assert compared is not None
    assert (7, 3) == (compared.newest.head.seq, compared.newer_lines)
    assert (7, 3) == (comparison_fields(compared)["seq"], comparison_fields(compared)["newer_lines"])
    assert "--deployment asks" in comparison_sentence(compared, asked=False)
    assert "its entry is on its way; newer lines: 3" in comparison_sentence(compared, asked=True)
    assert compare_with_anchor(whole, []) is None


def test_lines_cut_off_the_end_are_missed_and_the_last_one_that_fits_is_named() -> None:
    heads = anchored(ledger(10), 4, 7, 10)

    with pytest.raises(
        LedgerError,
        match=r"line 10 was anchored at 2026-11-26T00:00:00.123456Z, and is missing: the ledger ends at "
        "line 9; lines were removed or the ledger was replaced after line 7",
    ):
        compare_with_anchor(ledger(9), heads)


@given(st.data())
def test_a_ledger_that_parts_before_any_anchored_line_is_found_out(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12), "lines")
    numbers = data.draw(st.lists(st.integers(1, count), min_size=1, unique=True), "anchored")
    fork_after = data.draw(st.integers(0, max(numbers) - 1), "fork")
    forged = ledger(data.draw(st.integers(fork_after, 20), "forged"), "another story", fork_after=fork_after)
    heads = anchored(ledger(count), *numbers)
    # The forger goes on, and anchors what was written since: the newest head is one that fits.
    if forged.head.seq > max(numbers):
        heads += anchored(forged, forged.head.seq)

    with pytest.raises(LedgerError, match="was replaced"):
        compare_with_anchor(forged, heads)


@given(st.integers(1, 12), st.data())
def test_a_ledger_that_holds_every_anchored_line_fits(count: int, data: st.DataObject) -> None:
    whole = ledger(count)
    numbers = data.draw(st.lists(st.integers(1, count), min_size=1, unique=True))
    compared = compare_with_anchor(whole, anchored(whole, *numbers))

    assert compared is not None
    assert count == compared.newest.head.seq + compared.newer_lines


def test_a_log_that_lost_a_head_is_found_out() -> None:
    older, newer = anchored(ledger(10), 4, 7)

    require_kept(None, [])
    require_kept(newer, [older, newer])
    for left in ([], [older]):
        with pytest.raises(LedgerError, match="restored from an older backup"):
            require_kept(newer, left)
