"""Examples of bodies, made of the types that decode and encode them (pure).

A test holds that every structure of the interface has one and that each fits its own schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.api.act_shapes import AccessToken, Keys, ListedKey, RefundCommand, RefundRequested
from gateway.api.instrument_orders import CardOrder, InstrumentOrder, NoMembers
from gateway.api.instrument_shapes import CardShown, Instrument
from gateway.api.key_commands import RevokeOrder
from gateway.api.parsing import KeyOrder, PaymentOrder, TokenOrder
from gateway.api.payment_commands import CancelOrder, CaptureOrder
from gateway.api.read_shapes import (
    Account,
    AccountList,
    Attempt,
    AttemptList,
    Balance,
    Dispute,
    DisputeList,
    Event,
    EventContent,
    EventList,
    Feed,
    PaymentList,
    Refund,
    RefundList,
    ToldEvent,
)
from gateway.api.refunds import RefundCancelOrder, RefundOrder
from gateway.api.shapes import (
    Decline,
    Key,
    LatestAttempt,
    Payment,
    PaymentAccepted,
    PaymentCommand,
    PaymentEvent,
    PaymentEvents,
    PaymentLinks,
    PaymentRequest,
)
from gateway.api.webhook_health import HEALTHY
from gateway.api.webhook_shapes import (
    Delivery,
    DeliveryAttempt,
    DeliveryList,
    DeliveryStory,
    EndpointChange,
    EndpointOrder,
    IssuedWebhookEndpoint,
    RotateOrder,
    SecretShown,
    WebhookEndpoint,
    WebhookEndpointList,
)

_PAYMENT_ID = "pay_eu_01m83c3x2w0t7v0f8q6k4j9znh"
_REFUND_ID = "ref_eu_01m83c4y8r1e5s2g7p3h6d0wqa"
_ACCOUNT_ID = "acc_eu_01m83c0a6k3m9q1x5v7z2b4c8d"
_TOKEN = "tok_eu_3q8f0v6k2m9x1s5d7g4h0j3z2w"  # noqa: S105 - names an instrument, and is no secret
_REQUEST_ID = "req_eu_01m83c3x2w0t7v0f8q6k4j9znh"
KEY_ID = "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"  # The thumbprint of RFC 8037, appendix A.3.
_PUBLIC_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
_AT, _LATER = "2026-10-01T09:30:00.000000Z", "2026-10-01T09:30:00.412337Z"
_MERCHANT_ID = "mer_eu_01m83bzy4c7n2r8t6w5e1a9s0f"

_PAYMENT = Payment(
    id=_PAYMENT_ID, kind="collect", status="succeeded", sequence=6, amount=1999, currency="EUR",
    amount_capturable=0, amount_captured=1999, amount_refunded=0, amount_refund_reserved=0, amount_disputed=0,
    capture_method="automatic", instrument=_TOKEN, merchant_reference="order-2041", decline=None, review=None,
    latest_attempt=LatestAttempt(
        id="att_eu_01m83c3xv8p4d2k6s0q9w7r5tz", bank="bank-north", operation="collect", state="confirmed",
        amount=1999,
    ),
    expires_at=None, created_at=_AT, updated_at=_LATER, request=PaymentRequest(key_id=KEY_ID),
    links=PaymentLinks(
        self=f"/v1/payments/{_PAYMENT_ID}",
        attempts=f"/v1/payments/{_PAYMENT_ID}/attempts",
        events=f"/v1/payments/{_PAYMENT_ID}/events",
        evidence=f"/v1/payments/{_PAYMENT_ID}/evidence",
        refunds=f"/v1/refunds?payment_id={_PAYMENT_ID}",
        disputes=f"/v1/disputes?payment_id={_PAYMENT_ID}",
    ),
)  # fmt: skip
_ATTEMPT = Attempt(
    id="att_eu_01m83c3xv8p4d2k6s0q9w7r5tz", payment_id=_PAYMENT_ID, subject=_PAYMENT_ID, operation="collect",
    number=1, bank="bank-north", state="declined", amount=1999,
    decline=Decline(code="insufficient_funds", advice="retry_later"), created_at=_AT, updated_at=_LATER,
)  # fmt: skip
_REFUND = Refund(
    id=_REFUND_ID, payment_id=_PAYMENT_ID, status="succeeded", amount=500, currency="EUR", origin="user",
    reason="one item came back", decline=None, created_at=_AT, updated_at=_LATER,
)  # fmt: skip
_DISPUTE = Dispute(
    id="dsp_eu_5d0k8m2q7v3x9z1c4f6h8j0n2p", payment_id=_PAYMENT_ID, status="opened", amount=1999,
    currency="EUR", respond_by="2026-10-21T00:00:00.000000Z", created_at=_AT, updated_at=_LATER,
)  # fmt: skip
_ACCOUNT = Account(id=_ACCOUNT_ID, currency="EUR", created_at=_AT)
_EVENT = Event(
    id=f"evt_{_PAYMENT_ID.removeprefix('pay_')}_6", payment_id=_PAYMENT_ID, sequence=6,
    type="payment.succeeded", at=_LATER,
)  # fmt: skip
_TOLD = ToldEvent(
    id=_EVENT.id, type=_EVENT.type, merchant_id=_MERCHANT_ID, payment_id=_PAYMENT_ID, account_id=_ACCOUNT_ID,
    account_version=3, subject_id=None, sequence=6, at="2026-10-07T10:00:01.500Z",
    data=EventContent(
        status="succeeded", kind="collect", amount_minor=1999, currency="EUR",
        merchant_reference="order-2041", decline_code=None, details=None,
    ),
)  # fmt: skip
_LISTED_KEY = ListedKey(
    key_id=KEY_ID, merchant_id=_MERCHANT_ID, alg="ed25519", status="active", scopes=["pay", "read"],
    registered_at=_AT, revoked_at=None,
)  # fmt: skip
_HOOK_ID = "whe_eu_01m83c0q9k2m4x6v8z1b3d5f7h"
_SECRETS = [SecretShown(fingerprint="5f" * 32, created_at=_AT, expires_at=None)]
_HOOK = WebhookEndpoint(
    id=_HOOK_ID, url="https://merchant.example/countermark", description="the shop",
    events=["payment.failed", "payment.succeeded"], ordering="none", status="active", health=HEALTHY,
    secrets=_SECRETS, sequence=1, created_at=_AT, updated_at=_AT,
)  # fmt: skip
_DELIVERY = Delivery(
    id="whd_eu_9f2c4e6a8b0d1f3a5c7e9b2d4f", webhook_endpoint_id=_HOOK_ID, event_id=_EVENT.id,
    event_type="payment.succeeded", payment_id=_PAYMENT_ID, sequence=6, test=False, status="delivered",
    attempts_made=1, next_attempt_at=None, last_status=204, last_error=None, created_at=_LATER,
    delivered_at=_LATER,
)  # fmt: skip

_ALL: tuple[msgspec.Struct, ...] = (
    PaymentOrder(
        kind="collect", amount=1999, currency="EUR", instrument=_TOKEN, merchant_reference="order-2041"
    ),
    CaptureOrder(amount=1500),
    CancelOrder(),
    RefundOrder(amount=500, reason="one item came back"),
    RefundCancelOrder(),
    InstrumentOrder(
        blind="pXl5LkO1f1s7kM0zR6eYQg",
        card=CardOrder(number="4242424242424242", expiry_month=12, expiry_year=2039),
    ),
    NoMembers(),
    KeyOrder(
        public_key=_PUBLIC_KEY, proof="A" * 86 + "==", issued_at=1_790_847_000, scopes=["pay", "read"]
    ),
    RevokeOrder(reason="rotated"),
    TokenOrder(grant_type="client_credentials", dpop_jkt=KEY_ID),
    PaymentAccepted(
        id=_PAYMENT_ID, kind="collect", amount=1999, currency="EUR", merchant_reference="order-2041",
        created_at=_AT,
    ),
    _PAYMENT,
    PaymentList(url="/v1/payments", has_more=False, data=[_PAYMENT]),
    PaymentEvents(
        data=[
            PaymentEvent(sequence=1, type="payment.accepted", at=_AT),
            PaymentEvent(sequence=6, type="payment.succeeded", at=_LATER),
        ]
    ),
    AttemptList(url=f"/v1/payments/{_PAYMENT_ID}/attempts", has_more=False, data=[_ATTEMPT]),
    PaymentCommand(id=_REQUEST_ID, action="capture", payment_id=_PAYMENT_ID, amount=1500),
    RefundRequested(
        id=_REFUND_ID, payment_id=_PAYMENT_ID, amount=500, currency="EUR", reason="one item came back",
        created_at=_AT,
    ),
    RefundCommand(id=_REQUEST_ID, action="cancel", refund_id=_REFUND_ID),
    _REFUND,
    RefundList(url="/v1/refunds", has_more=False, data=[_REFUND]),
    _DISPUTE,
    DisputeList(url="/v1/disputes", has_more=False, data=[_DISPUTE]),
    AccountList(url="/v1/accounts", has_more=False, data=[_ACCOUNT]),
    Balance(
        account_id=_ACCOUNT_ID, currency="EUR", available=125_000, reserved=500, pending_in=1999, as_of=42
    ),
    _EVENT,
    _TOLD,
    _TOLD.data,
    EventList(url="/v1/events", has_more=False, data=[_EVENT]),
    Feed(url="/v1/feed", has_more=False, next="f1.81544.1790000000000000", data=[_TOLD]),
    Instrument(
        id=_TOKEN, type="card", status="active", card=CardShown(brand="visa", last4="4242"), iban=None,
        created_at=_AT, deleted_at=None,
    ),
    Key(key_id=KEY_ID, merchant_id=_MERCHANT_ID, alg="ed25519", status="active", scopes=["pay", "read"]),
    _LISTED_KEY,
    AccessToken(access_token="cmat_" + "A" * 43, expires_in=300),
    EndpointOrder(
        url="https://merchant.example/countermark", events=["payment.failed", "payment.succeeded"],
        description="the shop", symmetric_secret=True,
    ),
    EndpointChange(events=["*"]),
    RotateOrder(overlap_s=3_600),
    _HOOK,
    IssuedWebhookEndpoint(**msgspec.structs.asdict(_HOOK), secret="whsec_" + "A" * 43 + "="),
    WebhookEndpointList(url="/v1/webhook_endpoints", has_more=False, data=[_HOOK]),
    _DELIVERY,
    DeliveryStory(
        **msgspec.structs.asdict(_DELIVERY),
        attempts=[
            DeliveryAttempt(at=_LATER, duration_ms=31, status=204, error=None, verdict="delivered")
        ],
    ),
    DeliveryList(url=f"/v1/webhook_endpoints/{_HOOK_ID}/deliveries", has_more=False, data=[_DELIVERY]),
    Keys(url="/v1/keys", has_more=False, data=[_LISTED_KEY]),
)  # fmt: skip

EXAMPLES: Mapping[type[msgspec.Struct], msgspec.Struct] = MappingProxyType(
    {type(each): each for each in _ALL}
)
# Of what is no structure of ours.
MEDIA_EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "application/jwk-set+json": {"keys": [{**_PUBLIC_KEY, "kid": KEY_ID, "alg": "EdDSA", "use": "sig"}]},
    }
)


def shown_example(kind: type[msgspec.Struct]) -> Any:  # noqa: ANN401 - a JSON value
    """Return an answer's example as JSON has it."""
    return msgspec.to_builtins(_example(kind))


def example_of(kind: type[msgspec.Struct]) -> Any:  # noqa: ANN401 - a JSON value
    """Return a request's example as JSON has it, without members that have their default."""
    example = _example(kind)
    members = msgspec.structs.asdict(example)
    defaults = {each.encode_name: each.default for each in msgspec.structs.fields(kind)}
    spoken = {
        name
        for name, value in members.items()
        if defaults[name] is msgspec.NODEFAULT or value != defaults[name]
    }
    return {name: value for name, value in msgspec.to_builtins(example).items() if name in spoken}


def _example(kind: type[msgspec.Struct]) -> msgspec.Struct:
    if kind not in EXAMPLES:
        raise ValueError(f"{kind.__name__} has no example: add one to gateway/openapi/examples.py")
    return EXAMPLES[kind]
