"""Pass attempts and questions on to the bank they name, and say truthfully what happened.

Stateless: nothing is retried or remembered here; `services.banks.connector` holds the promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
import prometheus_client
from aiohttp import web

from services.banks.callback_messages import CALLBACKS_PATH
from services.banks.callbacks import CONNECTIONS_MAX, open_desk
from services.banks.config import BanksConfig
from services.banks.connector import Connector, open_banks
from services.banks.messages import (
    ATTEMPTS_PATH,
    INQUIRIES_PATH,
    MESSAGE_BYTES_MAX,
    SETTLEMENT_PATH,
    Attempt,
    AttemptAnswer,
    Inquiry,
    SettlementAsk,
)
from services.banks.rail import AnswerRefused
from services.node.crash_points import reach
from services.node.errors import HopUnknown, HopUnsent
from services.node.logs import get_log
from services.node.postgres import open_pool
from services.node.process import until_stopped
from services.node.server import serve

_PAYMENTS = frozenset({"payments-sidecar"})
CALLERS = {
    ATTEMPTS_PATH: _PAYMENTS,
    INQUIRIES_PATH: _PAYMENTS,
    SETTLEMENT_PATH: _PAYMENTS,
    "/metrics": frozenset({"supervisor"}),
}
_BANKS: web.AppKey[Mapping[str, Connector]] = web.AppKey("banks", dict)

_log = get_log("banks")
_encoder = msgspec.json.Encoder()
_attempts = msgspec.json.Decoder(Attempt, strict=True)
_inquiries = msgspec.json.Decoder(Inquiry, strict=True)
_asks = msgspec.json.Decoder(SettlementAsk, strict=True)


def build_app(banks: Mapping[str, Connector]) -> web.Application:
    """The routes of this service over the connectors, by bank."""
    app = web.Application(client_max_size=MESSAGE_BYTES_MAX)
    app[_BANKS] = banks
    app.router.add_post(ATTEMPTS_PATH, _move)
    app.router.add_post(INQUIRIES_PATH, _inquire)
    app.router.add_post(SETTLEMENT_PATH, _settlement)
    return app


async def main(config: BanksConfig) -> None:
    """Serve until stopped."""
    async with (
        open_banks(config) as banks,
        open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX) as pool,
        open_desk(pool) as desk,
    ):
        app = build_app(banks)
        desk.add_route(app)
        app.router.add_get("/metrics", _metrics)
        callers = {**CALLERS, CALLBACKS_PATH: frozenset(config.banks)}
        async with serve(app, config, config.listen, callers=callers):
            await until_stopped()


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=prometheus_client.generate_latest(),
        headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST},
    )


async def _move(request: web.Request) -> web.Response:
    try:
        attempt = _attempts.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _problem("attempt-malformed", HTTPStatus.BAD_REQUEST)
    connector = request.app[_BANKS].get(attempt.bank)
    if connector is None:
        return _json(_nobody(attempt.bank, attempt.attempt_id))
    reach("banks.attempt_taken")
    return _json(await connector.move(attempt))


async def _inquire(request: web.Request) -> web.Response:
    try:
        inquiry = _inquiries.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _problem("inquiry-malformed", HTTPStatus.BAD_REQUEST)
    connector = request.app[_BANKS].get(inquiry.bank)
    if connector is None:
        return _json(_nobody(inquiry.bank, inquiry.attempt_id))
    reach("banks.question_taken")
    return _json(await connector.inquire(inquiry))


async def _settlement(request: web.Request) -> web.Response:
    try:
        ask = _asks.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _problem("settlement-malformed", HTTPStatus.BAD_REQUEST)
    connector = request.app[_BANKS].get(ask.bank)
    if connector is None:
        return _problem("bank-not-configured", HTTPStatus.NOT_FOUND)
    try:
        return _json(await connector.settlement(ask))
    except (HopUnsent, HopUnknown) as fault:
        _log.warning("a bank gave no settlement file", bank=ask.bank, reason=str(fault))
        return _problem("bank-gave-none", HTTPStatus.BAD_GATEWAY)
    except AnswerRefused as fault:
        _log.error("a settlement file is not believed", bank=ask.bank, reason=str(fault))
        return _problem("bank-not-believed", HTTPStatus.BAD_GATEWAY)


def _nobody(bank: str, attempt_id: str) -> AttemptAnswer:
    _log.error("an attempt names a bank that is not configured", bank=bank)
    return AttemptAnswer(attempt_id, "unsent", alarm="no such bank is configured")


def _json(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=_encoder.encode(answer), content_type="application/json")


def _problem(code: str, status: HTTPStatus) -> web.Response:
    return web.json_response({"code": code}, status=status)
