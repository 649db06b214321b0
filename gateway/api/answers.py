"""Around every handler: recognise the sender, run the handler, turn any end into one signed answer.

This is the process's HTTP edge, the one place where any exception is caught. Promises: a refusal that names a
registered key is on record before it is sent; every answer to a recognised sender carries a receipt, but for
reads with a token: there is no signature that it could answer to. Every answer to a recognised sender leaves
a row of the access log; every other one is counted there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.access.accesses import AccessLog
from gateway.access.admission import EDGE, FORWARDED_FOR, Admission
from gateway.access.authenticate import Authenticator
from gateway.access.exchange import EXCHANGE, Exchange
from gateway.access.rate import rate_limit_fields
from gateway.access.receipts import make_receipt
from gateway.access.refusals import RefusalLog
from gateway.access.tokens import TokenReader, shows_token
from gateway.api.operations import require_scope
from gateway.api.problems import PROBLEM_MEDIA_TYPE, ProblemAnswer
from gateway.api.refusing import Refusing
from gateway.api.routes import OURS
from gateway.api.surface import BY_ROUTE
from gateway.api.tracing import note_acceptance
from gateway.audit.access import Access, source_of
from gateway.errors import MethodNotAllowed, NotFound
from gateway.metrics import Metrics
from services.node.identifiers import RANDOM_BITS, new_id
from services.node.logs import get_log
from services.node.server import CALLER
from signing import Signer

SIGNED_PREFIX = "/v1/"  # Everything under it is for recognised senders.
ENROLMENT_ROUTE = "/v1/keys"  # Here alone a key may introduce itself.
UNMATCHED = "unmatched"

_log = get_log("gateway.api")


def answering(
    authenticator: Authenticator,
    tokens: TokenReader,
    admission: Admission,
    refusals: RefusalLog,
    accesses: AccessLog,
    receipt_key: Signer,
    metrics: Metrics,
    *,
    cell: str,
    now: Callable[[], float] = time.time,
) -> Middleware:
    """Build the middleware that stands around every handler.

    Args:
        authenticator: recognises the sender by a signature.
        tokens: recognises a reader by a token.
        admission: the rates of sources.
        refusals: the audit log's pen.
        accesses: the access log's pen.
        receipt_key: signs every answer to a recognised sender.
        metrics: counts answers and refusals.
        cell: for the ids of requests.
        now: seconds since the epoch, UTC.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, began_at = now(), time.perf_counter()
        exchange = _open_exchange(request, cell, began)
        request[EXCHANGE] = exchange
        source: str | None = None
        code: str | None = None
        try:
            source = admission.admit_source(request)
            if request.path.startswith(SIGNED_PREFIX):
                await _recognise(request, exchange, authenticator, tokens, int(now()))
            _require_route(request)
            _require_scope(exchange)
            response = await handler(request)
        except Exception as fault:  # noqa: BLE001 - the HTTP edge: whatever it was becomes one answer
            refusing = Refusing(exchange, refusals, metrics, receipt_key, now())
            problem = await refusing.answer(fault)
            response, code = _respond(problem), problem.code
        if source is not None and _is_a_strangers(exchange, response.status):
            admission.charge_source(source)
        # Responses are made here and by our own handlers, never streamed: the receipt needs the whole body.
        if not isinstance(response, web.Response):
            raise TypeError("a handler must return a whole response")
        _require_declared(exchange, response.status, code, metrics)
        _seal(response, exchange, receipt_key, int(now()))
        seconds = time.perf_counter() - began_at
        metrics.answers.labels(route=exchange.route, status=str(response.status)).inc()
        metrics.answer_seconds.labels(route=exchange.route).observe(seconds)
        if exchange.route not in OURS:
            _tell(exchange, response.status, seconds)
            note_acceptance(request, exchange, response.status, began)
            _note_access(accesses, request, exchange, response.status, began)
        return response

    return answer


def _is_a_strangers(exchange: Exchange, status: int) -> bool:
    """Whether the sender was not recognised; what failed on our side tells nothing about it.

    A key that introduces itself is a stranger's: whoever guesses enrolment tokens can make any number.
    """
    return not exchange.is_recognised and status < HTTPStatus.INTERNAL_SERVER_ERROR


def _tell(exchange: Exchange, status: int, seconds: float) -> None:
    """Write the one line that operators have of an answer; nothing sent stands there."""
    known = exchange.known if exchange.is_recognised else None  # Who is not proven is not named.
    _log.info(
        "answered",
        request_id=exchange.request_id,
        merchant=None if known is None else known.merchant_id,
        method=exchange.method,
        route=exchange.route,
        status=status,
        ms=round(seconds * 1000, 2),
    )


def _note_access(
    accesses: AccessLog, request: web.Request, exchange: Exchange, status: int, began: float
) -> None:
    key_id = exchange.proven_key_id
    if exchange.known is None or key_id is None:
        accesses.count_unproven()
        return
    # Any caller but the edge could have written the field itself.
    spoken = request.headers.getall(FORWARDED_FOR, []) if request.get(CALLER) == EDGE else []
    accesses.note(
        Access(
            request_id=exchange.request_id,
            merchant_id=exchange.known.merchant_id,
            key_id=key_id,
            method=exchange.method,
            route=exchange.route,
            status=status,
            at=datetime.fromtimestamp(began, UTC),
            source=source_of(spoken),
        )
    )


def _open_exchange(request: web.Request, cell: str, now_s: float) -> Exchange:
    resource = request.match_info.route.resource
    # A method that is not one of ours is the sender's own text, and has no place in the audit log.
    method = request.method if request.method in {"GET", "POST", "PUT", "PATCH", "DELETE"} else "other"
    request_id = new_id("req", cell, now_ms=int(now_s * 1000), random_bits=secrets.randbits(RANDOM_BITS))
    return Exchange(request_id, method, resource.canonical if resource is not None else UNMATCHED)


async def _recognise(
    request: web.Request, exchange: Exchange, authenticator: Authenticator, tokens: TokenReader, now: int
) -> None:
    # Whoever asks for what does not exist and does not sign learns that it does not exist. With a signature
    # the sender is recognised first, so that this answer too is signed.
    if request.match_info.http_exception is not None and "Signature" not in request.headers:
        return
    operation = BY_ROUTE.get((exchange.method, exchange.route))
    if operation is not None and operation.admits_tokens and shows_token(request):
        await tokens.recognise(request, exchange, now=now)
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


def _require_scope(exchange: Exchange) -> None:
    """What a known key may do; a key that introduces itself is its handler's to judge."""
    operation = BY_ROUTE.get((exchange.method, exchange.route))
    if operation is not None and exchange.known is not None:
        require_scope(exchange.known.scopes, operation.scope)


def _require_declared(exchange: Exchange, status: int, code: str | None, metrics: Metrics) -> None:
    """Tell operators of an answer that the document lacks; its merchant gets it all the same."""
    operation = BY_ROUTE.get((exchange.method, exchange.route))
    if operation is not None and not operation.admits(status, code):
        metrics.undeclared.inc()
        _log.error("an answer was not declared", operation=operation.name, status=status, code=code)


def _respond(problem: ProblemAnswer) -> web.Response:
    return web.Response(
        status=problem.status,
        body=problem.body,
        headers=[("Content-Type", PROBLEM_MEDIA_TYPE), ("Cache-Control", "no-store"), *problem.headers],
    )


def _seal(response: web.Response, exchange: Exchange, key: Signer, now: int) -> None:
    response.headers["Request-Id"] = exchange.request_id
    if exchange.known is not None and exchange.is_recognised:
        response.headers["Gateway-Version"] = exchange.known.api_version
    if exchange.rate is not None and "RateLimit" not in response.headers:
        response.headers.extend(rate_limit_fields(exchange.rate))
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
