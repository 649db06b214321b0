from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bank_simulator.behaviour import NEVER_IN_TIME_S, SLOW_S, Behaviour, Manner, behaviour_of
from services.banks.messages import BANK_CALL_S_MAX


@pytest.mark.parametrize(
    ("instrument", "behaviour"),
    [
        ("tok_visa_ok", Behaviour(None, Manner.AT_ONCE)),
        ("tok_declined_insufficient_funds", Behaviour("insufficient_funds", Manner.AT_ONCE)),
        ("tok_declined_", Behaviour(None, Manner.AT_ONCE)),
        ("tok_slow", Behaviour(None, Manner.SLOWLY)),
        ("tok_timeout_then_success", Behaviour(None, Manner.NEVER_IN_TIME)),
        ("tok_reset", Behaviour(None, Manner.CUT)),
    ],
)
def test_an_instrument_chooses_the_behaviour(instrument: str, behaviour: Behaviour) -> None:
    assert behaviour == behaviour_of(instrument)


@given(st.from_regex(r"tok_[A-Za-z0-9_]{1,60}", fullmatch=True))
def test_only_a_declined_token_declines(instrument: str) -> None:
    declined = instrument.startswith("tok_declined_") and instrument != "tok_declined_"

    assert declined == (behaviour_of(instrument).decline_code is not None)


def test_slow_is_within_a_callers_patience_and_never_is_beyond_it() -> None:
    assert SLOW_S < BANK_CALL_S_MAX < NEVER_IN_TIME_S
