"""Around every handler: recognise the sender, run the handler, turn any end into one signed answer.

This is the process's HTTP edge, the one place where any exception is caught. Promises: a refusal that names a
registered key is on the audit log before it is sent; every answer to a recognised sender carries a receipt; a
bug is a 500 that tells the outside nothing, and the log only where it happened.
"""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.access.authenticate import Authenticator
from gateway.access.exchange import EXCHANGE, Exchange
from gateway.access.receipts import make_receipt
from gateway.access.refusals import RefusalLog
from gateway.api.problems import INTERNAL, PROBLEM_MEDIA_TYPE, ProblemAnswer, describe
from gateway.errors import CellUnavailable, MethodNotAllowed, NotFound
from gateway.metrics import Metrics
from services.node.identifiers import RANDOM_BITS, new_id
from services.node.logs import get_log
from signing import Signer

SIGNED_PREFIX = "/v1/"  # Everything under it is for recognised senders.
ENROLMENT_ROUTE = "/v1/keys"  # Here alone a key may introduce itself.
UNMATCHED = "unmatched"

_log = get_log("gateway.api")


def answering(
    *,
    authenticator: Authenticator,
    refusals: RefusalLog,
    receipt_key: Signer,
    metrics: Metrics,
    cell: str,
    now: Callable[[], float] = time.time,
) -> Middleware:
    """Build the middleware that stands around every handler.

    Args:
        authenticator: recognises the sender.
        refusals: the audit log's pen.
        receipt_key: signs every answer to a recognised sender.
        metrics: counts answers and refusals.
        cell: for the ids of requests.
        now: seconds since the epoch, UTC.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        exchange = _open_exchange(request, cell, now())
        request[EXCHANGE] = exchange
        try:
            if request.path.startswith(SIGNED_PREFIX):
                await _recognise(request, exchange, authenticator, int(now()))
            _require_route(request)
            response = await handler(request)
        except Exception as fault:  # noqa: BLE001 - the HTTP edge: whatever it was becomes one answer
            response = _respond(await _refuse(fault, exchange, refusals, metrics))
        # Responses are made here and by our own handlers, never streamed: the receipt needs the whole body.
        if not isinstance(response, web.Response):
            raise TypeError("a handler must return a whole response")
        _seal(response, exchange, receipt_key, int(now()))
        metrics.answers.labels(route=exchange.route, status=str(response.status)).inc()
        return response

    return answer


def _open_exchange(request: web.Request, cell: str, now_s: float) -> Exchange:
    resource = request.match_info.route.resource
    # A method that is not one of ours is the sender's own text, and has no place in the audit log.
    method = request.method if request.method in {"GET", "POST", "PUT", "PATCH", "DELETE"} else "other"
    request_id = new_id("req", cell, now_ms=int(now_s * 1000), random_bits=secrets.randbits(RANDOM_BITS))
    return Exchange(request_id, method, resource.canonical if resource is not None else UNMATCHED)


async def _recognise(
    request: web.Request, exchange: Exchange, authenticator: Authenticator, now: int
) -> None:
    # Whoever asks for what does not exist and does not sign learns that it does not exist. With a signature
    # the sender is recognised first, so that this answer too is signed.
    if request.match_info.http_exception is not None and "Signature" not in request.headers:
        return
    enrolling = request.method == "POST" and exchange.route == ENROLMENT_ROUTE
    await authenticator.authenticate(request, exchange, now=now, enrolling=enrolling)


def _require_route(request: web.Request) -> None:
    missing = request.match_info.http_exception
    if isinstance(missing, web.HTTPMethodNotAllowed):
        allowed = frozenset(missing.allowed_methods)
        raise MethodNotAllowed("this route has no such method", allowed)
    if missing is not None:
        raise NotFound("there is no such route")


async def _refuse(
    fault: Exception, exchange: Exchange, refusals: RefusalLog, metrics: Metrics
) -> ProblemAnswer:
    problem = describe(fault, request_id=exchange.request_id)
    if problem.code == INTERNAL:
        _log_bug(fault, exchange)
    elif not isinstance(fault, CellUnavailable):
        # Being out of reach is our state, not a refusal of theirs, and could not be written anyway.
        try:
            await refusals.record(exchange, problem.code)
        except CellUnavailable as away:
            metrics.refusals_unrecorded.inc()
            problem = describe(away, request_id=exchange.request_id)
        except Exception as bug:  # noqa: BLE001 - as above: an answer, and a line that says where
            _log_bug(bug, exchange)
            problem = describe(bug, request_id=exchange.request_id)
    metrics.refusals.labels(code=problem.code).inc()
    return problem


def _log_bug(fault: Exception, exchange: Exchange) -> None:
    # The text of a fault and the variables around it can hold what a merchant sent: only places are logged.
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(fault.__traceback__)]
    _log.error(
        "a request failed on our side",
        request_id=exchange.request_id,
        route=exchange.route,
        fault=type(fault).__qualname__,
        sqlstate=getattr(fault, "sqlstate", None),
        places=places[-8:],
    )


def _respond(problem: ProblemAnswer) -> web.Response:
    return web.Response(
        status=problem.status,
        body=problem.body,
        headers=[("Content-Type", PROBLEM_MEDIA_TYPE), ("Cache-Control", "no-store"), *problem.headers],
    )


def _seal(response: web.Response, exchange: Exchange, key: Signer, now: int) -> None:
    response.headers["Request-Id"] = exchange.request_id
    if exchange.known is not None and exchange.verified is not None:
        response.headers["Gateway-Version"] = exchange.known.api_version
    if exchange.verified is None:
        return
    if exchange.receipt is None:
        body = response.body
        if not isinstance(body, bytes):
            raise TypeError("a handler must return its body as bytes")
        exchange.receipt = make_receipt(
            exchange.verified.signed,
            status=response.status,
            content_type=response.headers["Content-Type"],
            body=body,
            key=key,
            now=now,
        ).headers
    response.headers.extend(exchange.receipt)
