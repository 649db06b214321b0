"""Further reads by name, for the blocking and the awaiting client alike; see `operations` (pure)."""

from __future__ import annotations

from . import calls
from .operations import Resource, ResultT


class Events(Resource[ResultT]):
    """What happened to all of the merchant's objects."""

    def list(
        self,
        *,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        type: str | None = None,  # noqa: A002 - the parameter's name on the wire
    ) -> ResultT:
        """Return a page of events, newest first."""
        return self._list(
            "/v1/events",
            {
                "limit": limit,
                "starting_after": starting_after,
                "ending_before": ending_before,
                "type": type,
            },
        )

    def feed(
        self,
        *,
        after: str | None = None,
        created_gte: int | None = None,
        limit: int | None = None,
        wait_s: int | None = None,
    ) -> ResultT:
        """Return what comes next, oldest first, each event as webhooks carry it; see `follow`.

        Args:
            after: `next` of the last answer; with neither this nor a time, what comes from now on.
            created_gte: begin at this time, in seconds since the epoch, 90 days back at most.
            limit: events in one answer, up to 500.
            wait_s: how long the gateway should wait for one, up to 20 seconds.
        """
        query = {"after": after, "created_gte": created_gte, "limit": limit}
        return self._run(calls.read("/v1/feed", query, wait_s=wait_s))

    def read(self, event_id: str) -> ResultT:
        """Return one event, by the id that a webhook carried it under."""
        return self._run(calls.read(calls.item("events", event_id)))


class Disputes(Resource[ResultT]):
    """What payers' banks dispute."""

    def read(self, dispute_id: str) -> ResultT:
        """Return a dispute as it is now."""
        return self._run(calls.read(calls.item("disputes", dispute_id)))

    def list(
        self,
        *,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        payment_id: str | None = None,
    ) -> ResultT:
        """Return a page of disputes, newest first: all, or those of a payment."""
        query = {
            "limit": limit,
            "starting_after": starting_after,
            "ending_before": ending_before,
            "payment_id": payment_id,
        }
        return self._list("/v1/disputes", query)


class Accounts(Resource[ResultT]):
    """The merchant's accounts, one for each currency."""

    def list(self) -> ResultT:
        """Return all accounts."""
        return self._list("/v1/accounts", {})

    def balance(self, account_id: str) -> ResultT:
        """Return what can be spent, what is held, and what is on its way in."""
        return self._run(calls.read(f"{calls.item('accounts', account_id)}/balance"))
