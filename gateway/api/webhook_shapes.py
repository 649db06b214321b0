"""What merchants send and get about webhook endpoints and deliveries (pure)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec

from gateway.api.read_shapes import List
from gateway.api.shapes import Shape
from gateway.api.showing import Row
from gateway.api.webhook_health import WebhookHealth, health_of
from gateway.errors import FieldFault, ValidationFailed
from services.notifications.addresses import URL_CHARS_MAX, check_port, parse_target
from services.notifications.errors import AddressRefused, URLRefused
from services.notifications.subscriptions import EVENT_TYPES, EVERY_TYPE, TEST_TYPE, unknown_types
from signing.evidence.entry import utc_text

# A day is enough for a deployment, a week for one that has to wait for people.
OVERLAP_S_DEFAULT = 86_400
OVERLAP_S_MAX = 7 * 86_400

_ID_DIGITS = 26  # As many as any id has; in hexadecimal 104 bits, which no two deliveries share.

# Its whole form is checked by `require_url`; what the document tells of it is how each begins.
Url = Annotated[
    str, msgspec.Meta(max_length=URL_CHARS_MAX, extra_json_schema={"format": "uri", "pattern": "^https://"})
]
# The record's own bound; nothing is no description.
Description = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{0,255}\Z")]
Types = Annotated[
    list[
        Annotated[
            str,
            msgspec.Meta(max_length=64, extra_json_schema={"enum": sorted({EVERY_TYPE, *EVENT_TYPES})}),
        ]
    ],
    msgspec.Meta(min_length=1, max_length=64),
]
Ordering = Literal["none", "per_payment"]


class EndpointOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/webhook_endpoints.

    Attributes:
        url: `https://host[:port][/path][?query]` with a public host; port 443 or 8443.
        events: types that are delivered there; `["*"]` for all, those of later days too.
        description: for people.
        symmetric_secret: deliveries carry an HMAC with a secret besides the signature by our key.
        ordering: `none` for each event at once; `per_payment` to send a payment's next event only after the
            one before was acknowledged or given up.
    """

    url: Url
    events: Types = msgspec.field(default_factory=lambda: [EVERY_TYPE])
    description: Description | None = None
    symmetric_secret: bool = False
    ordering: Ordering = "none"


class EndpointChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of PATCH /v1/webhook_endpoints/{id}: what is left out stays; an empty description is none."""

    url: Url | None = None
    events: Types | None = None
    description: Description | None = None
    ordering: Ordering | None = None


class RotateOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST …/rotate_secret.

    Attributes:
        overlap_s: how long deliveries carry the code of the old secret, too; 0 ends it at once.
    """

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=OVERLAP_S_MAX)] = OVERLAP_S_DEFAULT


class SecretShown(Shape, frozen=True, kw_only=True):
    """A secret that deliveries carry a code of until it ends; the newest has no end."""

    fingerprint: str
    created_at: str
    expires_at: str | None


class WebhookEndpoint(Shape, frozen=True, kw_only=True):
    """An endpoint as it is now.

    Attributes:
        ordering: whether a payment's next event waits until the one before was acknowledged or given up.
        status: `disabled` when the receiver answered 410 or failed for days, until it is enabled.
        health: of this moment; it changes without a new sequence.
        secrets: the newest first; none if signatures are by our key alone.
        sequence: raised by each change; the entity tag.
    """

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str
    description: str | None
    events: list[str]
    ordering: Ordering
    status: Literal["active", "disabled", "deleted"]
    health: WebhookHealth
    secrets: list[SecretShown]
    sequence: int
    created_at: str
    updated_at: str


class IssuedWebhookEndpoint(WebhookEndpoint, frozen=True, kw_only=True):
    """An endpoint and its new secret, `whsec_…`: in the first answer alone, null in each repeat of it."""

    secret: str | None


class DeliveryAttempt(Shape, frozen=True, kw_only=True):
    """One attempt: `status` of the answer, or `error`, why there was none."""

    at: str
    duration_ms: int
    status: int | None
    error: str | None
    verdict: Literal["delivered", "retry", "dead", "gone"]


class Delivery(Shape, frozen=True, kw_only=True):
    """An event on its way to an endpoint.

    Attributes:
        payment_id: null for a test event.
        status: `pending` until it was acknowledged, or given up as `dead`.
        attempts_made: since it was made or replayed last.
        next_attempt_at: null when nothing is due, as while it waits for an earlier event of its payment.
    """

    id: str
    object: Literal["delivery"] = "delivery"
    webhook_endpoint_id: str
    event_id: str
    event_type: str
    payment_id: str | None
    sequence: int
    test: bool
    status: Literal["pending", "delivered", "dead"]
    attempts_made: int
    next_attempt_at: str | None
    last_status: int | None
    last_error: str | None
    created_at: str
    delivered_at: str | None


class DeliveryStory(Delivery, frozen=True, kw_only=True):
    """A delivery with its last hundred attempts, oldest first."""

    attempts: list[DeliveryAttempt]


class WebhookEndpointList(List, frozen=True, kw_only=True):
    """Endpoints, newest first."""

    data: list[WebhookEndpoint]


class DeliveryList(List, frozen=True, kw_only=True):
    """Deliveries, newest first."""

    data: list[Delivery]


def require_url(url: str) -> None:
    """Refuse what nothing would ever be sent to; where a name leads is checked at each attempt.

    Raises:
        ValidationFailed: the URL is of another form, or its literal address is not public.
    """
    try:
        check_port(parse_target(url), frozenset())
    except (URLRefused, AddressRefused):
        raise ValidationFailed(
            "webhooks do not go to this URL",
            FieldFault(
                "/url", "https://host[:port][/path][?query], a public lower-case host, port 443 or 8443"
            ),
        ) from None


def require_types(wanted: list[str]) -> list[str]:
    """Return the types in order, each once; everything is `*` alone.

    Raises:
        ValidationFailed: one of them is no type of event.
    """
    faults = [FieldFault(f"/events/{place}", "a type of event, or *") for place in unknown_types(wanted)]
    if faults:
        raise ValidationFailed("there is no such type of event", *faults)
    return [EVERY_TYPE] if EVERY_TYPE in wanted else sorted(set(wanted))


def endpoint_of(row: Row) -> WebhookEndpoint:
    """Return an endpoint; the row is one of `notifications.endpoints_of`."""
    secrets = zip(
        row["fingerprints"] or (), row["secrets_created"] or (), row["secrets_expire"] or (), strict=True
    )
    return WebhookEndpoint(
        id=row["id"],
        url=row["url"],
        description=row["description"],
        events=list(row["events"]),
        ordering=row["ordering"],
        status=row["status"],
        health=health_of(row),
        secrets=[
            SecretShown(fingerprint=each.hex(), created_at=utc_text(made), expires_at=_when(end))
            for each, made, end in secrets
        ],
        sequence=row["version"],
        created_at=utc_text(row["added_at"]),
        updated_at=utc_text(row["updated_at"]),
    )


def delivery_of(row: Row) -> Delivery:
    """Return a delivery; the row is one of `notifications.list_deliveries`."""
    return Delivery(
        id=row["id"],
        webhook_endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        payment_id=None if row["test"] else row["payment_id"],
        sequence=row["sequence"],
        test=row["test"],
        status=row["state"],
        attempts_made=row["attempts"],
        next_attempt_at=_when(row["due"]),
        last_status=row["last_status"],
        last_error=row["last_error"],
        created_at=utc_text(row["added_at"]),
        delivered_at=_when(row["delivered_at"]),
    )


def is_waiting(delivery: Delivery) -> bool:
    """Tell whether a delivery waits for an earlier event of its payment."""
    return delivery.status == "pending" and delivery.next_attempt_at is None


def attempt_of(row: Row) -> DeliveryAttempt:
    """Return an attempt; the row is one of `notifications.attempts_of`."""
    return DeliveryAttempt(
        at=utc_text(row["at"]),
        duration_ms=row["duration_ms"],
        status=row["status"],
        error=row["error"],
        verdict=row["verdict"],
    )


def test_event(event_id: str, merchant_id: str, endpoint_id: str, sequence: int, at: str) -> bytes:
    """Return the body of a test event: in the members that every event has, and about no payment."""
    return msgspec.json.encode(
        {
            "id": event_id, "type": TEST_TYPE, "merchant_id": merchant_id, "webhook_endpoint_id": endpoint_id,
            "sequence": sequence, "at": at, "data": {},
        }
    )  # fmt: skip


def delivery_id(endpoint_id: str, payment_id: str, sequence: int) -> str:
    """Return a delivery's id as the record derives it (`notifications.delivery_id`)."""
    text = f"countermark-delivery-v1\n{endpoint_id}\n{payment_id}\n{sequence}"
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return f"whd_{endpoint_id.split('_')[1]}_{digest[:_ID_DIGITS]}"


def _when(moment: Any) -> str | None:  # noqa: ANN401 - a datetime of the record, or nothing
    return None if moment is None else utc_text(moment)
