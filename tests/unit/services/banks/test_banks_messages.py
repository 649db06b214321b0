from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.banks.messages import AMOUNT_MINOR_MAX, Attempt, AttemptAnswer

UETR = "0d0ff3f3-8f3f-4d0c-9a4e-0f4a3b2c1d0e"
GOOD = {
    "attempt_id": "att_eu_1_1",
    "bank": "bank-alpha",
    "operation": "collect",
    "amount_minor": 1999,
    "currency": "EUR",
    "instrument": "tok_visa_ok",
    "end_to_end_id": "pay_eu_1",
    "uetr": UETR,
}
_name = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)


@given(
    attempt_id=_name,
    bank=_name,
    amount=st.integers(1, AMOUNT_MINOR_MAX),
    currency=st.from_regex(r"[A-Z]{3}", fullmatch=True),
)
def test_an_attempt_survives_the_hop(attempt_id: str, bank: str, amount: int, currency: str) -> None:
    attempt = Attempt(attempt_id, bank, "payout", amount, currency, "tok_x", "pay_eu_1", UETR)

    assert attempt == msgspec.json.decode(msgspec.json.encode(attempt), type=Attempt)


@pytest.mark.parametrize(
    "change",
    [
        {"attempt_id": "../statement"},
        {"attempt_id": "att\n"},
        {"bank": ""},
        {"operation": "transfer"},
        {"amount_minor": 0},
        {"amount_minor": AMOUNT_MINOR_MAX + 1},
        {"amount_minor": 19.99},
        {"amount_minor": "1999"},
        {"amount_minor": True},
        {"currency": "eur"},
        {"instrument": "4111 1111 1111 1111"},
        {"end_to_end_id": "pay.eu"},
        {"uetr": "0d0ff3f3-8f3f-1d0c-9a4e-0f4a3b2c1d0e"},
        {"uetr": UETR.upper()},
        {"original_reference": ""},
        {"original_reference": "bk 1"},
        {"original_reference": "b" * 65},
        {"surprise": 1},
    ],
)
def test_an_attempt_of_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(GOOD | change), type=Attempt, strict=True)


@pytest.mark.parametrize("field", sorted(GOOD))
def test_an_attempt_lacks_nothing(field: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({k: v for k, v in GOOD.items() if k != field}, Attempt)


def test_an_outcome_outside_the_list_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"attempt_id":"a","outcome":"probably"}', type=AttemptAnswer)
