"""Pass attempts and questions on to the bank they name, and say truthfully what happened.

Stateless: nothing is retried or remembered here; `services.banks.connector` holds the promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
import prometheus_client
from aiohttp import web

from services.banks.batch_desk import BatchDesk
from services.banks.batches import BATCHES_PATH
from services.banks.callback_messages import CALLBACKS_PATH
from services.banks.callbacks import CONNECTIONS_MAX, open_desk
from services.banks.config import BanksConfig
from services.banks.connector import Connector, open_banks
from services.banks.messages import (
    MESSAGE_BYTES_MAX,
    SETTLEMENT_PATH,
    SettlementAsk,
)
from services.banks.rail import AnswerRefused
from services.node.errors import HopUnknown, HopUnsent
from services.node.logs import get_log
from services.node.postgres import open_pool
from services.node.process import until_stopped
from services.node.server import serve

_PAYMENTS = frozenset({"payments-sidecar"})
CALLERS = {
    BATCHES_PATH: _PAYMENTS,
    SETTLEMENT_PATH: _PAYMENTS,
    "/metrics": frozenset({"supervisor"}),
}
_BANKS: web.AppKey[Mapping[str, Connector]] = web.AppKey("banks", dict)

_log = get_log("banks")
_encoder = msgspec.json.Encoder()
_asks = msgspec.json.Decoder(SettlementAsk, strict=True)


def build_app(banks: Mapping[str, Connector]) -> web.Application:
    """The routes of this service over the connectors, by bank."""
    app = web.Application(client_max_size=MESSAGE_BYTES_MAX)
    app[_BANKS] = banks
    BatchDesk(banks).add_route(app)
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


def _json(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=_encoder.encode(answer), content_type="application/json")


def _problem(code: str, status: HTTPStatus) -> web.Response:
    return web.json_response({"code": code}, status=status)
