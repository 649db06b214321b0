"""The typed caller of the banks service.

Consistency: an answer is the bank's own word at that time. Retry: none here; the caller holds a lease and a
reminder, and repeats under the same attempt id. Concurrency: any number of calls; those that are begun in the
same step of the loop travel in one batch, and each has its own answer as soon as it is there.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from services.banks.batch_sender import BatchSender
from services.banks.messages import (
    SETTLEMENT_LINES_MAX,
    SETTLEMENT_PATH,
    Attempt,
    AttemptAnswer,
    Inquiry,
    SettlementAsk,
    SettlementPage,
)
from services.node.errors import HopUnknown
from services.node.hop_client import HopClient

_encoder = msgspec.json.Encoder()
_pages = msgspec.json.Decoder(SettlementPage, strict=True)


class BanksClient:
    """Sends attempts and asks about them over one started `HopClient`."""

    def __init__(self, hop: HopClient) -> None:
        self._hop = hop
        self._batches = BatchSender(hop)

    async def send(self, attempt: Attempt) -> AttemptAnswer:
        """Send an attempt, or the same one again.

        Raises:
            HopUnsent: It certainly did not leave.
            HopUnknown: It may have reached the bank.
        """
        return await self._batches.submit(attempt)

    async def inquire(self, bank: str, attempt_id: str) -> AttemptAnswer:
        """Ask what became of an attempt; asking never moves money.

        Raises:
            HopUnsent: The question certainly did not leave.
            HopUnknown: No readable answer.
        """
        return await self._batches.submit(Inquiry(bank, attempt_id))

    async def settlement(
        self, bank: str, after_line: int, lines_max: int = SETTLEMENT_LINES_MAX
    ) -> SettlementPage:
        """Read the lines of a bank's settlement file that come after one; reading changes nothing.

        Raises:
            HopUnsent: The question certainly did not leave.
            HopUnknown: No readable answer, or the bank gave none.
        """
        asked = SettlementAsk(bank, after_line, lines_max)
        answer = await self._hop.call("POST", SETTLEMENT_PATH, _encoder.encode(asked))
        if answer.status != HTTPStatus.OK:
            raise HopUnknown(f"status {answer.status}")
        try:
            return _pages.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise HopUnknown("the answer is not one of ours") from fault
