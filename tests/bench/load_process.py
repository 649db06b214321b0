"""A process of many merchants: signs payments, sends them over open connections, and verifies receipts.

`python -m tests.bench.load_process MERCHANTS`: says its public keys; then, for each order on standard input,
`ready`, after `go` `done` and how many were answered well, and after `tell` `told`. What costs time beside
the run is done outside it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from pki.tls import client_context
from signing import (
    Request,
    Response,
    SigningError,
    SigningKey,
    VerifyingKey,
    keys_from_jwks,
    sign_request,
    verify_receipt,
)
from tests.bench.kept_connection import Answer, Connections, Dialling
from tests.bench.load_order import Order, Outcome, Sent, Target

PATH = "/v1/payments"
NONCE_BYTES = 18  # 144 random bits; the profile asks for 128.
_KEYS_PATH = "/.well-known/countermark-keys"
_KEY_BYTES = 16
_REFUSED = 400
_TOLD_BYTES_MAX = 200


@dataclass(frozen=True, slots=True)
class SignedPayment:
    """One request, and the bytes that carry it."""

    request: Request
    octets: bytes


def dialling(target: Target) -> Dialling:
    """How the target is reached: as merchants do, or as the gateway's sidecar does."""
    name = target.origin.removeprefix("https://").partition(":")[0]
    if target.identity:
        context = client_context(Path(target.identity), expect=frozenset({target.expect}))
        return Dialling(target.host, target.port, context, name)
    context = ssl.create_default_context(cafile=target.trust_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return Dialling(target.host, target.port, context, name)


def sign_payment(key: SigningKey, origin: str, number: int, *, now: int) -> SignedPayment:
    """A payment that its bank confirms."""
    body = json.dumps(
        {"kind": "collect", "amount": 1999, "currency": "EUR", "instrument": "tok_visa_ok",
         "merchant_reference": f"order-{number}-{secrets.token_hex(4)}"}
    ).encode()  # fmt: skip
    fields = (
        ("Content-Type", "application/json"),
        ("Idempotency-Key", f'"{secrets.token_hex(_KEY_BYTES)}"'),
    )
    request = Request("POST", origin + PATH, fields, body)
    nonce = secrets.token_urlsafe(NONCE_BYTES)
    request = request.with_headers(sign_request(request, key, now=now, nonce=nonce))
    return SignedPayment(request, wire_bytes(request))


def wire_bytes(request: Request) -> bytes:
    """The HTTP/1.1 text of a request (pure)."""
    host, _, path = request.target_uri.removeprefix("https://").partition("/")
    lines = [
        f"{request.method} /{path} HTTP/1.1", f"Host: {host}",
        *(f"{name}: {value}" for name, value in request.headers),
        f"Content-Length: {len(request.body or b'')}",
    ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1") + (request.body or b"")


class Load:
    """Carries out orders, one after the other.

    Args:
        keys: One of each merchant; they take turns.
    """

    def __init__(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self._made = 0
        self._exchanges: list[tuple[float, float, SignedPayment, Answer]] = []
        self._failures: list[str] = []

    async def carry_out(self, order: Order, heard: Callable[[], Any]) -> None:
        """Prepare, say `ready`, wait to be told to go, run, say `done`, wait again, tell."""
        self._exchanges, self._failures = [], []
        connections = Connections(dialling(order.target))
        await connections.open(order.connections)
        gateway_keys = await _gateway_keys(order.target, connections) if order.verifies else {}
        ready = [self._sign(order) for _ in range(order.requests)] if order.signs_before else []
        ready.reverse()

        def take() -> SignedPayment:
            return ready.pop() if order.signs_before else self._sign(order)

        _say("ready")
        await heard()
        if order.rate_per_s:
            await self._open_loop(order, connections, take)
        else:
            await self._closed_loop(order, connections, take)
        _say(f"done {len(self._exchanges)}")
        await heard()
        refused = self._refused_receipts(gateway_keys) if order.verifies else 0
        sent = [Sent(due, end, answer.status, _id(answer)) for due, end, _, answer in self._exchanges]
        Path(order.outcome).write_bytes(msgspec.json.encode(Outcome(sent, self._failures, refused)))
        connections.close()
        _say("told")

    def _sign(self, order: Order) -> SignedPayment:
        self._made += 1
        key = self._keys[self._made % len(self._keys)]
        return sign_payment(key, order.target.origin, self._made, now=int(time.time()))

    async def _closed_loop(
        self, order: Order, connections: Connections, take: Callable[[], SignedPayment]
    ) -> None:
        left = order.requests

        async def merchant() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await self._pay(time.monotonic(), connections, take())

        await asyncio.gather(*(merchant() for _ in range(order.connections)))

    async def _open_loop(
        self, order: Order, connections: Connections, take: Callable[[], SignedPayment]
    ) -> None:
        begun, tasks = time.monotonic(), set()
        for number in range(order.requests):
            due = begun + number / order.rate_per_s
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(self._pay(due, connections, take()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)

    async def _pay(self, due: float, connections: Connections, payment: SignedPayment) -> None:
        try:
            answer = await connections.exchange(payment.octets)
        except (OSError, ValueError) as fault:
            self._failures.append(f"{type(fault).__name__}: {fault}")
            return
        if answer.status < _REFUSED:
            self._exchanges.append((due, time.monotonic(), payment, answer))
        else:
            self._failures.append(f"{answer.status}: {answer.body[:_TOLD_BYTES_MAX]!r} {answer.fields()}")

    def _refused_receipts(self, keys: dict[str, VerifyingKey]) -> int:
        refused = 0
        for _, _, payment, answer in self._exchanges:
            response = Response(answer.status, answer.fields(), answer.body)
            try:
                verify_receipt(payment.request, response, keys.get, now=int(time.time()))
            except SigningError:
                refused += 1
        return refused


async def _gateway_keys(target: Target, connections: Connections) -> dict[str, VerifyingKey]:
    host = target.origin.removeprefix("https://")
    answer = await connections.exchange(f"GET {_KEYS_PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return dict(keys_from_jwks(answer.body))


def _id(answer: Answer) -> str:
    try:
        return str(json.loads(answer.body).get("id", ""))
    except ValueError:
        return ""


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(merchants: int) -> None:
    """Serve orders until standard input ends."""
    keys = [SigningKey.generate("ed25519") for _ in range(merchants)]
    _say(json.dumps([key.verifying_key.to_jwk() for key in keys]))
    load = Load(keys)

    async def heard() -> str:
        return await asyncio.to_thread(sys.stdin.readline)

    while line := await heard():
        await load.carry_out(msgspec.json.decode(line, type=Order), heard)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
