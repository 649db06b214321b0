"""From the declared surface to routes; those about health are added by the node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from aiohttp import web

from gateway.api.operations import Bound
from gateway.api.problems import catalogue
from gateway.api.surface import OPERATIONS, PROBLEMS
from gateway.metrics import CONTENT_TYPE, Metrics
from services.node.health import HEALTH_PATH, LIVE_PATH, READY_PATH
from services.node.identity_report import CONNECTIONS_PATH, IDENTITY_PATH

METRICS_PATH = "/metrics"
# What the mesh asks about us, several times a second: nobody's access, and no line of the log.
OURS = frozenset({HEALTH_PATH, LIVE_PATH, READY_PATH, IDENTITY_PATH, CONNECTIONS_PATH, METRICS_PATH})

# Which service may call which routes: merchants come through the edge; only the supervisor reads counters.
CALLERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "/v1/": frozenset({"edge"}),
        "/.well-known/": frozenset({"edge"}),
        READY_PATH: frozenset({"edge", "supervisor"}),
        METRICS_PATH: frozenset({"supervisor"}),
    }
)


def add_routes(app: web.Application, bound: Iterable[Bound], metrics: Metrics) -> None:
    """Add every route to the application.

    Raises:
        ValueError: an operation of the surface has nothing that carries it out, or the other way round.
    """
    problems = catalogue()

    async def show_problems(_: web.Request) -> web.Response:
        headers = {"Content-Type": "application/json", "Cache-Control": "max-age=300"}
        return web.Response(body=problems, headers=headers)

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    every = [*bound, (PROBLEMS, show_problems)]
    if sorted(operation.name for operation, _ in every) != sorted(operation.name for operation in OPERATIONS):
        raise ValueError("what is carried out and what is declared differ")
    for operation, handler in every:
        app.router.add_route(operation.method, operation.path, handler)
    app.router.add_get(METRICS_PATH, show_metrics, allow_head=False)
