"""A merchant of the tests: enrolled through the operator's command, paying over the edge like anybody."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from compose.demo.receiver import Inbox, receive_webhooks
from compose.demo.wire import Exchange, Wire
from compose.derive.process_config import TRUST_KEYS_FILE
from compose.launcher.demonstration import Demonstration
from compose.launcher.ports import LOOPBACK
from compose.launcher.stack import DEMO_MERCHANT, RECEIVER, Stack
from signing import Request, SigningKey, registration_body
from signing.evidence.trust import TrustedKeys, parse_trust

TERMINAL = ("succeeded", "failed")
SETTLE_S_MAX = 30.0  # Killed processes are back within 10 s; a payment then takes milliseconds.


@dataclass
class EnrolledMerchant:
    """One merchant and its connection."""

    stack: Stack
    wire: Wire
    key: SigningKey
    merchant_id: str
    inbox: Inbox

    def payment_body(self, **changes: object) -> bytes:
        """A payment that the bank confirms, unless changed."""
        body = {"kind": "collect", "amount": 1999, "currency": "EUR", "instrument": "tok_visa_ok", **changes}
        return json.dumps(body).encode()

    def sign_payment(self, body: bytes | None = None, idempotency_key: str = "") -> Request:
        """A signed POST /v1/payments."""
        return self.wire.sign(
            self.key,
            "POST",
            "/v1/payments",
            body or self.payment_body(),
            idempotency_key or secrets.token_hex(16),
        )

    async def pay(self, **changes: object) -> str:
        """Make a payment and return its id."""
        return self.accepted(await self.wire.send(self.sign_payment(self.payment_body(**changes))))

    def accepted(self, exchange: Exchange) -> str:
        """The id of a payment that must have been accepted."""
        answer = json.loads(exchange.response.body)
        assert exchange.response.status == 202, answer
        return str(answer["id"])

    async def read(self, path: str) -> dict[str, Any]:
        """A signed GET that must succeed."""
        exchange = await self.wire.send(self.wire.sign(self.key, "GET", path))
        answer: dict[str, Any] = json.loads(exchange.response.body)
        assert exchange.response.status == 200, answer
        return answer

    async def settled(self, payment_id: str) -> str:
        """Wait for the payment's one outcome and return it; faults while a process is away are waited out."""
        async with asyncio.timeout(SETTLE_S_MAX):
            while True:
                try:
                    status = (await self.read(f"/v1/payments/{payment_id}"))["status"]
                except (OSError, AssertionError, TimeoutError, RuntimeError, ValueError):
                    status = "unknown"
                except Exception as fault:
                    if type(fault).__module__.partition(".")[0] not in ("aiohttp", "signing"):
                        raise
                    status = "unknown"
                if status in TERMINAL:
                    return str(status)
                await asyncio.sleep(0.05)

    async def evidence(self, payment_id: str) -> bytes:
        """Fetch the payment's bundle; wait as the answer says while it is pending."""
        async with asyncio.timeout(SETTLE_S_MAX):
            while True:
                request = self.wire.sign(self.key, "GET", f"/v1/payments/{payment_id}/evidence")
                exchange = await send_until_answered(self, request)
                if exchange.response.status == 200:
                    return exchange.response.body
                assert 409 == exchange.response.status, exchange.response.body
                await asyncio.sleep(float(exchange.header("retry-after")))

    def trusted_keys(self) -> TrustedKeys:
        """The public keys that a contract with this gateway would print."""
        return parse_trust((self.stack.layout.run / TRUST_KEYS_FILE).read_bytes())

    async def charges(self, payment_id: str) -> int:
        """How many charges all banks' own books hold for a payment."""
        return await Demonstration(self.stack, lambda _: None).charges(payment_id)


async def send_until_answered(merchant: EnrolledMerchant, request: Request) -> Exchange:
    """Send the same bytes until the gateway itself answers; the edge's 503 carries no receipt."""
    async with asyncio.timeout(SETTLE_S_MAX):
        while True:
            try:
                exchange = await merchant.wire.send(request)
            except Exception as fault:
                if type(fault).__module__.partition(".")[0] not in ("aiohttp", "signing"):
                    raise
            else:
                if exchange.response.status != 503:
                    return exchange
            await asyncio.sleep(0.05)


@asynccontextmanager
async def enrol_merchant(stack: Stack) -> AsyncIterator[EnrolledMerchant]:
    """Enrol through the operator's command and register a key over the edge."""
    enrolled = await Demonstration(stack, lambda _: None)._enrol()
    wire = Wire(stack.places.origins[0], LOOPBACK, str(stack.places.identity("supervisor") / "trust.pem"))
    await wire.learn_keys()
    key = SigningKey.generate("ed25519")
    body = registration_body(
        key,
        merchant_id=enrolled["merchant_id"],
        now=int(time.time()),
        enrolment_token=enrolled["enrolment_token"],
    )
    exchange = await wire.send(wire.sign(key, "POST", "/v1/keys", body, secrets.token_hex(16)))
    assert exchange.response.status == 201, exchange.response.body
    inbox = Inbox(lambda _: None)
    folder = stack.layout.state / DEMO_MERCHANT
    async with receive_webhooks(
        folder, stack.ports[RECEIVER], lambda: list(wire.gateway_keys.values()), inbox
    ):
        yield EnrolledMerchant(stack, wire, key, enrolled["merchant_id"], inbox)
    await wire.close()
