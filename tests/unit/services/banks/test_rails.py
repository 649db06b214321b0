"""Each rail says the same in its own words, and nothing is believed that is not about the request."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.banks.card_messages import CARD_EXPONENTS, CARD_TYPES, DECLINES
from services.banks.card_rail import CardRail
from services.banks.connector import RAILS
from services.banks.exponents import AmountRefused, decimal_of
from services.banks.json_rail import JsonRail
from services.banks.messages import (
    AMOUNT_MINOR_MAX,
    Attempt,
    AttemptAnswer,
    Inquiry,
    SettlementAsk,
    SettlementLine,
    SettlementPage,
)
from services.banks.rail import (
    AnswerRefused,
    Rail,
    believed,
    believed_of_inquiry,
    believed_page,
)

UETR = "0d0ff3f3-8f3f-4d0c-9a4e-0f4a3b2c1d0e"
ATTEMPT = Attempt(
    "att_eu_1_1", "card-network", "capture", 1999, "EUR", "tok_visa_ok", "pay_eu_1", UETR, "nw_1"
)
CONFIRMED = AttemptAnswer(
    "att_eu_1_1",
    "confirmed",
    end_to_end_id="pay_eu_1",
    amount_minor=1999,
    currency="EUR",
    bank_reference="nw_2",
)
APPROVED = {
    "merchantTransactionId": "att_eu_1_1", "status": "APPROVED", "merchantOrderId": "pay_eu_1",
    "transactionAmount": "19.99", "transactionCurrency": "EUR", "networkReference": "nw_2",
    "responseCode": "00", "approvalCode": "A1B2C3",
}  # fmt: skip
RECORD = {
    "sequence": 7, "merchantTransactionId": "att_eu_1_1", "merchantOrderId": "pay_eu_1",
    "recordType": "COMPLETION", "clearedAmount": "19.99", "interchangeFee": "0.05", "schemeFee": "0.02",
    "clearingCurrency": "EUR", "networkReference": "nw_2", "settlementDate": "20261127",
}  # fmt: skip


def body(document: object) -> bytes:
    return json.dumps(document).encode()


def without(document: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in fields}


def line(number: int) -> SettlementLine:
    return SettlementLine(
        line=number, attempt_id="att_eu_1_1", end_to_end_id="pay_eu_1", operation="capture",
        amount_minor=1999, fee_minor=7, currency="EUR", bank_reference="nw_2", value_date="2026-11-27",
    )  # fmt: skip


def test_the_card_network_hears_its_own_words() -> None:
    call = CardRail().move(ATTEMPT)

    assert "/acquirer/transactions" == call.path
    assert {
        "merchantTransactionId": "att_eu_1_1", "merchantOrderId": "pay_eu_1", "uetr": UETR,
        "transactionType": "COMPLETION", "transactionAmount": "19.99", "transactionCurrency": "EUR",
        "cardToken": "tok_visa_ok", "originalNetworkReference": "nw_1",
    } == json.loads(call.body)  # fmt: skip


@pytest.mark.parametrize("rail", RAILS.values(), ids=RAILS)
def test_a_repeat_is_byte_for_byte_the_same(rail: Rail) -> None:
    copy = msgspec.json.decode(msgspec.json.encode(ATTEMPT), type=Attempt)

    assert rail.move(ATTEMPT) == rail.move(copy)
    assert {*CARD_TYPES} == rail.operations


def test_what_the_card_network_cannot_express_is_not_sent() -> None:
    with pytest.raises(AmountRefused):
        CardRail().move(msgspec.structs.replace(ATTEMPT, currency="IDR", amount_minor=1_050))


def test_both_rails_read_the_same_answer() -> None:
    assert CONFIRMED == CardRail().read(body(APPROVED))
    assert CONFIRMED == JsonRail().read(msgspec.json.encode(CONFIRMED))
    assert CONFIRMED == believed(CONFIRMED, ATTEMPT)


@pytest.mark.parametrize(("code", "decline"), [*DECLINES.items(), ("62", "declined")])
def test_a_response_code_is_one_of_our_declines(code: str, decline: str) -> None:
    answer = CardRail().read(
        body(without(APPROVED, "approvalCode") | {"status": "DECLINED", "responseCode": code})
    )

    assert ("declined", decline) == (answer.outcome, answer.decline_code)
    assert answer == believed(answer, ATTEMPT)


@pytest.mark.parametrize(
    "document",
    [
        APPROVED | {"responseCode": "05"},
        without(APPROVED, "responseCode"),
        without(APPROVED, "approvalCode"),
        APPROVED | {"status": "DECLINED"},
        APPROVED | {"status": "DECLINED", "responseCode": "05"},
        without(APPROVED, "approvalCode", "responseCode") | {"status": "DECLINED"},
        without(APPROVED, "approvalCode") | {"status": "IN_PROGRESS"},
        APPROVED | {"transactionAmount": "19.990"},
        APPROVED | {"transactionAmount": 19.99},
        APPROVED | {"transactionAmount": "19,99"},
        APPROVED | {"transactionAmount": "0.00"},
        APPROVED | {"transactionAmount": "10000000000.00"},
        APPROVED | {"transactionCurrency": "XXX"},
        APPROVED | {"surprise": True},
        APPROVED | {"status": "PROBABLY"},
        [],
        None,
    ],
)
def test_an_answer_that_contradicts_itself_is_not_read(document: object) -> None:
    with pytest.raises(AnswerRefused):
        CardRail().read(body(document))


@pytest.mark.parametrize("rail", RAILS.values(), ids=RAILS)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        b"<html>",
        b"\x1f\x8b\x08\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"attempt_id":' + b"[" * 10_000,
    ],
)
def test_what_is_no_answer_is_not_read(rail: Rail, answer: bytes) -> None:
    with pytest.raises(AnswerRefused):
        rail.read(answer)
    with pytest.raises(AnswerRefused):
        rail.read_settlement(answer)


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt_id": "att_eu_2_1"},
        {"end_to_end_id": "pay_eu_2"},
        {"amount_minor": 1998},
        {"currency": "USD"},
        {"end_to_end_id": None},
        {"amount_minor": None},
        {"currency": None},
        {"bank_reference": None},
        {"decline_code": "late"},
        {"outcome": "declined", "amount_minor": 1},
        {"outcome": "not_found"},
        {"outcome": "unsent"},
        {"outcome": "unknown", "alarm": "made up"},
    ],
)
def test_an_answer_about_something_else_is_not_believed(changes: dict[str, Any]) -> None:
    with pytest.raises(AnswerRefused):
        believed(msgspec.structs.replace(CONFIRMED, **changes), ATTEMPT)


def test_a_question_may_be_answered_with_not_found_but_not_about_something_else() -> None:
    inquiry = Inquiry("card-network", "att_eu_1_1")
    unknown = CardRail().read(body({"merchantTransactionId": "att_eu_1_1", "status": "NO_RECORD"}))

    assert "not_found" == believed_of_inquiry(unknown, inquiry).outcome
    assert CONFIRMED == believed_of_inquiry(CONFIRMED, inquiry)
    for changes in ({"attempt_id": "att_eu_2_1"}, {"amount_minor": None}, {"outcome": "unsent"}):
        with pytest.raises(AnswerRefused):
            believed_of_inquiry(msgspec.structs.replace(CONFIRMED, **changes), inquiry)


@given(
    amount=st.integers(1, AMOUNT_MINOR_MAX),
    currency=st.sampled_from(["EUR", "JPY", "KWD", "ISK", "CLP", "IDR", "CVE"]),
)
def test_an_amount_comes_back_as_it_went_or_never_goes(amount: int, currency: str) -> None:
    attempt = msgspec.structs.replace(ATTEMPT, amount_minor=amount, currency=currency)
    try:
        sent = json.loads(CardRail().move(attempt).body)
    except AmountRefused:
        assert amount % 100 != 0
        return
    answer = CardRail().read(
        body(APPROVED | {key: sent[key] for key in ("transactionAmount", "transactionCurrency")})
    )

    assert decimal_of(amount, currency, CARD_EXPONENTS) == sent["transactionAmount"]
    assert answer == believed(answer, attempt)


def test_a_clearing_record_is_a_settlement_line() -> None:
    page = CardRail().read_settlement(body({"records": [RECORD]}))

    assert SettlementPage([line(7)]) == page


@pytest.mark.parametrize(
    "change",
    [
        {"clearedAmount": "1999"},
        {"schemeFee": "0.020"},
        {"settlementDate": "20261327"},
        {"recordType": "GIFT"},
        {"clearedAmount": "99999999999999.99"},
        {"interchangeFee": "9999999999.99", "schemeFee": "9999999999.99"},
    ],
)
def test_a_clearing_file_with_a_record_of_another_form_is_not_read(change: dict[str, str]) -> None:
    with pytest.raises(AnswerRefused):
        CardRail().read_settlement(body({"records": [RECORD | change]}))


def test_settlement_lines_rise_after_the_one_that_is_known() -> None:
    ask = SettlementAsk("card-network", 6, 2)

    assert believed_page(SettlementPage([line(7), line(9)]), ask).lines
    for numbers in ([6], [7, 7], [8, 7], [7, 8, 9]):
        with pytest.raises(AnswerRefused):
            believed_page(SettlementPage([line(number) for number in numbers]), ask)
