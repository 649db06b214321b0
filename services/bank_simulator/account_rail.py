"""The rail of account banks: the banks service's own JSON, in minor units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from services.bank_simulator.rail import NotReadable, Page, Paths
from services.bank_simulator.request import Answer, Request
from services.bank_simulator.specimens import asked_of
from services.banks.bank_messages import PutAttempt
from services.banks.messages import (
    ATTEMPTS_PATH,
    INQUIRIES_PATH,
    SETTLEMENT_PATH,
    AttemptAnswer,
    Inquiry,
    SettlementAsk,
    SettlementLine,
    SettlementPage,
)
from services.node.redacted import decoder_of

_Message = TypeVar("_Message")
_encoder = msgspec.json.Encoder()
_attempts = decoder_of(PutAttempt)
_inquiries = msgspec.json.Decoder(Inquiry, strict=True)
_pages = msgspec.json.Decoder(SettlementAsk, strict=True)


class AccountRail:
    """`rail.Rail` in JSON."""

    paths = Paths(ATTEMPTS_PATH, INQUIRIES_PATH, SETTLEMENT_PATH)

    def read_move(self, body: bytes) -> tuple[str | None, Request]:
        """See `rail.Rail`."""
        attempt = _read(_attempts, body)
        card = None if attempt.card is None else attempt.card.number
        return attempt.bank, Request(
            attempt.attempt_id, attempt.end_to_end_id, attempt.operation, attempt.amount_minor,
            attempt.currency, asked_of(attempt.instrument, card, attempt.iban),
            attempt.original_reference, attempt.uetr,
        )  # fmt: skip

    def read_inquiry(self, body: bytes) -> tuple[str | None, str]:
        """See `rail.Rail`."""
        inquiry = _read(_inquiries, body)
        return inquiry.bank, inquiry.attempt_id

    def read_page(self, body: bytes) -> tuple[str | None, Page]:
        """See `rail.Rail`."""
        asked = _read(_pages, body)
        return asked.bank, Page(asked.after_line, asked.lines_max)

    def write_answer(self, attempt_id: str, answer: Answer | None, off: int) -> bytes:
        """See `rail.Rail`."""
        if answer is None:
            return _encoder.encode(AttemptAnswer(attempt_id, "not_found"))
        return _encoder.encode(
            AttemptAnswer(
                attempt_id,
                answer.outcome,
                end_to_end_id=answer.request.end_to_end_id,
                amount_minor=answer.request.amount_minor + off,
                currency=answer.request.currency,
                bank_reference=answer.bank_reference,
                decline_code=answer.decline_code,
            )
        )

    def write_page(self, lines: Sequence[SettlementLine]) -> bytes:
        """See `rail.Rail`."""
        return _encoder.encode(SettlementPage(list(lines)))


def _read(decoder: msgspec.json.Decoder[_Message], body: bytes) -> _Message:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise NotReadable from fault
