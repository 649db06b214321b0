"""Recording refusals: a row before the answer goes out, or no such answer.

A refusal of a request that names a registered key is durable before it is sent: a row of the audit log, and,
if the signature held, the whole exchange as evidence. While these cannot be written the answer is 503
instead: the logs are complete, or nothing was said. What is only counted follows as one summary row per
window, and with the last of it at the stop.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from gateway.access.exchange import Exchange
from gateway.audit.entry import Entry
from gateway.audit.tally import WINDOW_S, Tally
from gateway.errors import CellUnavailable
from gateway.store.evidence import REFUSALS_PER_TRANSACTION_MAX, RefusedExchange
from services.node.group import Group, GroupFull
from services.node.logs import get_log

ROWS_PER_TRANSACTION_MAX = 128  # The same knee as for payments; the chain's end is locked for one such call.

_log = get_log("gateway.audit")


class RefusalLog:
    """Writes refusals to the audit log.

    Args:
        append: appends entries in order, in one transaction; raises `CellUnavailable`.
        keep: records refused exchanges as evidence, in one transaction; raises `CellUnavailable`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        append: Callable[[Sequence[Entry]], Awaitable[None]],
        keep: Callable[[Sequence[RefusedExchange]], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._append = append
        self._keep = keep
        self._clock = clock
        self._tally = Tally(now=clock())
        self._group: Group[Entry, None] = Group(self._flush, items_max=ROWS_PER_TRANSACTION_MAX)
        self._evidence: Group[RefusedExchange, None] = Group(
            self._flush_evidence, items_max=REFUSALS_PER_TRANSACTION_MAX
        )

    async def record(self, exchange: Exchange, code: str) -> None:
        """Record on the audit log that this exchange ends with a refusal.

        Raises:
            CellUnavailable: the row could not be written; this refusal must not be sent.
        """
        if exchange.known is None:
            self._tally.count(code)
            return
        # Without a signed request it was a token: the key is the one that asked for it.
        key_id = exchange.known.key.key_id
        base = b"" if exchange.signed is None else hashlib.sha256(exchange.signed.signature_base).digest()
        if not self._tally.admits_row(key_id, now=self._clock()):
            return
        entry = Entry(
            at=datetime.now(UTC),
            kind="refusal",
            code=code,
            key_id=key_id,
            merchant_id=exchange.known.merchant_id,
            request_id=exchange.request_id,
            method=exchange.method,
            route=exchange.route,
            base_digest=base,
            detail="",
        )
        try:
            await self._group.submit(entry)
        except GroupFull as fault:
            raise CellUnavailable("the audit log is out of reach: send the same request again") from fault

    def count(self, code: str) -> None:
        """Count a refusal for the summary: of a flood, the number is what tells something."""
        self._tally.count(code)

    async def keep_evidence(self, refused: RefusedExchange) -> None:
        """Record the refusal of a recognised sender's request, with what it was told and our signature.

        Raises:
            CellUnavailable: it could not be written; this refusal must not be sent.
        """
        try:
            await self._evidence.submit(refused)
        except GroupFull as fault:
            raise CellUnavailable("the evidence is out of reach: send the same request again") from fault

    async def summarise(self) -> None:
        """Write what was only counted, if anything was; keep it for the next time if the log is away."""
        summary = self._tally.take_summary()
        if summary is None:
            return
        entry = Entry(datetime.now(UTC), "summary", "summary", "", "", "", "", "", b"", summary)
        try:
            await self._group.submit(entry)
        except (CellUnavailable, GroupFull):
            self._tally.give_back(summary)
            _log.warning("the audit summary waits for the record", counts=summary)

    async def run(self) -> None:
        """Summarise once per window until cancelled."""
        while True:
            await asyncio.sleep(WINDOW_S)
            await self.summarise()

    async def close(self) -> None:
        """Write the last summary and wait for rows under way."""
        await self.summarise()
        await self._group.close()
        await self._evidence.close()

    async def _flush(self, entries: list[Entry]) -> list[None]:
        await self._append(entries)
        return [None] * len(entries)

    async def _flush_evidence(self, refused: list[RefusedExchange]) -> list[None]:
        await self._keep(refused)
        return [None] * len(refused)
