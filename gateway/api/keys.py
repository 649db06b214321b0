"""POST /v1/keys: register a merchant's first key with an enrolment token, each later one with a valid key.

Possession is always proven by the new key's signature over the registration statement of `signing`, which
names key and merchant: an arbiter sees that the key's holder meant to be this merchant. The first key signs
the request, too. A key belongs to one merchant for ever, whoever asks.
Source: RFC 9421 §7.3.4, §7.3.7.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from binascii import a2b_base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec
from aiohttp import web

from gateway.access.authenticate import verify_introduction
from gateway.access.exchange import EXCHANGE, Exchange
from gateway.access.kept_request import request_head
from gateway.access.receipts import make_receipt
from gateway.api.operations import ALL_SCOPES, Bound, Operation, Scope, require_scope
from gateway.api.parsing import KeyOrder, parse_command
from gateway.api.problems import replayed_headers
from gateway.api.replies import MEDIA_TYPE, fingerprint_of, json_reply, require_idempotency_key
from gateway.api.shapes import Key
from gateway.errors import FieldFault, NotPermitted, StateConflict, ValidationFailed
from gateway.idempotency import key_hash
from gateway.store.registry import Registered, Registration, Registry
from signing import (
    KeyRefused,
    KeyUnknown,
    RegistrationRefused,
    Signer,
    VerifiedRequest,
    VerifyingKey,
    registration_statement,
    verify_possession,
)

REGISTER = Operation(
    name="registerKey", method="POST", path="/v1/keys", body=KeyOrder,
    summary="Register a key: the first with an enrolment token, a later one by a key that may manage keys",
    answers={201: Key}, problems=frozenset({"not_permitted", "state_conflict"}),
)  # fmt: skip
PUBLISHED = Operation(
    name="readGatewayKeys", method="GET", path="/.well-known/countermark-keys", signed=False,
    summary="The keys that verify receipts and webhooks", answers={200: "application/jwk-set+json"},
)  # fmt: skip
OPERATIONS = (REGISTER, PUBLISHED)


@dataclass(frozen=True)
class _Vouched:
    """A key that may be registered, and on whose word."""

    key: VerifyingKey
    scope: str
    merchant_id: str
    token_id: str | None
    signed_by: str
    statement: bytes
    proof: bytes
    scopes: frozenset[str]


class KeyHandlers:
    """The handlers of /v1/keys and of the gateway's own public keys.

    Args:
        registry: where keys are recorded.
        receipt_key: signs the receipt that is kept with the registration.
        jwks: the document with the gateway's public keys.
        now: seconds since the epoch, UTC.
    """

    def __init__(
        self, *, registry: Registry, receipt_key: Signer, jwks: bytes, now: Callable[[], float] = time.time
    ) -> None:
        self._registry = registry
        self._receipt_key = receipt_key
        self._jwks = jwks
        self._now = now

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((REGISTER, self.register), (PUBLISHED, self.published))

    async def register(self, request: web.Request) -> web.Response:
        """POST /v1/keys."""
        exchange = request[EXCHANGE]
        if exchange.known is None:
            return await self._register_first(exchange)
        require_scope(exchange.known.scopes, Scope.MANAGE_KEYS)
        return await self._register_again(exchange)

    async def published(self, _: web.Request) -> web.Response:
        """GET /.well-known/countermark-keys: the keys that verify receipts and webhooks."""
        headers = {"Content-Type": "application/jwk-set+json", "Cache-Control": "max-age=300"}
        return web.Response(body=self._jwks, headers=headers)

    async def _register_first(self, exchange: Exchange) -> web.Response:
        """The sender is nobody yet: the body introduces the key that signed, the token says whose it is."""
        if exchange.signed is None:
            raise RuntimeError("a handler ran before the request was parsed")
        order = parse_command(exchange.signed.request.body or b"", KeyOrder)
        if order.enrolment_token is None:
            # Without a token there is no introduction, only a key that nobody knows.
            raise KeyUnknown(
                "no registered key has this keyid", signature_base=exchange.signed.signature_base
            )
        if order.scopes is not None and set(order.scopes) != ALL_SCOPES:
            raise ValidationFailed(
                "a first key may do everything: register another one for less",
                FieldFault("/scopes", "nothing, or every scope"),
            )
        key = _load_key(order)
        verify_introduction(exchange, key, now=int(self._now()))
        token_id, secret = split_token(order.enrolment_token)
        enrolment = await self._registry.find_enrolment(token_id)
        # The comparison takes the same time whether or not there is such a token, and for any secret.
        expected = enrolment.secret_hash if enrolment is not None else bytes(32)
        good = hmac.compare_digest(expected, secret_hash(secret))
        if enrolment is None or not good:
            raise NotPermitted("the enrolment token is not good")
        statement, proof = _prove(order, key, enrolment.merchant_id, int(self._now()))
        vouched = _Vouched(
            key, key.key_id, enrolment.merchant_id, token_id, key.key_id, statement, proof, ALL_SCOPES
        )
        return self._answer(exchange, *await self._record(exchange, vouched))

    async def _register_again(self, exchange: Exchange) -> web.Response:
        """The sender is recognised: either it repeats its own first registration, or it vouches for a key."""
        known, verified = exchange.require_caller()
        order = parse_command(verified.request.body or b"", KeyOrder)
        first = order.enrolment_token is not None
        # A repeat is looked for first: it stays one when its proof has grown too old to be a new request.
        repeat = await self._registry.find_repeat(
            verified.key_id if first else known.merchant_id,
            key_hash(require_idempotency_key(verified)),
            fingerprint_of(exchange, verified),
        )
        if repeat is not None:
            return self._answer(exchange, repeat, None)
        if first:
            raise StateConflict("the key that signed is registered: a later key comes with its own proof")
        key = _load_key(order)
        statement, proof = _prove(order, key, known.merchant_id, int(self._now()))
        scopes = known.scopes if order.scopes is None else frozenset(order.scopes)
        vouched = _Vouched(
            key, known.merchant_id, known.merchant_id, None, verified.key_id, statement, proof, scopes
        )
        return self._answer(exchange, *await self._record(exchange, vouched))

    async def _record(
        self, exchange: Exchange, vouched: _Vouched
    ) -> tuple[Registered, tuple[tuple[str, str], ...]]:
        verified = _require_verified(exchange)
        now = self._now()
        body = msgspec.json.encode(
            Key(
                key_id=vouched.key.key_id,
                merchant_id=vouched.merchant_id,
                alg=vouched.key.alg,
                status="active",
                scopes=sorted(vouched.scopes),
            )
        )
        receipt = make_receipt(
            verified.signed,
            status=HTTPStatus.CREATED,
            content_type=MEDIA_TYPE,
            body=body,
            key=self._receipt_key,
            now=int(now),
        )
        registered = await self._registry.register(
            Registration(
                scope=vouched.scope,
                key_hash=key_hash(require_idempotency_key(verified)),
                fingerprint=fingerprint_of(exchange, verified),
                response_status=HTTPStatus.CREATED,
                response_body=body,
                key=vouched.key,
                merchant_id=vouched.merchant_id,
                at=datetime.fromtimestamp(now, UTC),
                token_id=vouched.token_id,
                signed_by=vouched.signed_by,
                statement=vouched.statement,
                proof=vouched.proof,
                request_head=request_head(verified.request),
                request_base=verified.signature_base,
                request_signature=verified.signature,
                request_body=verified.request.body or b"",
                receipt_base=receipt.base,
                receipt_signature=receipt.signature,
                request_id=exchange.request_id,
                scopes=sorted(vouched.scopes),
            )
        )
        return registered, receipt.headers

    def _answer(
        self, exchange: Exchange, registered: Registered, receipt: tuple[tuple[str, str], ...] | None
    ) -> web.Response:
        headers = dict(replayed_headers(registered.request_id, is_repeat=registered.repeat))
        if not registered.repeat:
            exchange.receipt = receipt
        return json_reply(registered.response_body, status=registered.response_status, headers=headers)


def split_token(token: str) -> tuple[str, str]:
    """Return the id and the secret of an enrolment token; its form was checked."""
    token_id, _, secret = token.partition(".")
    return token_id, secret


def secret_hash(secret: str) -> bytes:
    """Return what is stored of a token's secret: 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def _require_verified(exchange: Exchange) -> VerifiedRequest:
    if exchange.verified is None:
        raise RuntimeError("a key was about to be recorded on an unverified request")
    return exchange.verified


def _prove(order: KeyOrder, key: VerifyingKey, merchant_id: str, now: int) -> tuple[bytes, bytes]:
    """Return the statement that the new key signed about itself and this merchant, and its signature."""
    if order.proof is None or order.issued_at is None:
        raise ValidationFailed(
            "a key comes with a proof of possession",
            FieldFault("/proof", "the new key's signature over its registration statement"),
            FieldFault("/issued_at", "the time in that statement, in seconds since the epoch"),
        )
    proof = a2b_base64(order.proof)
    try:
        statement = registration_statement(merchant_id, key.key_id, key.alg, order.issued_at)
        verify_possession(statement, proof, key, merchant_id=merchant_id, now=now)
    except RegistrationRefused as refusal:
        raise ValidationFailed(
            str(refusal), FieldFault("/proof", f"a proof over a statement that names {merchant_id}")
        ) from refusal
    return statement, proof


def _load_key(order: KeyOrder) -> VerifyingKey:
    try:
        return VerifyingKey.from_jwk(order.public_key)
    except KeyRefused as refusal:
        raise ValidationFailed(
            str(refusal), FieldFault("/public_key", "a public JWK, safe and canonical")
        ) from refusal
