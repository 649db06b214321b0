"""POST and GET of payments: command → answer and receipt → one transaction → the answer that holds.

The payment's id, the 202's body and its receipt exist before the transaction, because the evidence is written
in it. What is sent is what the record holds afterwards: of a repeat, the stored answer, its receipt fresh.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE, Exchange
from gateway.access.kept_request import request_head
from gateway.access.merchants import AccountDirectory
from gateway.access.receipts import make_receipt
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import PaymentOrder, parse_command
from gateway.api.problems import describe, replayed_headers
from gateway.api.replies import (
    MEDIA_TYPE,
    POLL_HINT_S,
    fingerprint_of,
    json_reply,
    object_id_of,
    require_idempotency_key,
)
from gateway.api.shapes import Decline, Payment, PaymentAccepted, PaymentEvent, PaymentEvents
from gateway.errors import (
    CurrencyNotSupported,
    DuplicateSuspected,
    FieldFault,
    NotFound,
    ValidationFailed,
)
from gateway.idempotency import key_hash, likeness
from gateway.metrics import Metrics
from gateway.store.payments import Acceptance, Payments
from services.node.crash_points import reach
from services.node.identifiers import RANDOM_BITS, new_id
from signing import Signer
from signing.evidence.entry import utc_text

CREATE = Operation(
    name="createPayment", method="POST", path="/v1/payments", scope=Scope.PAY, body=PaymentOrder,
    summary="Accept a payment, once per idempotency key", answers={202: PaymentAccepted},
    problems=frozenset({"currency_not_supported", "duplicate_suspected"}),
)  # fmt: skip
READ = Operation(
    name="readPayment", method="GET", path="/v1/payments/{payment_id}", scope=Scope.READ,
    summary="A payment as it is now", answers={200: Payment}, problems=frozenset({"not_found"}),
)  # fmt: skip
EVENTS = Operation(
    name="listPaymentEvents", method="GET", path="/v1/payments/{payment_id}/events", scope=Scope.READ,
    summary="What happened to a payment, in order", answers={200: PaymentEvents},
    problems=frozenset({"not_found"}),
)  # fmt: skip
OPERATIONS = (CREATE, READ, EVENTS)
# How a payment that looks like an earlier one is refused; the record fills in the ids.
DUPLICATE_FORM = describe(
    DuplicateSuspected(
        "an earlier payment has the same reference, amount, kind and instrument: look it up, or send"
        ' duplicate_policy "allow" under a new idempotency key',
        payment_id="{payment_id}",
    ),
    request_id="{request_id}",
).body.decode("ascii")


class PaymentHandlers:
    """The handlers of /v1/payments.

    Args:
        payments: the record of payments.
        accounts: which account a merchant's currency belongs to.
        receipt_key: signs the receipt that goes into the evidence.
        metrics: counts acceptances by outcome.
        cell: the cell that new ids carry.
        now: seconds since the epoch, UTC.
    """

    def __init__(
        self,
        *,
        payments: Payments,
        accounts: AccountDirectory,
        receipt_key: Signer,
        metrics: Metrics,
        cell: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._payments = payments
        self._accounts = accounts
        self._receipt_key = receipt_key
        self._metrics = metrics
        self._cell = cell
        self._now = now

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((CREATE, self.create), (READ, self.read), (EVENTS, self.events))

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/payments: accept a payment, once per idempotency key."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        order = parse_command(verified.request.body or b"", PaymentOrder)
        if order.kind == "payout" and order.capture_method == "manual":
            raise ValidationFailed(
                "there is nothing to capture of a payout",
                FieldFault("/capture_method", "automatic for a payout"),
            )
        account_id = await self._accounts.find(known.merchant_id, order.currency)
        if account_id is None:
            raise CurrencyNotSupported("there is no account in this currency: ask your operator to open one")
        acceptance, receipt = self._prepare(exchange, order, account_id)
        reach("gateway.receipt_signed")
        accepted = await self._payments.accept(acceptance)
        self._metrics.acceptances.labels(outcome="repeat" if accepted.repeat else "new").inc()
        headers = {
            "Location": f"/v1/payments/{accepted.payment_id}",
            "Retry-After": str(POLL_HINT_S),
            **dict(replayed_headers(accepted.request_id, is_repeat=accepted.repeat)),
        }
        reach("gateway.answer_known")
        if accepted.repeat:
            reach("gateway.repeat_found")
        else:
            exchange.receipt = receipt
        return json_reply(accepted.response_body, status=accepted.response_status, headers=headers)

    def _prepare(
        self, exchange: Exchange, order: PaymentOrder, account_id: str
    ) -> tuple[Acceptance, tuple[tuple[str, str], ...]]:
        known, verified = exchange.require_caller()
        now = self._now()
        accepted_at = datetime.fromtimestamp(now, UTC)
        payment_id = new_id(
            "pay", self._cell, now_ms=int(now * 1000), random_bits=secrets.randbits(RANDOM_BITS)
        )
        body = msgspec.json.encode(_accepted_body(payment_id, order, accepted_at))
        receipt = make_receipt(
            verified.signed,
            status=HTTPStatus.ACCEPTED,
            content_type=MEDIA_TYPE,
            body=body,
            key=self._receipt_key,
            now=int(now),
        )
        acceptance = Acceptance(
            merchant_id=known.merchant_id,
            route=f"{exchange.method} {exchange.route}",
            key_hash=key_hash(require_idempotency_key(verified)),
            fingerprint=fingerprint_of(exchange, verified),
            payment_id=payment_id,
            account_id=account_id,
            kind=order.kind,
            amount_minor=order.amount,
            currency=order.currency,
            instrument=order.instrument,
            merchant_reference=order.merchant_reference,
            response_body=body,
            evidence_key_id=verified.key_id,
            request_head=request_head(verified.request),
            request_base=verified.signature_base,
            request_signature=verified.signature,
            request_body=verified.request.body or b"",
            receipt_base=receipt.base,
            receipt_signature=receipt.signature,
            accepted_at=accepted_at,
            capture_method=order.capture_method,
            request_id=exchange.request_id,
            likeness=_likeness_of(known.merchant_id, order),
            looks_again=order.duplicate_policy == "allow",
        )
        return acceptance, receipt.headers

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/payments/{id}: the payment as it is now."""
        known, _ = request[EXCHANGE].require_caller()
        row = await self._payments.find(known.merchant_id, object_id_of(request, "pay", self._cell))
        if row is None:
            raise NotFound("there is no such payment")
        body = msgspec.json.encode(_payment_body(row))
        return json_reply(body, headers={"ETag": f'"{row["sequence"]}"'})

    async def events(self, request: web.Request) -> web.Response:
        """GET /v1/payments/{id}/events: what happened to the payment, in order."""
        known, _ = request[EXCHANGE].require_caller()
        rows = await self._payments.events_of(known.merchant_id, object_id_of(request, "pay", self._cell))
        if not rows:  # every payment has at least the event of its acceptance
            raise NotFound("there is no such payment")
        return json_reply(msgspec.json.encode(PaymentEvents(data=[_told(dict(row)) for row in rows])))


def _likeness_of(merchant_id: str, order: PaymentOrder) -> UUID | None:
    """What an accidental second payment shares with the first; without a reference nothing tells it apart."""
    if order.merchant_reference is None:
        return None
    return likeness(
        merchant_id=merchant_id,
        kind=order.kind,
        instrument=order.instrument,
        amount_minor=order.amount,
        currency=order.currency,
        reference=order.merchant_reference,
    )


def _told(row: Mapping[str, Any]) -> PaymentEvent:
    """One event of a story; subject, decline and details only where it has them."""
    details = None if row["details"] is None else msgspec.json.decode(row["details"])
    return PaymentEvent(
        sequence=row["sequence"],
        type=row["type"],
        at=utc_text(row["at"]),
        subject=row["subject_id"],
        decline_code=row["decline_code"],
        details=details or None,
    )


def _accepted_body(payment_id: str, order: PaymentOrder, accepted_at: datetime) -> PaymentAccepted:
    return PaymentAccepted(
        id=payment_id,
        kind=order.kind,
        amount=order.amount,
        currency=order.currency,
        merchant_reference=order.merchant_reference,
        created_at=utc_text(accepted_at),
    )


def _payment_body(row: asyncpg.Record) -> Payment:
    return Payment(
        id=row["id"],
        kind=row["kind"],
        status=row["status"],
        sequence=row["sequence"],
        amount=row["amount_minor"],
        currency=row["currency"],
        merchant_reference=row["merchant_reference"],
        decline=None if row["decline_code"] is None else Decline(code=row["decline_code"]),
        created_at=utc_text(row["accepted_at"]),
        updated_at=utc_text(row["updated_at"]),
    )
