from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bank_simulator.script import BankScript
from services.bank_simulator.settlement import fee_minor, settled_amounts

TRUE = BankScript()


@pytest.mark.parametrize(
    ("expected", "operation", "amount_minor"),
    [
        (10, "collect", 1), (11, "collect", 250), (14, "capture", 1999), (210, "payout", 100_000),
        (0, "refund", 1999), (0, "returned", 1999), (0, "bounced", 1999), (0, "chargeback", 1999),
    ],
)  # fmt: skip
def test_a_fee_has_a_fixed_part_and_a_share(expected: int, operation: str, amount_minor: int) -> None:
    assert expected == fee_minor(operation, amount_minor)


@pytest.mark.parametrize(
    ("expected", "instrument"),
    [
        ([1999], "tok_visa_ok"),
        ([], "tok_settlement_missing"),
        ([2099], "tok_settlement_wrong"),
        ([1999, 1999], "tok_settlement_extra"),
    ],
)
def test_an_instrument_can_ask_for_a_break(expected: list[int], instrument: str) -> None:
    assert expected == settled_amounts(TRUE, "att_1", "collect", instrument, 1999)


@pytest.mark.parametrize("operation", ["authorise", "void"])
def test_what_moves_no_money_is_not_settled(operation: str) -> None:
    assert [] == settled_amounts(TRUE, "att_1", operation, "tok_visa_ok", 1999)


@given(st.from_regex(r"att_[a-z0-9]{1,20}", fullmatch=True))
def test_rates_break_lines_and_without_them_every_line_is_true(attempt_id: str) -> None:
    def settled(script: BankScript) -> list[int]:
        return settled_amounts(script, attempt_id, "collect", "tok_visa_ok", 50)

    assert [50] == settled(TRUE)
    assert [] == settled(BankScript(settlement_missing_rate=1.0))
    assert [150] == settled(BankScript(settlement_wrong_rate=1.0))
    assert [50, 50] == settled(BankScript(settlement_extra_rate=1.0))
