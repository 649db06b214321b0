from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.banks.exponents import ISO_EXPONENTS, decimal_of
from services.payments.config import ApprovalLimits


def test_a_limit_is_in_the_currencys_own_units() -> None:
    policy = ApprovalLimits(second_approver={"EUR": "100.00", "JPY": "100", "KWD": "100.000"}).policy()

    assert {"EUR": 10_000, "JPY": 100, "KWD": 100_000} == policy.second_approver_minor
    assert (False, True) == tuple(policy.needs_second_approver(n, "JPY") for n in (99, 100))
    assert (False, True) == tuple(policy.needs_second_approver(n, "KWD") for n in (99_999, 100_000))


@pytest.mark.parametrize("limits", [{}, {"USD": "10000.00"}])
def test_a_currency_without_a_limit_always_needs_the_second_person(limits: dict[str, str]) -> None:
    policy = ApprovalLimits(second_approver=limits, refund_review=limits).policy()

    assert policy.needs_second_approver(1, "EUR")
    assert policy.needs_review(1, "EUR")


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("EUR", "100"), ("EUR", "100.000"), ("JPY", "100.00"), ("XXX", "1.00"), ("EUR", "-1.00"), ("EUR", "")],
)
def test_a_limit_that_its_currency_does_not_have_is_refused_with_the_configuration(
    currency: str, amount: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match="limits of approval"):
        msgspec.convert({"refund_review": {currency: amount}}, ApprovalLimits)


@given(currency=st.sampled_from(sorted(ISO_EXPONENTS)), limit_minor=st.integers(1, 10**12))
def test_what_is_at_the_limit_needs_the_second_person_and_what_is_below_does_not(
    currency: str, limit_minor: int
) -> None:
    policy = ApprovalLimits(second_approver={currency: decimal_of(limit_minor, currency)}).policy()

    assert policy.needs_second_approver(limit_minor, currency)
    assert not policy.needs_second_approver(limit_minor - 1, currency)
