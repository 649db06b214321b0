"""A merchant, as a process of its own: makes its key, enrols, pays, and checks everything it is told.

`python -m compose.demo.merchant` reads one JSON object from standard input (the enrolment token is in it, so
it is in no argument) and prints one JSON object a line: a step that held. Any step that does not hold ends
it with exit code 1 and the reason on standard error. With `"stay": true` it goes on printing verified
webhooks.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from compose.demo.evidence import prove
from compose.demo.receiver import Inbox, receive_webhooks
from compose.demo.telling import StepFailed, tell
from compose.demo.wire import Exchange, Wire
from signing import SigningKey, registration_body

SETTLE_S_MAX = 30.0  # A payment takes well under a second; a machine that is still starting may need more.
KEY_FILE = "merchant.key.pem"
PAYMENT = {"kind": "collect", "amount": 1999, "currency": "EUR", "instrument": "tok_visa_ok"}


class Brief(msgspec.Struct, frozen=True):
    """What the merchant is told by the operator, outside of any protocol.

    Attributes:
        origin: The gateway's public origin.
        address: Where to find it.
        trust_file: Authority of its TLS certificate.
        folder: The merchant's own folder.
        webhook_port: Port of its webhook receiver.
        merchant_id: Whom the token was issued to.
        enrolment_token: One time only.
        trust_keys: The public keys with their roles, as a contract would print them.
        stay: Whether to go on receiving webhooks.
    """

    origin: str
    address: str
    trust_file: str
    folder: str
    webhook_port: int
    merchant_id: str
    enrolment_token: str
    trust_keys: str
    stay: bool


async def main(brief: Brief) -> None:
    """Go through the whole story once."""
    wire = Wire(brief.origin, brief.address, brief.trust_file)
    inbox = Inbox(lambda event: tell("webhook", **event, age_ms=_age_ms(event["at"])))
    folder = Path(brief.folder)
    try:
        await wire.learn_keys()
        async with receive_webhooks(
            folder, brief.webhook_port, lambda: list(wire.gateway_keys.values()), inbox
        ):
            key = await _enrol(wire, brief)
            payment_id = await _pay(wire, key, inbox)
            await prove(wire, key, payment_id, folder, brief.trust_keys)
            if brief.stay:
                tell("staying")
                await asyncio.Event().wait()
    finally:
        await wire.close()


def _age_ms(at: str) -> int:
    """Milliseconds since a moment; the demonstration's gateway and merchant have one clock."""
    return round((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() * 1000)


async def _enrol(wire: Wire, brief: Brief) -> SigningKey:
    key = SigningKey.generate("ed25519")
    tell("key", key_id=key.key_id, alg=key.alg)
    body = registration_body(
        key, merchant_id=brief.merchant_id, now=int(time.time()), enrolment_token=brief.enrolment_token
    )
    exchange = await wire.send(wire.sign(key, "POST", "/v1/keys", body, secrets.token_hex(16)))
    answer = _expect(exchange, 201)
    if answer["key_id"] != key.key_id or answer["merchant_id"] != brief.merchant_id:
        raise StepFailed("the gateway enrolled another key or another merchant")
    _save_key(Path(brief.folder) / KEY_FILE, key)
    tell("enrolled", merchant_id=answer["merchant_id"], key_id=key.key_id)
    return key


def _save_key(file: Path, key: SigningKey) -> None:
    aside = file.with_name(f"{file.name}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(key.to_pem())
    aside.rename(file)


async def _pay(wire: Wire, key: SigningKey, inbox: Inbox) -> str:
    body = json.dumps({**PAYMENT, "merchant_reference": f"order-{secrets.token_hex(4)}"}).encode()
    idempotency_key = secrets.token_hex(16)
    request = wire.sign(key, "POST", "/v1/payments", body, idempotency_key)
    tell(
        "request",
        method=request.method,
        target=request.target_uri,
        headers=request.headers,
        body=body.decode(),
    )
    first = await wire.send(request)
    accepted = _expect(first, 202)
    tell("accepted", status=202, body=accepted, receipt=_receipt(first))
    async with asyncio.timeout(SETTLE_S_MAX):
        events = await inbox.wait_terminal(accepted["id"])
    if events[-1]["type"] != "payment.succeeded" or inbox.refused:
        raise StepFailed(f"the payment ended as {events[-1]['type']}, {inbox.refused} webhooks were refused")
    repeat = await wire.send(wire.sign(key, "POST", "/v1/payments", body, idempotency_key))
    if (repeat.response.status, repeat.response.body) != (first.response.status, first.response.body):
        raise StepFailed("the repeat was answered differently")
    if repeat.header("idempotent-replayed") != "true":
        raise StepFailed("the repeat was not recognised as one")
    tell("repeated", status=repeat.response.status, same_body=True, receipt=_receipt(repeat))
    history = _expect(await wire.send(wire.sign(key, "GET", f"/v1/payments/{accepted['id']}/events")), 200)
    current = _expect(await wire.send(wire.sign(key, "GET", f"/v1/payments/{accepted['id']}")), 200)
    tell("stages", payment_id=accepted["id"], status=current["status"], stages=history["data"])
    return str(accepted["id"])


def _expect(exchange: Exchange, status: int) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(exchange.response.body)
    if exchange.response.status != status:
        raise StepFailed(f"{exchange.request.method} {exchange.request.target_uri} was answered with "
                         f"{exchange.response.status} {answer.get('code', '')}")  # fmt: skip
    return answer


def _receipt(exchange: Exchange) -> dict[str, object]:
    receipt = exchange.receipt
    return {"key_id": receipt.key_id, "created": receipt.created, "signature": receipt.signature.hex()}


if __name__ == "__main__":
    try:
        asyncio.run(main(msgspec.json.decode(sys.stdin.buffer.read(), type=Brief)))
    except KeyboardInterrupt:
        sys.exit(0)
    except Exception as fault:  # noqa: BLE001 - the last frame of the process; the launcher shows the sentence.
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        sys.exit(1)
