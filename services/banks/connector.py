"""One connector for each bank: its rail's words over its own mutual TLS, and the truth about what came back.

Promises: nothing is retried or remembered here; every call is a POST with the attempt's id as its key,
follows no redirect, and ends in time. `unsent` is said only when no byte of the request can have reached the
bank; whatever is not a complete, matching answer is `unknown`, with `alarm` where the bank misbehaved.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import Protocol

from services.banks.card_rail import CardRail
from services.banks.config import BanksConfig, RailName
from services.banks.exponents import AmountRefused
from services.banks.json_rail import JsonRail
from services.banks.messages import (
    BANK_CALL_S_MAX,
    IDEMPOTENCY_HEADER,
    MESSAGE_BYTES_MAX,
    Attempt,
    AttemptAnswer,
    Inquiry,
    SettlementAsk,
    SettlementPage,
)
from services.banks.rail import (
    AnswerRefused,
    Call,
    InstrumentRefused,
    Rail,
    believed,
    believed_of_inquiry,
    believed_page,
)
from services.banks.resolving import Resolver, Unresolved, open_resolver
from services.node import tracing
from services.node.crash_points import reach
from services.node.errors import HopUnknown, HopUnsent
from services.node.hop_client import ANSWER_BYTES_MAX, HopClient
from services.node.logs import get_log
from services.node.trace_context import span_id_of

RAILS: Mapping[RailName, Rail] = MappingProxyType({"json": JsonRail(), "card": CardRail()})

_log = get_log("banks")


class Connector(Protocol):
    """What the banks service can do with a bank, whatever its rail."""

    async def move(self, attempt: Attempt) -> AttemptAnswer:
        """Collect, authorise, capture, void, pay out or refund; never raises for what a bank does."""
        ...

    async def inquire(self, inquiry: Inquiry) -> AttemptAnswer:
        """Ask what became of an attempt; never raises for what a bank does."""
        ...

    async def settlement(self, ask: SettlementAsk) -> SettlementPage:
        """Read lines of the settlement file.

        Raises:
            HopUnsent, HopUnknown: The bank gave none.
            AnswerRefused: What it gave is none.
        """
        ...


class RailConnector:
    """A bank that is reached over one started client and speaks one rail's words."""

    def __init__(self, bank: str, rail: Rail, client: HopClient, resolver: Resolver) -> None:
        self._bank = bank
        self._rail = rail
        self._client = client
        self._resolver = resolver

    async def move(self, attempt: Attempt) -> AttemptAnswer:
        if attempt.operation not in self._rail.operations:
            return self._refused_here(attempt.attempt_id, "the rail has no such operation")
        try:
            call = self._rail.move(await self._resolver.resolve(attempt))
        except (AmountRefused, InstrumentRefused) as fault:
            return self._refused_here(attempt.attempt_id, str(fault))
        except Unresolved as fault:
            if fault.alarm is not None:
                return self._refused_here(attempt.attempt_id, fault.alarm)
            return self._unanswered(attempt.attempt_id, HopUnsent(str(fault)))
        try:
            return await self._move(attempt, call)
        except (HopUnsent, HopUnknown, AnswerRefused) as fault:
            return self._unanswered(attempt.attempt_id, fault)

    async def _move(self, attempt: Attempt, call: Call) -> AttemptAnswer:
        span_id, began_s = tracing.fresh_span_id(), time.time()
        outcome = "unanswered"
        try:
            headers = tracing.headers_for(attempt.end_to_end_id, span_id)
            body = await self._post(call, MESSAGE_BYTES_MAX, key=attempt.attempt_id, headers=headers)
            answer = believed(self._rail.read(body), attempt)
            outcome = answer.outcome
            return answer
        finally:
            tracing.note(
                attempt.end_to_end_id, "bank", began_s, kind="client", span_id=span_id,
                parent_id=span_id_of("attempt", attempt.attempt_id),
                attributes={"countermark.bank": self._bank, "countermark.outcome": outcome},
            )  # fmt: skip

    async def inquire(self, inquiry: Inquiry) -> AttemptAnswer:
        try:
            body = await self._post(self._rail.inquire(inquiry), MESSAGE_BYTES_MAX)
            return believed_of_inquiry(self._rail.read(body), inquiry)
        except (HopUnsent, HopUnknown, AnswerRefused) as fault:
            return self._unanswered(inquiry.attempt_id, fault)

    async def settlement(self, ask: SettlementAsk) -> SettlementPage:
        body = await self._post(self._rail.settlement(ask), ANSWER_BYTES_MAX)
        return believed_page(self._rail.read_settlement(body), ask)

    async def _post(
        self,
        call: Call,
        answer_bytes_max: int,
        *,
        key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        headers = {**headers} if key is None else {**headers, IDEMPOTENCY_HEADER: key}
        answer = await self._client.call(
            "POST", call.path, call.body, headers=headers, answer_bytes_max=answer_bytes_max
        )
        reach("banks.bank_answered")
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
            raise AnswerRefused("the bank sends us elsewhere; nobody follows")
        if answer.status == HTTPStatus.CONFLICT:
            raise AnswerRefused("the bank holds something else under the same key")
        if answer.status != HTTPStatus.OK:
            raise HopUnknown(f"status {answer.status}")
        return answer.body

    def _refused_here(self, attempt_id: str, reason: str) -> AttemptAnswer:
        """Our own check failed before a byte was written, as it does each time for the same attempt."""
        _log.error(
            "an attempt cannot be put to a bank", bank=self._bank, attempt_id=attempt_id, reason=reason
        )
        return AttemptAnswer(attempt_id, "unsent", alarm=reason)

    def _unanswered(self, attempt_id: str, fault: HopUnsent | HopUnknown | AnswerRefused) -> AttemptAnswer:
        about = {"bank": self._bank, "attempt_id": attempt_id, "reason": str(fault)}
        match fault:
            case HopUnsent():
                _log.warning("a bank cannot be reached", **about)
                return AttemptAnswer(attempt_id, "unsent")
            case HopUnknown():
                _log.warning("a bank gave no answer", **about)
                return AttemptAnswer(attempt_id, "unknown")
            case AnswerRefused():
                _log.error("a bank's answer is not believed", **about)
                return AttemptAnswer(attempt_id, "unknown", alarm=str(fault))


@asynccontextmanager
async def open_banks(config: BanksConfig) -> AsyncIterator[dict[str, Connector]]:
    """A connector for every configured bank, closed at the end."""
    async with AsyncExitStack() as stack:
        resolver = await stack.enter_async_context(open_resolver(config))
        banks: dict[str, Connector] = {}
        for name, bank in config.banks.items():
            client = HopClient(config, bank, timeout_s=BANK_CALL_S_MAX, believes_unsent=False)
            await client.start()
            stack.push_async_callback(client.close)
            banks[name] = RailConnector(name, RAILS[bank.rail], client, resolver)
        yield banks
