from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bank_simulator.behaviour import Operation
from services.bank_simulator.rulebook import Entry, refusal_of

PAYMENT = "pay_eu_1"


def entry(operation: Operation, amount_minor: int = 100, *, is_pending: bool = False) -> Entry:
    return Entry(f"att_{operation}", operation, amount_minor, "EUR", PAYMENT, is_pending)


def refusal(operation: Operation, amount_minor: int, original: Entry | None, *followers: Entry) -> str | None:
    return refusal_of(operation, amount_minor, "EUR", PAYMENT, original, followers)


@pytest.mark.parametrize("operation", ["collect", "authorise", "payout"])
def test_a_first_step_needs_nothing_before_it(operation: Operation) -> None:
    assert None is refusal(operation, 100, None)


@pytest.mark.parametrize(
    ("expected", "operation", "amount_minor", "original", "followers"),
    [
        (None, "capture", 100, entry("authorise"), []),
        (None, "capture", 1, entry("authorise"), []),
        ("amount_too_large", "capture", 101, entry("authorise"), []),
        ("already_captured", "capture", 1, entry("authorise"), [entry("capture", 1)]),
        ("already_captured", "capture", 1, entry("authorise"), [entry("capture", 1, is_pending=True)]),
        ("already_voided", "capture", 1, entry("authorise"), [entry("void")]),
        ("already_voided", "void", 100, entry("authorise"), [entry("void")]),
        ("already_captured", "void", 100, entry("authorise"), [entry("capture", 1)]),
        (None, "void", 100, entry("authorise"), []),
        ("original_mismatch", "capture", 100, entry("collect"), []),
        ("original_mismatch", "refund", 100, entry("authorise"), []),
        ("original_mismatch", "refund", 100, entry("payout"), []),
        ("original_unknown", "refund", 100, None, []),
        ("original_unknown", "capture", 100, entry("authorise", is_pending=True), []),
        (None, "refund", 40, entry("collect"), [entry("refund", 60)]),
        ("amount_too_large", "refund", 41, entry("collect"), [entry("refund", 60)]),
        ("amount_too_large", "refund", 41, entry("capture"), [entry("refund", 60, is_pending=True)]),
    ],
)
def test_a_step_after_another_is_held_against_it(
    expected: str | None,
    operation: Operation,
    amount_minor: int,
    original: Entry | None,
    followers: list[Entry],
) -> None:
    assert expected == refusal(operation, amount_minor, original, *followers)


def test_another_payments_authorisation_cannot_be_captured() -> None:
    assert "original_mismatch" == refusal_of("capture", 1, "EUR", "pay_eu_2", entry("authorise"), [])
    assert "original_mismatch" == refusal_of("capture", 1, "USD", PAYMENT, entry("authorise"), [])


@given(st.lists(st.integers(1, 60), max_size=20))
def test_refunds_never_exceed_what_was_taken(amounts: list[int]) -> None:
    taken: list[Entry] = []
    for amount_minor in amounts:
        if refusal("refund", amount_minor, entry("collect", 100), *taken) is None:
            taken.append(entry("refund", amount_minor))

    assert sum(refund.amount_minor for refund in taken) <= 100
