"""The rail of the card network: its own names and codes, amounts as decimals with its own digits.

Every amount crosses twice, from our minor units to its decimals and back, and is exact or refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from services.bank_simulator.behaviour import Operation
from services.bank_simulator.rail import NotReadable, Page, Paths
from services.bank_simulator.request import Answer, Request
from services.bank_simulator.settlement import FEE_FIXED_MINOR
from services.bank_simulator.specimens import asked_of
from services.banks.card_messages import (
    APPROVED_CODE,
    CARD_EXPONENTS,
    CARD_INQUIRIES_PATH,
    CARD_TYPES,
    CLEARING_PATH,
    CLEARING_TYPES,
    DECLINES,
    TRANSACTIONS_PATH,
    CardAnswer,
    CardInquiry,
    CardTransaction,
    CardType,
    ClearingAsk,
    ClearingFile,
    ClearingRecord,
    ClearingType,
)
from services.banks.exponents import AmountRefused, decimal_of, exponent_of, minor_of
from services.banks.messages import Movement, SettlementLine
from services.node.redacted import decoder_of

# The network's word for whatever has no code of its own.
_REFUSED_CODE: Final = "06"
_OPERATIONS: Final[MappingProxyType[CardType, Operation]] = MappingProxyType(
    {word: operation for operation, word in CARD_TYPES.items()}
)
_RECORD_TYPES: Final[MappingProxyType[Movement, ClearingType]] = MappingProxyType(
    {movement: word for word, movement in CLEARING_TYPES.items()}
)
_CODES: Final = MappingProxyType({decline: code for code, decline in DECLINES.items()})
_Message = TypeVar("_Message")
_encoder = msgspec.json.Encoder()
_transactions = decoder_of(CardTransaction)
_inquiries = msgspec.json.Decoder(CardInquiry, strict=True)
_clearing = msgspec.json.Decoder(ClearingAsk, strict=True)


class CardRail:
    """`rail.Rail` in the network's words; it names no bank."""

    paths = Paths(TRANSACTIONS_PATH, CARD_INQUIRIES_PATH, CLEARING_PATH)

    def read_move(self, body: bytes) -> tuple[str | None, Request]:
        """See `rail.Rail`."""
        asked = _read(_transactions, body)
        try:
            amount_minor = minor_of(asked.transaction_amount, asked.transaction_currency, CARD_EXPONENTS)
        except AmountRefused as fault:
            raise NotReadable from fault
        if amount_minor == 0:
            raise NotReadable
        return None, Request(
            asked.merchant_transaction_id, asked.merchant_order_id, _OPERATIONS[asked.transaction_type],
            amount_minor, asked.transaction_currency, asked_of(asked.card_token, asked.card_number, None),
            asked.original_network_reference, asked.uetr,
        )  # fmt: skip

    def read_inquiry(self, body: bytes) -> tuple[str | None, str]:
        """See `rail.Rail`."""
        return None, _read(_inquiries, body).merchant_transaction_id

    def read_page(self, body: bytes) -> tuple[str | None, Page]:
        """See `rail.Rail`."""
        asked = _read(_clearing, body)
        return None, Page(asked.after_sequence, asked.records_max)

    def write_answer(self, attempt_id: str, answer: Answer | None, off: int) -> bytes:
        """See `rail.Rail`."""
        if answer is None:
            return _encoder.encode(CardAnswer(merchant_transaction_id=attempt_id, status="NO_RECORD"))
        asked = answer.request
        amount_minor = asked.amount_minor + off * _unit_minor(asked.currency)
        is_approved = answer.outcome == "confirmed"
        written = CardAnswer(
            merchant_transaction_id=attempt_id,
            status="APPROVED"
            if is_approved
            else "IN_PROGRESS"
            if answer.outcome == "pending"
            else "DECLINED",
            merchant_order_id=asked.end_to_end_id,
            transaction_amount=decimal_of(amount_minor, asked.currency, CARD_EXPONENTS),
            transaction_currency=asked.currency,
            network_reference=answer.bank_reference,
            response_code=_response_code(answer),
            approval_code=_approval_code(attempt_id) if is_approved else None,
        )
        return _encoder.encode(written)

    def write_page(self, lines: Sequence[SettlementLine]) -> bytes:
        """See `rail.Rail`."""
        return _encoder.encode(ClearingFile(records=[_record(line) for line in lines]))


def _record(line: SettlementLine) -> ClearingRecord:
    # The network keeps whole units of its own, the scheme's part first.
    unit = _unit_minor(line.currency)
    fee_minor = -(-line.fee_minor // unit) * unit
    scheme_minor = min(fee_minor, -(-FEE_FIXED_MINOR // unit) * unit)

    def written(amount_minor: int) -> str:
        return decimal_of(amount_minor, line.currency, CARD_EXPONENTS)

    return ClearingRecord(
        sequence=line.line,
        merchant_transaction_id=line.attempt_id,
        merchant_order_id=line.end_to_end_id,
        record_type=_RECORD_TYPES[line.operation],
        cleared_amount=written(line.amount_minor),
        interchange_fee=written(fee_minor - scheme_minor),
        scheme_fee=written(scheme_minor),
        clearing_currency=line.currency,
        network_reference=line.bank_reference,
        settlement_date=line.value_date.replace("-", ""),
    )


def _unit_minor(currency: str) -> int:
    """The smallest amount that the rail can write, in our minor units."""
    coarser = exponent_of(currency) - exponent_of(currency, CARD_EXPONENTS)
    return int(10 ** max(0, coarser))


def _response_code(answer: Answer) -> str | None:
    if answer.outcome == "pending":
        return None
    if answer.decline_code is None:
        return APPROVED_CODE
    return _CODES.get(answer.decline_code, _REFUSED_CODE)


def _approval_code(attempt_id: str) -> str:
    """Six characters that follow from the attempt, as a network's look."""
    return hashlib.sha256(attempt_id.encode()).hexdigest()[:6].upper()


def _read(decoder: msgspec.json.Decoder[_Message], body: bytes) -> _Message:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise NotReadable from fault
