"""Requests as a merchant would make them, unsigned, and the reading of answers."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from signing import Request, Response, SigningKey, registration_body

ORIGIN = "https://pay.countermark.example"
HOST = ORIGIN.removeprefix("https://")


def payment_request(*, key: str | None = None, **changes: object) -> Request:
    """An unsigned request for a payment; `changes` replace or add members of its body."""
    order: dict[str, object] = {
        "kind": "collect", "amount": 1999, "currency": "EUR", "instrument": "tok_visa_ok",
        "merchant_reference": f"order-{secrets.token_hex(8)}",
    }  # fmt: skip
    return post("/v1/payments", msgspec.json.encode(order | changes), key=key)


def post(path: str, body: bytes, *, key: str | None = None) -> Request:
    headers = (
        ("Content-Type", "application/json"),
        ("Idempotency-Key", f'"{key or secrets.token_urlsafe(24)}"'),
    )
    return Request("POST", ORIGIN + path, headers, body)


def get(path: str) -> Request:
    return Request("GET", ORIGIN + path, (), None)


def first_key_request(key: SigningKey, enrolled: Mapping[str, str], *, token: str | None = None) -> Request:
    """What a merchant sends after its enrolment; `token` is another one than it was given."""
    body = registration_body(
        key,
        merchant_id=enrolled["merchant_id"],
        now=int(time.time()),
        enrolment_token=token or enrolled["enrolment_token"],
    )
    return post("/v1/keys", body)


def problem(answer: Response) -> dict[str, object]:
    value: dict[str, object] = json.loads(answer.body)
    return value


def header(answer: Response, name: str) -> str | None:
    found = [value for each, value in answer.headers if each.lower() == name.lower()]
    assert len(found) <= 1, found
    return found[0] if found else None


def without_header(request: Request, name: str) -> Request:
    kept = tuple(pair for pair in request.headers if pair[0].lower() != name.lower())
    return replace(request, headers=kept)
