from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bank_simulator.specimens import SPECIMENS
from services.node.identifiers import is_id
from services.vault.tokens import RANDOM_BITS, belongs_to, cell_of, is_token, make_token

draws = st.integers(0, 2**RANDOM_BITS - 1)
merchants = st.from_regex(r"mer_eu_[0-9a-z]{26}", fullmatch=True)


@given(draws, merchants)
def test_a_token_is_an_id_of_its_cell_and_its_merchants(draw: int, merchant: str) -> None:
    token = make_token("eu", merchant, draw)

    assert is_token(token)
    assert is_id(token, "tok")
    assert "eu" == cell_of(token)
    assert belongs_to(token, merchant)


@given(draws, merchants, merchants)
def test_a_token_is_nobody_elses(draw: int, merchant: str, other: str) -> None:
    assert (merchant == other) == belongs_to(make_token("eu", merchant, draw), other)


@given(draws, merchants, st.data())
def test_a_token_with_another_character_or_cell_belongs_to_nobody(
    draw: int, merchant: str, data: st.DataObject
) -> None:
    token = make_token("eu", merchant, draw)
    place = data.draw(st.integers(7, 32))
    other = data.draw(st.sampled_from([c for c in "0123456789abcdefghjkmnpqrstvwxyz" if c != token[place]]))

    assert not belongs_to(token[:place] + other + token[place + 1 :], merchant)
    assert not belongs_to(token.replace("_eu_", "_us_"), merchant)


@pytest.mark.parametrize("token", [each.token for each in SPECIMENS])
def test_a_test_token_is_none_of_a_vault(token: str) -> None:
    assert not is_token(token)
    assert not belongs_to(token, "mer_eu_one")


@pytest.mark.parametrize(
    "text",
    ["", "tok_eu_", "tok_EU_" + "0" * 26, "tok_eu_" + "8" * 26, "tok_eu_" + "0" * 27, "pay_eu_" + "0" * 26,
     "tok_eu_" + "0" * 25 + "u", "tok_eu_" + "0" * 26 + "\n"],
)  # fmt: skip
def test_another_form_is_no_token(text: str) -> None:
    assert not is_token(text)
    with pytest.raises(ValueError, match="no token"):
        cell_of(text)


@pytest.mark.parametrize("draw", [-1, 2**RANDOM_BITS])
def test_a_draw_of_other_width_is_a_mistake_of_ours(draw: int) -> None:
    with pytest.raises(ValueError, match="80"):
        make_token("eu", "mer_eu_one", draw)
