"""The ledger's chain shows whatever was altered, removed or reordered."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import LedgerError
from pki.ledger import Attribution, LedgerHead, ledger_line, split_lines, verify_ledger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BY = Attribution("uid 0", "test", "none")


def chain(*events: tuple[str, str]) -> list[str]:
    head = LedgerHead()
    lines = []
    for event, serial in events:
        line, head = ledger_line(head, event=event, by=BY, now=NOW, fields={"serial": serial, "note": "ü"})
        lines.append(line)
    return lines


LINES = chain(*((event, f"{n:x}") for n in range(1, 6) for event in ("intent", "issued")))


def test_an_untouched_ledger_verifies_and_lists_what_was_issued() -> None:
    found = verify_ledger(LINES)

    assert found.head.seq == 10
    assert frozenset("12345") == found.issued
    assert found.unfinished == ()


def test_an_empty_ledger_verifies() -> None:
    assert LedgerHead() == verify_ledger([]).head


def test_an_intent_without_a_result_is_named() -> None:
    found = verify_ledger(chain(("intent", "a"), ("issued", "a"), ("intent", "b")))

    assert found.unfinished == (3,)


def test_a_refusal_closes_its_intent_and_issues_nothing() -> None:
    found = verify_ledger(chain(("intent", "a"), ("refused", "a")))

    assert (frozenset(), ()) == (found.issued, found.unfinished)


def test_a_result_without_an_intent_does_not_verify() -> None:
    with pytest.raises(LedgerError, match="intent that is not in the ledger"):
        verify_ledger(chain(("issued", "a")))


@given(st.data())
def test_an_altered_character_is_found(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(LINES) - 1))
    line = LINES[number]
    position = data.draw(st.integers(0, len(line) - 1))
    character = data.draw(st.characters(codec="utf-8").filter(lambda c: c != line[position]))
    altered = [*LINES]
    altered[number] = line[:position] + character + line[position + 1 :]

    with pytest.raises(LedgerError):
        verify_ledger(altered)


@given(st.integers(0, len(LINES) - 2))
def test_a_removed_line_is_found(number: int) -> None:
    with pytest.raises(LedgerError, match="removed"):
        verify_ledger(LINES[:number] + LINES[number + 1 :])


@given(st.permutations(range(len(LINES))).filter(lambda order: order != sorted(order)))
def test_reordered_lines_are_found(order: list[int]) -> None:
    with pytest.raises(LedgerError, match="removed or reordered"):
        verify_ledger([LINES[number] for number in order])


@given(st.integers(0, len(LINES)), st.integers(0, len(LINES) - 1))
def test_a_repeated_line_is_found(place: int, number: int) -> None:
    with pytest.raises(LedgerError):
        verify_ledger([*LINES[:place], LINES[number], *LINES[place:]])


@given(st.integers(0, len(LINES) - 2))
def test_a_line_made_anew_with_a_right_digest_breaks_the_next(number: int) -> None:
    seq, previous = number + 1, json.loads(LINES[number])["prev"]
    line, _ = ledger_line(
        LedgerHead(seq - 1, previous),
        event="note",
        by=Attribution("uid 1", "test", "none"),
        now=NOW,
        fields={"serial": "f"},
    )

    with pytest.raises(LedgerError):
        verify_ledger([*LINES[:number], line, *LINES[number + 1 :]])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        "[" * 10_000,
        "{}",
        " " + LINES[0],
        LINES[0].replace("{", '{"actor":"uid 0",', 1),
        LINES[0].replace('"seq":1', '"seq":1.0'),
        LINES[0].replace('"seq":1', '"seq":true'),
        LINES[0].replace('"hash":"', '"hash":"\\ud800'),
        LINES[0].replace('"note":"\\u00fc"', '"note":[1]'),
        "x" * 20_000,
    ],
)
def test_a_line_that_is_not_ours_does_not_verify(line: str) -> None:
    with pytest.raises(LedgerError):
        verify_ledger([line])


def test_a_fixed_field_cannot_be_redefined() -> None:
    with pytest.raises(LedgerError, match="cannot redefine"):
        ledger_line(LedgerHead(), event="x", by=BY, now=NOW, fields={"hash": "0"})


def test_the_torn_end_of_a_crashed_write_is_told_from_lines() -> None:
    assert split_lines(b'a\nb\n{"se') == (["a", "b"], b'{"se')
    assert split_lines(b"a\n") == (["a"], b"")
    assert split_lines(b"x") == ([], b"x")
    assert split_lines(b"") == ([], b"")
