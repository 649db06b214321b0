"""A client of the gateway for asyncio: what `Gateway` is, awaited.

The steps are the same generator's; only sending, signing and sleeping are awaited.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Protocol, Self

from .client import random_text, real_surroundings, require_origin
from .exchange import Party, Send, Sign, Sleep, conduct
from .gateway_keys import GatewayKeys
from .instruments import Instruments
from .key_operations import Keys
from .operations import Evidence, Payments, Refunds
from .reading import Accounts, Disputes, Events
from .retries import RetryPolicy
from .webhook_operations import Deliveries, WebhookEndpoints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from .answers import Answer, NoAnswer
    from .calls import Call
    from .exchange import StepResult, Surroundings
    from .keys import Signer, VerifyingKey
    from .message import Request, Response
    from .remote_signer import AsyncSigner


class AsyncTransport(Protocol):
    """What `Transport` is, awaited. One from `adapters`, over aiohttp or httpx, or your own."""

    async def send(self, request: Request, *, answer_bytes_max: int) -> Response | NoAnswer: ...

    async def close(self) -> None: ...


class AsyncGateway:
    """The gateway, as one merchant's key speaks with it, for asyncio.

    Args:
        base_url: the gateway's public origin.
        signer: the merchant's key; one that is awaited, or one that is not.
        transport: sends requests.
        gateway_keys: as for `Gateway`.
        gateway_key_ids: as for `Gateway`.
        policy: bounds of asking again.
        surroundings: clock, chance and nonces.
        sleep: waits for seconds.

    Raises:
        UnsignableRequest: the address is not canonical.
        KeyRefused: the pins contradict each other or are malformed.
    """

    def __init__(
        self,
        base_url: str,
        signer: Signer | AsyncSigner,
        transport: AsyncTransport,
        *,
        gateway_keys: Iterable[VerifyingKey] | None = None,
        gateway_key_ids: Iterable[str] | None = None,
        policy: RetryPolicy | None = None,
        surroundings: Surroundings | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._signer = signer
        self._sleep = sleep
        self._transport = transport
        self._party = Party(
            origin=require_origin(base_url),
            key_id=signer.key_id,
            alg=signer.alg,
            keys=GatewayKeys(gateway_keys, gateway_key_ids),
            policy=policy or RetryPolicy(),
            surroundings=surroundings or real_surroundings(),
        )
        self.payments: Payments[Awaitable[Answer]] = Payments(self.run, random_text)
        self.refunds: Refunds[Awaitable[Answer]] = Refunds(self.run, random_text)
        self.instruments: Instruments[Awaitable[Answer]] = Instruments(self.run, random_text)
        self.keys: Keys[Awaitable[Answer]] = Keys(self.run, random_text)
        self.events: Events[Awaitable[Answer]] = Events(self.run, random_text)
        self.disputes: Disputes[Awaitable[Answer]] = Disputes(self.run, random_text)
        self.accounts: Accounts[Awaitable[Answer]] = Accounts(self.run, random_text)
        self.webhook_endpoints: WebhookEndpoints[Awaitable[Answer]] = WebhookEndpoints(self.run, random_text)
        self.deliveries: Deliveries[Awaitable[Answer]] = Deliveries(self.run, random_text)
        self.evidence: Evidence[Awaitable[bytes]] = Evidence(self._run_for_body, random_text)

    async def run(self, call: Call) -> Answer:
        """Bring one operation to its end; see `conduct` for what it raises."""
        steps = conduct(call, self._party)
        result: StepResult = None
        failure: Exception | None = None
        while True:
            try:
                step = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            result = failure = None
            match step:
                case Sign(base):
                    try:
                        signature = self._signer.sign(base)
                        result = await signature if inspect.isawaitable(signature) else signature
                    except Exception as error:  # noqa: BLE001 - raised again where the doubt is known
                        failure = error
                case Send(request, answer_bytes_max):
                    result = await self._transport.send(request, answer_bytes_max=answer_bytes_max)
                case Sleep(seconds):
                    await self._sleep(seconds)

    async def _run_for_body(self, call: Call) -> bytes:
        return (await self.run(call)).body

    async def close(self) -> None:
        """Close idle connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
