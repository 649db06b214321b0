"""The first spans of an accepted payment's trace: the edge's, and ours below it."""

from __future__ import annotations

import re

from aiohttp import web

from gateway.access.exchange import Exchange
from services.node import tracing
from services.node.trace_context import TRACEPARENT, parse_traceparent, root_span_id_of

# The edge overwrites whatever came under this name with the moment at which it took the request.
REQUEST_START = "X-Request-Start"
_MOMENT = re.compile(r"t=([0-9]{10}\.[0-9]{6})", re.ASCII)
# A proxy's clock is the same host's or an NTP away; what differs by more is no moment of this request.
EDGE_S_MAX = 30.0


def note_acceptance(request: web.Request, exchange: Exchange, status: int, began_s: float) -> None:
    """Tell how a payment was accepted; a sender's own trace is a link, never our parent: nobody signed it."""
    payment_id = exchange.payment_id
    if payment_id is None:
        return
    link = parse_traceparent(request.headers.getall(TRACEPARENT, []))
    edge_began_s = _edge_began(request.headers.getall(REQUEST_START, []), began_s)
    attributes = {"http.request.method": "POST", "http.route": exchange.route}
    tracing.note(
        payment_id, "edge", edge_began_s, kind="server", span_id=root_span_id_of(payment_id),
        link=link, service="edge", attributes=attributes,
    )  # fmt: skip
    tracing.note(
        payment_id, "accept", began_s, kind="server",
        attributes=attributes
        | {"countermark.request_id": exchange.request_id, "http.response.status_code": status},
    )  # fmt: skip


def _edge_began(values: list[str], began_s: float) -> float:
    match = _MOMENT.fullmatch(values[0]) if len(values) == 1 else None
    told_s = began_s if match is None else float(match[1])
    return told_s if began_s - EDGE_S_MAX <= told_s <= began_s else began_s
