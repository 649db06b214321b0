"""The typed caller of the banks service.

Consistency: an answer is the bank's own word at that time. Retry: none here; the caller holds a lease and a
reminder, and repeats under the same attempt id. Concurrency: any number of calls, bounded by the hop client.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeVar

import msgspec

from services.banks.messages import (
    ATTEMPTS_PATH,
    INQUIRIES_PATH,
    SETTLEMENT_LINES_MAX,
    SETTLEMENT_PATH,
    Attempt,
    AttemptAnswer,
    Inquiry,
    SettlementAsk,
    SettlementPage,
)
from services.node.errors import HopUnknown
from services.node.hop_client import HopAnswer, HopClient

_encoder = msgspec.json.Encoder()
_answers = msgspec.json.Decoder(AttemptAnswer, strict=True)
_pages = msgspec.json.Decoder(SettlementPage, strict=True)
_Message = TypeVar("_Message")


class BanksClient:
    """Sends attempts and asks about them over one started `HopClient`."""

    def __init__(self, hop: HopClient) -> None:
        self._hop = hop

    async def send(self, attempt: Attempt) -> AttemptAnswer:
        """Send an attempt, or the same one again.

        Raises:
            HopUnsent: It certainly did not leave.
            HopUnknown: It may have reached the bank.
        """
        return _parse(await self._hop.call("POST", ATTEMPTS_PATH, _encoder.encode(attempt)), _answers)

    async def inquire(self, bank: str, attempt_id: str) -> AttemptAnswer:
        """Ask what became of an attempt; asking never moves money.

        Raises:
            HopUnsent: The question certainly did not leave.
            HopUnknown: No readable answer.
        """
        asked = Inquiry(bank, attempt_id)
        return _parse(await self._hop.call("POST", INQUIRIES_PATH, _encoder.encode(asked)), _answers)

    async def settlement(
        self, bank: str, after_line: int, lines_max: int = SETTLEMENT_LINES_MAX
    ) -> SettlementPage:
        """Read the lines of a bank's settlement file that come after one; reading changes nothing.

        Raises:
            HopUnsent: The question certainly did not leave.
            HopUnknown: No readable answer, or the bank gave none.
        """
        asked = SettlementAsk(bank, after_line, lines_max)
        return _parse(await self._hop.call("POST", SETTLEMENT_PATH, _encoder.encode(asked)), _pages)


def _parse(answer: HopAnswer, decoder: msgspec.json.Decoder[_Message]) -> _Message:
    """Whatever is not 200 with one of our answers says nothing about what the bank did."""
    if answer.status != HTTPStatus.OK:
        raise HopUnknown(f"status {answer.status}")
    try:
        return decoder.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise HopUnknown("the answer is not one of ours") from fault
