"""How a webhook endpoint fares, as its breaker knows it (pure)."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from gateway.api.shapes import Shape
from gateway.api.showing import Row
from signing.evidence.entry import utc_text

_TAG_DIGITS = 16  # 64 bits in hexadecimal: one merchant's states of one endpoint.


class WebhookHealth(Shape, frozen=True, kw_only=True):
    """How deliveries to an endpoint fare now.

    Attributes:
        state: `closed` while everything is sent; `open` while nothing is, after too many failures in a row;
            `probing` while one delivery is tried; `unknown` of an endpoint that nothing is sent to.
        failures: since the last delivery that arrived.
        failing_since: the first of these failures; null without any.
        next_probe_at: when one delivery is tried next; null unless it is `open`.
    """

    state: Literal["closed", "open", "probing", "unknown"]
    failures: int
    failing_since: str | None
    next_probe_at: str | None


HEALTHY = WebhookHealth(state="closed", failures=0, failing_since=None, next_probe_at=None)
UNKNOWN = WebhookHealth(state="unknown", failures=0, failing_since=None, next_probe_at=None)


def health_of(row: Row) -> WebhookHealth:
    """Return an endpoint's health; the row is one of `notifications.endpoints_of`."""
    since, probe = row["failing_since"], row["next_probe_at"]
    return WebhookHealth(
        state=row["health"],
        failures=row["failures"],
        failing_since=None if since is None else utc_text(since),
        next_probe_at=None if probe is None else utc_text(probe),
    )


def health_tag(health: WebhookHealth, tag: str) -> str:
    """Return an endpoint's entity tag: health changes without a new sequence, and what is shown with it.

    Args:
        health: of the endpoint.
        tag: of everything else, in quotes; it is enough where nothing fails.
    """
    if health in (HEALTHY, UNKNOWN):
        return tag
    digest = hashlib.sha256(msgspec.json.encode(health)).hexdigest()[:_TAG_DIGITS]
    return f'{tag[:-1]}.{digest}"'
