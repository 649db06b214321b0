"""Operations on webhook endpoints and deliveries, for the blocking and the awaiting client alike (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import calls
from .operations import Resource, ResultT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class WebhookEndpoints(Resource[ResultT]):
    """Where the merchant is told of events."""

    def create(
        self,
        url: str,
        *,
        events: Sequence[str] | None = None,
        description: str | None = None,
        symmetric_secret: bool | None = None,
        ordering: str | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Make an endpoint.

        Args:
            url: https, with a public host.
            events: types such as `payment.succeeded`; all of them if it is left out.
            description: for people.
            symmetric_secret: deliveries carry an HMAC, too. The answer's `secret` is shown to the first
                request alone, for `WebhookSecret.from_text`; a repeat has none: rotate if it was lost.
            ordering: `none`, or `per_payment`: a payment's next event comes only after the one before was
                acknowledged or given up.
            idempotency_key: 16 to 64 characters.
        """
        members = {
            "url": url,
            "events": None if events is None else list(events),
            "description": description,
            "symmetric_secret": symmetric_secret,
            "ordering": ordering,
        }
        return self._act("/v1/webhook_endpoints", members, idempotency_key)

    def read(self, endpoint_id: str, *, known_sequence: int | None = None) -> ResultT:
        """Return an endpoint as it is now; with `known_sequence`, maybe just that it is still so.

        Its `health` changes without a new sequence: give that of a copy without failures alone.
        """
        return self._run(calls.read(_item(endpoint_id), known_sequence=known_sequence))

    def list(
        self,
        *,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
    ) -> ResultT:
        """Return a page of endpoints, newest first."""
        query = {"limit": limit, "starting_after": starting_after, "ending_before": ending_before}
        return self._list("/v1/webhook_endpoints", query)

    def change(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        ordering: str | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Change what is given; an empty description is none."""
        members = {
            "url": url,
            "events": None if events is None else list(events),
            "description": description,
            "ordering": ordering,
        }
        return self._other("PATCH", endpoint_id, members, idempotency_key)

    def delete(self, endpoint_id: str, *, idempotency_key: str | None = None) -> ResultT:
        """End an endpoint for ever, with all that is still owed to it."""
        return self._other("DELETE", endpoint_id, {}, idempotency_key)

    def rotate_secret(
        self, endpoint_id: str, *, overlap_s: int | None = None, idempotency_key: str | None = None
    ) -> ResultT:
        """Return the endpoint with a new `secret`; see `create`.

        Args:
            endpoint_id: whose.
            overlap_s: how long deliveries carry the old secret's code, too: a day if it is left out, 0 to
                604,800.
            idempotency_key: 16 to 64 characters.
        """
        path = f"{_item(endpoint_id)}/rotate_secret"
        return self._act(path, {"overlap_s": overlap_s}, idempotency_key)

    def enable(self, endpoint_id: str, *, idempotency_key: str | None = None) -> ResultT:
        """Deliver to a disabled endpoint again, what it missed meanwhile too."""
        return self._act(f"{_item(endpoint_id)}/enable", {}, idempotency_key)

    def test(self, endpoint_id: str, *, idempotency_key: str | None = None) -> ResultT:
        """Have a test event delivered; the answer is its delivery."""
        return self._act(f"{_item(endpoint_id)}/test", {}, idempotency_key)

    def _other(
        self, method: str, endpoint_id: str, members: Mapping[str, object], idempotency_key: str | None
    ) -> ResultT:
        key = self._new_key() if idempotency_key is None else idempotency_key
        return self._run(calls.act(_item(endpoint_id), members, idempotency_key=key, method=method))


class Deliveries(Resource[ResultT]):
    """Events on their way to endpoints."""

    def list(
        self,
        endpoint_id: str,
        *,
        status: str | None = None,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
    ) -> ResultT:
        """Return a page of an endpoint's deliveries, newest first.

        Args:
            endpoint_id: whose.
            status: `pending`, `delivered` or `dead`.
            limit: 1 to 100.
            starting_after: a delivery's id; the page begins after it.
            ending_before: a delivery's id; the page ends before it.
        """
        query = {
            "status": status,
            "limit": limit,
            "starting_after": starting_after,
            "ending_before": ending_before,
        }
        return self._list(f"{_item(endpoint_id)}/deliveries", query)

    def read(self, delivery_id: str) -> ResultT:
        """Return a delivery with its last hundred attempts."""
        return self._run(calls.read(calls.item("deliveries", delivery_id)))

    def replay(self, delivery_id: str, *, idempotency_key: str | None = None) -> ResultT:
        """Have an event delivered again, whatever came of it before."""
        return self._act(f"{calls.item('deliveries', delivery_id)}/replay", {}, idempotency_key)


def _item(endpoint_id: str) -> str:
    return calls.item("webhook_endpoints", endpoint_id)
