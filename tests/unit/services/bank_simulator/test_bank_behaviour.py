from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from compose.launcher.release import checkout_root
from services.bank_simulator.behaviour import (
    NAMES,
    NEVER_IN_TIME_S,
    ORDINARY,
    SLOW_S,
    Conduct,
    Deed,
    Later,
    Manner,
    Operation,
    conduct_of,
    conduct_under,
)
from services.bank_simulator.script import BankScript, draw, latency_s
from services.banks.messages import BANK_CALL_S_MAX

BANK = "bank-alpha"
OPERATIONS: Sequence[Operation] = ("collect", "authorise", "capture", "void", "payout", "refund")
QUIET = BankScript(latency_ms_max=0)
_attempt_ids = st.from_regex(r"att_[a-z0-9_]{1,40}", fullmatch=True)


@pytest.mark.parametrize(
    ("instrument", "operation", "conduct"),
    [
        ("tok_visa_ok", "collect", ORDINARY),
        ("tok_declined_insufficient_funds", "collect", Conduct(decline_code="insufficient_funds")),
        ("tok_declined_", "collect", ORDINARY),
        ("tok_slow", "payout", Conduct(manner=Manner.SLOWLY)),
        ("tok_timeout_then_success", "authorise", Conduct(manner=Manner.NEVER_IN_TIME)),
        ("tok_timeout_then_nothing", "collect", Conduct(Deed.WITHHOLDS, manner=Manner.NEVER_IN_TIME)),
        ("tok_reset", "collect", Conduct(manner=Manner.CUT)),
        ("tok_reset", "capture", ORDINARY),
        ("tok_capture_reset", "capture", Conduct(manner=Manner.CUT)),
        ("tok_capture_reset", "authorise", ORDINARY),
        ("tok_capture_declined_limit_exceeded", "capture", Conduct(decline_code="limit_exceeded")),
        ("tok_void_declined_not_permitted", "void", Conduct(decline_code="not_permitted")),
        ("tok_refund_bounces", "refund", Conduct(later=(Later(1, "bounced"),))),
        ("tok_refund_bounces", "collect", ORDINARY),
        ("tok_bounces", "collect", ORDINARY),
        ("tok_returned", "authorise", ORDINARY),
        ("tok_returned", "capture", Conduct(later=(Later(1, "returned"),))),
        ("tok_technical_at_bank_alpha", "collect", Conduct(decline_code="technical")),
        ("tok_technical_at_bank_bravo", "collect", ORDINARY),
        ("tok_denied", "collect", Conduct(Deed.DENIES, decline_code="do_not_honour")),
    ],
)
def test_an_instrument_chooses_the_conduct(instrument: str, operation: Operation, conduct: Conduct) -> None:
    assert conduct == conduct_of(instrument, operation, BANK)


@given(st.from_regex(r"tok_[A-Za-z0-9_]{1,60}", fullmatch=True), st.sampled_from(OPERATIONS))
def test_every_token_without_a_known_name_is_ordinary(instrument: str, operation: Operation) -> None:
    name = instrument.removeprefix("tok_")
    for step in ("capture_", "void_", "refund_"):
        name = name.removeprefix(step)
    assume(name not in NAMES and not name.startswith(("declined_", "technical_at_")))

    assert ORDINARY == conduct_of(instrument, operation, BANK)


@given(_attempt_ids, st.text(max_size=20))
def test_a_quiet_bank_treats_the_ordinary_as_ordinary(attempt_id: str, seed: str) -> None:
    script = BankScript(seed=seed, latency_ms_max=0)

    assert ORDINARY == conduct_under(script, ORDINARY, attempt_id, 0)
    assert 0 == latency_s(script, attempt_id)


@given(_attempt_ids, st.integers(0, 5))
def test_conduct_follows_from_seed_and_attempt_alone(attempt_id: str, came: int) -> None:
    script = BankScript(
        seed="s", error_rate=0.3, timeout_rate=0.3, lost_rate=0.2, decline_rate=0.2, pending_rate=0.2
    )

    first = conduct_under(script, ORDINARY, attempt_id, came)

    assert first == conduct_under(script, ORDINARY, attempt_id, came)
    assert latency_s(script, attempt_id) == latency_s(script, attempt_id) <= 0.05


@given(_attempt_ids)
def test_a_rate_of_one_is_always_and_of_zero_never(attempt_id: str) -> None:
    assert Conduct(Deed.WITHHOLDS, manner=Manner.FAILS) == conduct_under(
        BankScript(error_rate=1.0), ORDINARY, attempt_id, 0
    )
    assert (
        "technical"
        == (
            conduct_under(BankScript(decline_rate=1.0, decline_code="technical"), ORDINARY, attempt_id, 0)
        ).decline_code
    )
    assert Manner.NEVER_IN_TIME == conduct_under(BankScript(timeout_rate=1.0), ORDINARY, attempt_id, 0).manner
    assert Manner.CUT == conduct_under(BankScript(lost_rate=1.0), ORDINARY, attempt_id, 0).manner
    assert Deed.PENDS == conduct_under(BankScript(pending_rate=1.0), ORDINARY, attempt_id, 0).deed
    assert (Later(1, "confirmed", copies=3),) == conduct_under(
        BankScript(callback_rate=1.0, copies=3), ORDINARY, attempt_id, 0
    ).later


def test_rates_are_met_over_many_attempts() -> None:
    script = BankScript(seed="rates", timeout_rate=0.07, lost_rate=0.05)
    manners = [conduct_under(script, ORDINARY, f"att_{n}", 0).manner for n in range(20_000)]

    assert 0.07 == pytest.approx(manners.count(Manner.NEVER_IN_TIME) / 20_000, abs=0.01)
    assert 0.05 == pytest.approx(manners.count(Manner.CUT) / 20_000, abs=0.01)


def test_an_error_is_drawn_anew_each_time_so_that_a_repeat_gets_through() -> None:
    script = BankScript(seed="again", error_rate=0.5)
    deeds = {conduct_under(script, ORDINARY, "att_1", came).deed for came in range(50)}

    assert {Deed.WITHHOLDS, Deed.DECIDES} == deeds


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_bank_that_is_down_takes_nothing_whatever_is_asked_for(name: str, operation: Operation) -> None:
    conduct = conduct_of(f"tok_{name}", operation, BANK)

    down = conduct_under(BankScript(down=True), conduct, "att_1", 0)

    assert (Deed.WITHHOLDS, Manner.CUT) == (down.deed, down.manner)


def test_an_instrument_wins_over_the_scripts_rates_but_not_over_its_slowness() -> None:
    script = BankScript(decline_rate=1.0, slow=True)

    conduct = conduct_under(script, conduct_of("tok_duplicate_callbacks", "collect", BANK), "att_1", 0)

    assert (None, Manner.SLOWLY) == (conduct.decline_code, conduct.manner)


def test_unavailable_once_is_over_at_the_second_time() -> None:
    conduct = conduct_of("tok_unavailable_once", "collect", BANK)

    assert Deed.WITHHOLDS == conduct_under(QUIET, conduct, "att_1", 0).deed
    assert ORDINARY == conduct_under(QUIET, conduct, "att_1", 1)


@given(st.text(max_size=10), st.text(max_size=10), st.text(max_size=10))
def test_a_draw_is_at_least_zero_and_below_one(seed: str, attempt_id: str, purpose: str) -> None:
    assert 0 <= draw(seed, attempt_id, purpose) < 1


def test_slow_is_within_a_callers_patience_and_never_is_beyond_it() -> None:
    assert SLOW_S < BANK_CALL_S_MAX < NEVER_IN_TIME_S


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_behaviour_is_in_the_table_that_people_read(name: str) -> None:
    assert f"`{name}`" in (checkout_root() / "ARCHITECTURE.md").read_text(encoding="utf-8")
