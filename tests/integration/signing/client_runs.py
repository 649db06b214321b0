"""The client in its three forms, run the same way; pauses are noted and not made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from signing import AsyncGateway, Gateway, RetryPolicy, Signer
from signing.adapters.aiohttp_transport import AIOHTTPTransport
from signing.adapters.httpx_transport import HTTPXTransport
from tests.integration.signing.wire_server import WireServer
from tests.unit.signing import signing_samples as samples

PAYMENT = {"kind": "collect", "amount": 1999, "currency": "EUR", "instrument": "tok_visa_ok"}
QUICK = RetryPolicy(attempts_max=4, total_s_max=60.0)
FORMS = ("blocking", "aiohttp", "httpx")


@dataclass
class Merchant:
    """Runs operations of a new client, of one form, against one server."""

    server: WireServer
    form: str
    options: dict[str, Any] = field(default_factory=dict)
    signer: Signer = samples.MERCHANT_ED25519
    pauses: list[float] = field(default_factory=list)

    def run(self, operation: Callable[[Any], Any]) -> Any:
        options: dict[str, Any] = {
            "gateway_keys": [samples.GATEWAY.verifying_key],
            "policy": QUICK,
        } | self.options
        origin = options.pop("origin", self.server.origin)
        reach: dict[str, Any] = {
            name: options.pop(name) for name in ("cafile", "connect_to", "answer_s_max") if name in options
        }
        reach.setdefault("cafile", self.server.cafile)
        if self.form == "blocking":
            with Gateway(origin, self.signer, sleep=self.pauses.append, **options, **reach) as gateway:
                return operation(gateway)
        return asyncio.run(self._run(operation, origin, options, reach))

    async def _run(
        self, operation: Callable[[Any], Any], origin: str, options: dict[str, Any], reach: dict[str, Any]
    ) -> Any:
        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        transport = AIOHTTPTransport(**reach) if self.form == "aiohttp" else HTTPXTransport(**reach)
        async with AsyncGateway(origin, self.signer, transport, sleep=pause, **options) as gateway:
            return await operation(gateway)

    def pay(self, **changes: Any) -> Any:
        return self.run(lambda gateway: gateway.payments.create(**(PAYMENT | changes)))


@pytest.fixture(params=FORMS)
def merchant(request: pytest.FixtureRequest, server: WireServer) -> Merchant:
    return Merchant(server, request.param)
