"""The simulated banks over both rails: what moves, what does not, and what their own ledgers hold."""

from __future__ import annotations

import asyncio

import pytest

from services.bank_simulator.script import BankScript
from services.banks.messages import Attempt, AttemptAnswer, Operation, SettlementLine
from services.node.errors import HopUnknown
from tests.integration.banks.bank_parts import PROMPT, RAILS, Parts, attempt, until

BANKS = sorted(RAILS)


async def _confirmed(parts: Parts, asked: Attempt) -> str:
    answer = await parts.client.send(asked)
    assert "confirmed" == answer.outcome
    assert answer.bank_reference is not None
    return answer.bank_reference


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize("operation", ["collect", "payout", "authorise"])
async def test_a_first_step_is_made_once_however_often_it_comes(
    parts: Parts, bank: str, operation: Operation
) -> None:
    asked = attempt(1, bank=bank, operation=operation)

    answers = await asyncio.gather(*(parts.client.send(asked) for _ in range(20)))

    assert 1 == len(set(answers))
    expected = AttemptAnswer(
        "att_eu_1", "confirmed", end_to_end_id="pay_eu_1", amount_minor=1999, currency="EUR",
        bank_reference="bk_att_eu_1",
    )  # fmt: skip
    assert expected == answers[0] == await parts.client.inquire(bank, "att_eu_1")
    assert [("att_eu_1", "pay_eu_1", operation, 1999, "EUR")] == parts.ledger(bank)


@pytest.mark.parametrize("bank", BANKS)
async def test_another_content_under_the_same_key_changes_nothing(parts: Parts, bank: str) -> None:
    await _confirmed(parts, attempt(1, bank=bank))

    for other in (attempt(1, bank=bank, amount_minor=2000), attempt(1, bank=bank, payment="pay_eu_2")):
        answer = await parts.client.send(other)
        assert "unknown" == answer.outcome
        assert answer.alarm is not None

    assert [("att_eu_1", "pay_eu_1", "collect", 1999, "EUR")] == parts.ledger(bank)


@pytest.mark.parametrize("bank", BANKS)
async def test_an_authorisation_is_captured_once_and_not_above_its_amount(parts: Parts, bank: str) -> None:
    reference = await _confirmed(parts, attempt(1, bank=bank, operation="authorise"))

    def follow(number: int, operation: Operation, amount_minor: int) -> Attempt:
        return attempt(
            number, bank=bank, operation=operation, amount_minor=amount_minor, original_reference=reference
        )

    assert "amount_too_large" == (await parts.client.send(follow(2, "capture", 2000))).decline_code
    await _confirmed(parts, follow(3, "capture", 1000))
    assert "already_captured" == (await parts.client.send(follow(4, "capture", 999))).decline_code
    assert "already_captured" == (await parts.client.send(follow(5, "void", 1999))).decline_code
    await _confirmed(parts, follow(6, "refund", 600))
    assert "amount_too_large" == (await parts.client.send(follow(7, "refund", 401))).decline_code
    await _confirmed(parts, follow(8, "refund", 400))

    assert [
        ("authorise", 1999), ("capture", 1000), ("refund", 600), ("refund", 400)
    ] == [(operation, amount) for _, _, operation, amount, _ in parts.ledger(bank)]  # fmt: skip


@pytest.mark.parametrize("bank", BANKS)
async def test_a_voided_authorisation_cannot_be_captured(parts: Parts, bank: str) -> None:
    reference = await _confirmed(parts, attempt(1, bank=bank, operation="authorise"))
    await _confirmed(parts, attempt(2, bank=bank, operation="void", original_reference=reference))

    answer = await parts.client.send(attempt(3, bank=bank, operation="capture", original_reference=reference))

    assert ("declined", "already_voided") == (answer.outcome, answer.decline_code)


async def test_captures_that_race_for_one_authorisation_end_in_one(parts: Parts) -> None:
    reference = await _confirmed(parts, attempt("a", operation="authorise"))

    answers = await asyncio.gather(
        *(parts.client.send(attempt(n, operation="capture", original_reference=reference)) for n in range(20))
    )

    assert 1 == sum(answer.outcome == "confirmed" for answer in answers)


@pytest.mark.parametrize(
    ("currency", "amount_minor"), [("EUR", 1), ("JPY", 1999), ("KWD", 1005), ("CLP", 700), ("IDR", 12_300)]
)
async def test_amounts_of_every_kind_of_currency_cross_the_card_rail_exactly(
    parts: Parts, currency: str, amount_minor: int
) -> None:
    asked = attempt(1, bank="card-network", currency=currency, amount_minor=amount_minor)

    answer = await parts.client.send(asked)
    page = await parts.client.settlement("card-network", 0)

    assert ("confirmed", amount_minor) == (answer.outcome, answer.amount_minor)
    assert [("att_eu_1", "pay_eu_1", "collect", amount_minor, currency)] == parts.ledger("card-network")
    assert [(amount_minor, currency)] == [(line.amount_minor, line.currency) for line in page.lines]


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize(
    ("name", "outcome", "later", "movements"),
    [
        ("timeout_then_success", "unknown", "confirmed", 1),
        ("timeout_then_nothing", "unknown", "not_found", 0),
        ("reset", "unknown", "confirmed", 1),
        ("reset_before", "unknown", "not_found", 0),
        ("error_after", "unknown", "confirmed", 1),
        ("unavailable", "unknown", "not_found", 0),
        ("garbage", "unknown", "confirmed", 1),
        ("huge", "unknown", "confirmed", 1),
        ("nested", "unknown", "confirmed", 1),
        ("redirect", "unknown", "confirmed", 1),
        ("wrong_amount", "unknown", "confirmed", 1),
        ("pending_for_ever", "pending", "pending", 0),
        ("slow", "confirmed", "confirmed", 1),
        ("declined_insufficient_funds", "declined", "declined", 0),
        ("denied", "declined", "declined", 1),
        ("unavailable_once", "unknown", "not_found", 0),
    ],
)
async def test_awkward_instruments_leave_the_outcome_as_unknown_as_they_say(
    parts: Parts, bank: str, name: str, outcome: str, later: str, movements: int
) -> None:
    answer = await parts.client.send(attempt(1, f"tok_{name}", bank=bank))
    while answer.outcome == "unsent":  # A busy host made no connection in time: the bank has not heard of it.
        answer = await parts.client.send(attempt(1, f"tok_{name}", bank=bank))
    asked = await parts.client.inquire(bank, "att_eu_1")

    assert (outcome, later) == (answer.outcome, asked.outcome)
    assert movements == len(parts.ledger(bank))


async def test_an_attempt_that_was_not_taken_is_taken_when_it_comes_again(parts: Parts) -> None:
    asked = attempt(1, "tok_unavailable_once")

    outcomes = [(await parts.client.send(asked)).outcome for _ in range(3)]

    assert ["unknown", "confirmed", "confirmed"] == outcomes
    assert 1 == len(parts.ledger("bank-alpha"))


async def test_what_is_not_found_at_first_is_found_later(parts: Parts) -> None:
    first = await parts.client.send(attempt(1, "tok_found_late"))
    assert "unknown" == first.outcome

    async def is_found() -> bool:
        return (await parts.client.inquire("bank-alpha", "att_eu_1")).outcome == "confirmed"

    await until(is_found)
    assert 1 == len(parts.ledger("bank-alpha"))


async def test_while_it_is_hidden_a_question_is_answered_with_not_found(parts: Parts) -> None:
    await parts.script("bank-alpha", BankScript(latency_ms_max=0, later_s=60))
    await parts.client.send(attempt(1, "tok_found_late"))

    assert "not_found" == (await parts.client.inquire("bank-alpha", "att_eu_1")).outcome
    assert 1 == len(parts.ledger("bank-alpha"))


async def test_a_script_makes_a_bank_behave_and_outlives_its_restart(parts: Parts) -> None:
    script = BankScript(decline_rate=1.0, decline_code="technical", latency_ms_max=0)
    await parts.script("bank-bravo", script)
    await parts.stop_bank("bank-bravo")
    await parts.start_bank("bank-bravo")

    answer = await parts.client.send(attempt(1, bank="bank-bravo"))

    assert ("declined", "technical") == (answer.outcome, answer.decline_code)


@pytest.mark.parametrize("bank", BANKS)
async def test_a_bank_that_is_down_says_nothing_and_takes_nothing(parts: Parts, bank: str) -> None:
    await parts.script(bank, BankScript(down=True))

    assert "unknown" == (await parts.client.send(attempt(1, bank=bank))).outcome
    assert "unknown" == (await parts.client.inquire(bank, "att_eu_1")).outcome
    with pytest.raises(HopUnknown):
        await parts.client.settlement(bank, 0)

    await parts.script(bank, PROMPT)
    assert "not_found" == (await parts.client.inquire(bank, "att_eu_1")).outcome
    assert [] == parts.ledger(bank)


async def test_an_instrument_can_be_declined_by_one_bank_alone(parts: Parts) -> None:
    alpha = await parts.client.send(attempt(1, "tok_technical_at_bank_alpha"))
    bravo = await parts.client.send(attempt(2, "tok_technical_at_bank_alpha", bank="bank-bravo"))

    assert ("technical", "confirmed") == (alpha.decline_code, bravo.outcome)


@pytest.mark.parametrize("bank", BANKS)
async def test_settlement_comes_in_pages_that_do_not_change(parts: Parts, bank: str) -> None:
    instruments = ["visa_ok", "settlement_wrong", "settlement_missing", "settlement_extra", "denied"]
    for number, name in enumerate(instruments):
        await parts.client.send(attempt(number, f"tok_{name}", bank=bank))

    whole = (await parts.client.settlement(bank, 0)).lines
    pages: list[SettlementLine] = []
    while page := (await parts.client.settlement(bank, pages[-1].line if pages else 0, 2)).lines:
        pages += page

    assert whole == pages
    assert [
        ("att_eu_0", 1999, 14), ("att_eu_1", 2099, 14), ("att_eu_3", 1999, 14), ("att_eu_3", 1999, 14),
        ("att_eu_4", 1999, 14),
    ] == [(line.attempt_id, line.amount_minor, line.fee_minor) for line in whole]  # fmt: skip


async def test_nobody_else_moves_money_or_writes_the_script(parts: Parts) -> None:
    supervisor = await parts.hop("supervisor", "bank-alpha")
    banks = await parts.hop("banks", "bank-alpha")

    assert 403 == (await supervisor.call("POST", "/v1/attempts", b"{}")).status
    assert 403 == (await banks.call("POST", "/v1/script", b"{}")).status
    assert 400 == (await supervisor.call("POST", "/v1/script", b'{"error_rate": 2}')).status


async def test_another_banks_attempt_is_refused(parts: Parts) -> None:
    banks = await parts.hop("banks", "bank-alpha")

    answer = await banks.call("POST", "/v1/inquiries", b'{"bank":"bank-bravo","attempt_id":"att_1"}')

    assert 421 == answer.status
