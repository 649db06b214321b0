"""POST of payments: command → answer and receipt → one transaction → the answer that holds.

The payment's id, the 202's body and its receipt exist before the transaction, because the evidence is written
in it. What is sent is what the record holds afterwards: of a repeat, the stored answer, its receipt fresh.
Who would rather wait is answered 200 with the payment if it came to rest: what is kept, and proven by the
evidence, is the 202, and a repeat that does not wait gets it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import UUID

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE, Exchange
from gateway.access.kept_request import request_head
from gateway.access.merchants import AccountDirectory
from gateway.access.receipts import make_receipt
from gateway.api.instruments import require_own
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import PaymentOrder, parse_command
from gateway.api.problems import describe, replayed_headers
from gateway.api.replies import (
    MEDIA_TYPE,
    POLL_HINT_S,
    fingerprint_of,
    json_reply,
    require_idempotency_key,
)
from gateway.api.resting import Resting, applied
from gateway.api.shapes import Payment, PaymentAccepted
from gateway.errors import (
    CurrencyNotSupported,
    DuplicateSuspected,
    FieldFault,
    ValidationFailed,
)
from gateway.idempotency import key_hash, likeness
from gateway.metrics import Metrics
from gateway.store.payments import Acceptance, Payments
from services.node.crash_points import reach
from services.node.identifiers import RANDOM_BITS, new_id
from services.vault.tokens import is_token
from signing import Signer
from signing.evidence.entry import utc_text

CREATE = Operation(
    name="createPayment", method="POST", path="/v1/payments", scope=Scope.PAY, body=PaymentOrder,
    summary="Accept a payment, once per idempotency key", answers={200: Payment, 202: PaymentAccepted},
    problems=frozenset({"currency_not_supported", "duplicate_suspected"}), waits=True,
    fields=frozenset({"Location", "Retry-After"}),
)  # fmt: skip
OPERATIONS = (CREATE,)
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
        resting: waits for payments and shows them.
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
        resting: Resting,
        cell: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._payments = payments
        self._accounts = accounts
        self._receipt_key = receipt_key
        self._metrics = metrics
        self._resting = resting
        self._cell = cell
        self._now = now

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((CREATE, self.create),)

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/payments: accept a payment, once per idempotency key; wait for its end if preferred."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        order = parse_command(verified.request.body or b"", PaymentOrder)
        if is_token(order.instrument):
            require_own(order.instrument, known.merchant_id)
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
            exchange.receipt, exchange.payment_id = receipt, accepted.payment_id
        waited_s = await self._resting.wait(request, known.merchant_id, accepted.payment_id)
        if waited_s:
            headers |= applied(waited_s)
            rested = await self._resting.shown(known, accepted.payment_id)
            if rested is not None:
                exchange.receipt = None  # That one is of the 202.
                return json_reply(rested, headers=headers)
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


def _accepted_body(payment_id: str, order: PaymentOrder, accepted_at: datetime) -> PaymentAccepted:
    return PaymentAccepted(
        id=payment_id,
        kind=order.kind,
        amount=order.amount,
        currency=order.currency,
        merchant_reference=order.merchant_reference,
        created_at=utc_text(accepted_at),
    )
