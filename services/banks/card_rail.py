"""The rail of the card network: its words and decimal amounts to ours and back, exactly (pure)."""

from __future__ import annotations

import msgspec

from services.banks.bank_messages import PutAttempt, PutCard
from services.banks.card_messages import (
    APPROVED_CODE,
    CARD_EXPONENTS,
    CARD_INQUIRIES_PATH,
    CARD_TYPES,
    CLEARING_PATH,
    CLEARING_RECORDS_MAX,
    CLEARING_TYPES,
    DECLINED_OTHERWISE,
    DECLINES,
    TRANSACTIONS_PATH,
    CardAnswer,
    CardInquiry,
    CardTransaction,
    ClearingAsk,
    ClearingFile,
    ClearingRecord,
)
from services.banks.exponents import AmountRefused, decimal_of, minor_of
from services.banks.messages import (
    AMOUNT_MINOR_MAX,
    Attempt,
    AttemptAnswer,
    Inquiry,
    Operation,
    OutcomeName,
    SettlementAsk,
    SettlementLine,
    SettlementPage,
)
from services.banks.rail import AnswerRefused, Call, InstrumentRefused
from services.node.redacted import enc_hook

_encoder = msgspec.json.Encoder(enc_hook=enc_hook)
_answers = msgspec.json.Decoder(CardAnswer, strict=True)
_files = msgspec.json.Decoder(ClearingFile, strict=True)
_OUTCOMES: dict[str, OutcomeName] = {
    "APPROVED": "confirmed", "DECLINED": "declined", "IN_PROGRESS": "pending", "NO_RECORD": "not_found",
}  # fmt: skip


class CardRail:
    """Stateless; one value serves every such network."""

    operations: frozenset[Operation] = frozenset(CARD_TYPES)

    def move(self, attempt: Attempt) -> Call:
        card = _card_of(attempt)
        transaction = CardTransaction(
            merchant_transaction_id=attempt.attempt_id,
            merchant_order_id=attempt.end_to_end_id,
            uetr=attempt.uetr,
            transaction_type=CARD_TYPES[attempt.operation],
            transaction_amount=decimal_of(attempt.amount_minor, attempt.currency, CARD_EXPONENTS),
            transaction_currency=attempt.currency,
            card_token=attempt.instrument,
            original_network_reference=attempt.original_reference,
            card_number=None if card is None else card.number,
            card_expiry=None if card is None else f"{card.expiry_year % 100:02}{card.expiry_month:02}",
        )
        return Call(TRANSACTIONS_PATH, _encoder.encode(transaction))

    def inquire(self, inquiry: Inquiry) -> Call:
        asked = CardInquiry(merchant_transaction_id=inquiry.attempt_id)
        return Call(CARD_INQUIRIES_PATH, _encoder.encode(asked))

    def settlement(self, ask: SettlementAsk) -> Call:
        asked = ClearingAsk(
            after_sequence=ask.after_line, records_max=min(ask.lines_max, CLEARING_RECORDS_MAX)
        )
        return Call(CLEARING_PATH, _encoder.encode(asked))

    def read(self, body: bytes) -> AttemptAnswer:
        try:
            answer = _answers.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise AnswerRefused("the answer cannot be read") from fault
        _check_codes(answer)
        return AttemptAnswer(
            answer.merchant_transaction_id,
            _OUTCOMES[answer.status],
            end_to_end_id=answer.merchant_order_id,
            amount_minor=_amount_of(answer),
            currency=answer.transaction_currency,
            bank_reference=answer.network_reference,
            decline_code=DECLINES.get(answer.response_code or "", DECLINED_OTHERWISE)
            if answer.status == "DECLINED"
            else None,
        )

    def read_settlement(self, body: bytes) -> SettlementPage:
        try:
            return SettlementPage([_line(record) for record in _files.decode(body).records])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AmountRefused) as fault:
            raise AnswerRefused("the clearing file cannot be read") from fault


def _card_of(attempt: Attempt) -> PutCard | None:
    if not isinstance(attempt, PutAttempt):
        return None
    if attempt.iban is not None:
        raise InstrumentRefused("a card network has no words for an account number")
    return attempt.card


def _check_codes(answer: CardAnswer) -> None:
    """Status word, response code and approval code must say the same thing."""
    if (answer.status == "APPROVED") != (answer.response_code == APPROVED_CODE):
        raise AnswerRefused("status and response code contradict each other")
    if (answer.status == "APPROVED") != (answer.approval_code is not None):
        raise AnswerRefused("status and approval code contradict each other")
    if answer.status == "DECLINED" and answer.response_code is None:
        raise AnswerRefused("a decline without a response code")


def _amount_of(answer: CardAnswer) -> int | None:
    if answer.transaction_amount is None or answer.transaction_currency is None:
        return None
    try:
        amount_minor = minor_of(answer.transaction_amount, answer.transaction_currency, CARD_EXPONENTS)
    except AmountRefused as fault:
        raise AnswerRefused("the amount of the answer is none of this rail") from fault
    if not 1 <= amount_minor <= AMOUNT_MINOR_MAX:
        # The engine would refuse to read it, and nobody would hear why the outcome stays unknown.
        raise AnswerRefused("the amount of the answer is none that a payment can have")
    return amount_minor


def _line(record: ClearingRecord) -> SettlementLine:
    currency, date = record.clearing_currency, record.settlement_date
    amount, interchange, scheme = (
        minor_of(decimal, currency, CARD_EXPONENTS)
        for decimal in (record.cleared_amount, record.interchange_fee, record.scheme_fee)
    )
    if max(amount, interchange + scheme) > AMOUNT_MINOR_MAX:
        raise AmountRefused("an amount of the clearing file is larger than any payment")
    return SettlementLine(
        line=record.sequence,
        attempt_id=record.merchant_transaction_id,
        end_to_end_id=record.merchant_order_id,
        operation=CLEARING_TYPES[record.record_type],
        amount_minor=amount,
        fee_minor=interchange + scheme,
        currency=currency,
        bank_reference=record.network_reference,
        value_date=f"{date[:4]}-{date[4:6]}-{date[6:]}",
    )
