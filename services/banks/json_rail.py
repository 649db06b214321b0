"""The rail of the banks that speak our own words: JSON, integer minor units (pure)."""

from __future__ import annotations

import msgspec

from services.banks.messages import (
    ATTEMPTS_PATH,
    INQUIRIES_PATH,
    SETTLEMENT_PATH,
    Attempt,
    AttemptAnswer,
    Inquiry,
    Operation,
    SettlementAsk,
    SettlementPage,
)
from services.banks.rail import AnswerRefused, Call
from services.node.redacted import enc_hook

_encoder = msgspec.json.Encoder(enc_hook=enc_hook)
_answers = msgspec.json.Decoder(AttemptAnswer, strict=True)
_pages = msgspec.json.Decoder(SettlementPage, strict=True)


class JsonRail:
    """Stateless; one value serves every such bank."""

    operations: frozenset[Operation] = frozenset(
        {"collect", "authorise", "capture", "void", "payout", "refund"}
    )

    def move(self, attempt: Attempt) -> Call:
        return Call(ATTEMPTS_PATH, _encoder.encode(attempt))

    def inquire(self, inquiry: Inquiry) -> Call:
        return Call(INQUIRIES_PATH, _encoder.encode(inquiry))

    def settlement(self, ask: SettlementAsk) -> Call:
        return Call(SETTLEMENT_PATH, _encoder.encode(ask))

    def read(self, body: bytes) -> AttemptAnswer:
        try:
            return _answers.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise AnswerRefused("the answer cannot be read") from fault

    def read_settlement(self, body: bytes) -> SettlementPage:
        try:
            return _pages.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise AnswerRefused("the settlement file cannot be read") from fault
