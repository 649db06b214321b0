"""Every route of the gateway, in one list; `/healthz` is added by the node."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web

from gateway.api.evidence import EvidenceHandlers
from gateway.api.keys import KeyHandlers
from gateway.api.payments import PaymentHandlers
from gateway.api.problems import CATALOGUE_PATH, catalogue
from gateway.metrics import CONTENT_TYPE, Metrics

# Which service may call which routes: merchants come through the edge; only the supervisor reads counters.
CALLERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "/v1/": frozenset({"edge"}),
        "/.well-known/": frozenset({"edge"}),
        "/metrics": frozenset({"supervisor"}),
    }
)


def add_routes(
    app: web.Application,
    *,
    payments: PaymentHandlers,
    keys: KeyHandlers,
    evidence: EvidenceHandlers,
    metrics: Metrics,
) -> None:
    """Add every route to the application."""
    problems = catalogue()

    async def show_problems(_: web.Request) -> web.Response:
        headers = {"Content-Type": "application/json", "Cache-Control": "max-age=300"}
        return web.Response(body=problems, headers=headers)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    app.add_routes(
        [
            web.post("/v1/payments", payments.create),
            web.get("/v1/payments/{payment_id}", payments.read, allow_head=False),
            web.get("/v1/payments/{payment_id}/events", payments.events, allow_head=False),
            web.get("/v1/payments/{payment_id}/evidence", evidence.export, allow_head=False),
            web.post("/v1/keys", keys.register),
            web.get("/.well-known/countermark-keys", keys.published, allow_head=False),
            web.get("/.well-known/countermark-trust", evidence.trusted_keys, allow_head=False),
            web.get("/.well-known/countermark-log/checkpoint", evidence.checkpoint, allow_head=False),
            web.get("/.well-known/countermark-log/tile/{tile:.+}", evidence.tile, allow_head=False),
            web.get(CATALOGUE_PATH, show_problems, allow_head=False),
            web.get("/metrics", show_metrics, allow_head=False),
        ]
    )
