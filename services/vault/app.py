"""The service on one screen: what is opened, what runs, and what is answered when it cannot.

No handler logs or repeats anything of a body. A seal that does not open is 500 and an alarm, never "gone".
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
import prometheus_client
from aiohttp import web
from aiohttp.typedefs import Handler

from services.node.errors import ConfigError
from services.node.group import Group, GroupFull
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY, open_pool
from services.node.process import until_stopped
from services.node.redacted import MessageT, decoder_of
from services.node.server import CALLER, serve
from services.vault import counters
from services.vault.cell_keys import CellKeys, FileCellKeys
from services.vault.config import VaultConfig
from services.vault.errors import InstrumentInvalid, KeysRefused, VaultError
from services.vault.keeper import Keeper, Order, Outcome
from services.vault.key_ring import KeyRing
from services.vault.messages import (
    INSTRUMENTS_PATH,
    ITEMS_MAX,
    KEEPING_CALL_S_MAX,
    MESSAGE_BYTES_MAX,
    RESOLUTION_CALL_S_MAX,
    RESOLUTIONS_PATH,
    Answers,
    Display,
    Invalid,
    Keeping,
    Owner,
    Resolutions,
    Token,
    encode,
)
from services.vault.numbers import check_card, check_iban
from services.vault.store import Store

CONNECTIONS_MAX: Final = 6  # One keeps, the rest resolve and show; more workers, not more of these.
CALLERS: Final = {
    INSTRUMENTS_PATH: frozenset({"gateway-sidecar"}),
    RESOLUTIONS_PATH: frozenset({"banks-sidecar"}),
    "/metrics": frozenset({"supervisor"}),
}
AWAY: Final = (*DATABASE_AWAY, GroupFull)

_log = get_log("vault")
_keepings = decoder_of(Keeping)
_owners = decoder_of(Owner)
_resolutions = decoder_of(Resolutions)


class Malformed(Exception):
    """The message is not one of the contract; what it was is not repeated."""


class Vault:
    """The handlers, over a store and the cell keys."""

    def __init__(self, store: Store, cell_keys: CellKeys, cell: str) -> None:
        self._store = store
        self._keeper = Keeper(store, KeyRing(store, cell_keys), cell)
        self._group: Group[Order, Outcome] = Group(self._keeper.keep, items_max=ITEMS_MAX)

    def build_app(self) -> web.Application:
        """The routes of this service."""
        app = web.Application(client_max_size=MESSAGE_BYTES_MAX, middlewares=[_answering])
        app.router.add_post(INSTRUMENTS_PATH, self._keep)
        app.router.add_post(INSTRUMENTS_PATH + "/{token}/display", self._show)
        app.router.add_post(INSTRUMENTS_PATH + "/{token}/shred", self._shred)
        app.router.add_post(RESOLUTIONS_PATH, self._resolve)
        app.router.add_get("/metrics", _metrics)
        return app

    async def close(self) -> None:
        """Let what was submitted be kept."""
        await self._group.close()

    async def _keep(self, request: web.Request) -> web.Response:
        keeping = _read(_keepings, await request.read())
        if (keeping.card is None) == (keeping.iban is None):
            raise Malformed
        now = datetime.now(UTC)
        if keeping.card is not None:
            card = keeping.card
            shown = check_card(card.number, card.expiry_month, card.expiry_year, now=(now.year, now.month))
        else:
            assert keeping.iban is not None
            shown = check_iban(keeping.iban)
        async with asyncio.timeout(KEEPING_CALL_S_MAX):
            with counters.BATCH_S.labels("keep").time():
                outcome = await self._group.submit(Order(keeping, shown))
        if not isinstance(outcome, Display):
            raise outcome
        return _json(outcome)

    async def _show(self, request: web.Request) -> web.Response:
        token, owner = _about(request), _read(_owners, await request.read())
        return self._found(await self._store.show(owner.merchant_id, token))

    async def _shred(self, request: web.Request) -> web.Response:
        token, owner = _about(request), _read(_owners, await request.read())
        counters.SHREDDED.inc(await self._store.shred(owner.merchant_id, token))
        return self._found(await self._store.show(owner.merchant_id, token))

    def _found(self, display: Display | None) -> web.Response:
        return _problem("instrument-unknown", HTTPStatus.NOT_FOUND) if display is None else _json(display)

    async def _resolve(self, request: web.Request) -> web.Response:
        items = _read(_resolutions, await request.read()).items
        async with asyncio.timeout(RESOLUTION_CALL_S_MAX):
            with counters.BATCH_S.labels("resolve").time():
                results = await self._keeper.resolve(request[CALLER], items)
        for result in results:
            counters.RESOLVED.labels(result.outcome).inc()
        return _json(Answers(results))


async def main(config: VaultConfig) -> None:
    """Serve until stopped.

    Raises:
        ConfigError: The cell keys cannot be used.
    """
    cell_keys = FileCellKeys(Path(config.cell_key_file))
    try:
        counters.CELL_KEY.set(await cell_keys.newest())
    except KeysRefused as fault:
        raise ConfigError(f"nothing can be kept: {fault}") from fault
    async with open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX) as pool:
        vault = Vault(Store(pool), cell_keys, config.cell)
        async with serve(vault.build_app(), config, config.listen, callers=CALLERS):
            await until_stopped()
        await vault.close()


@web.middleware
async def _answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Malformed:
        return _problem("message-malformed", HTTPStatus.BAD_REQUEST)
    except InstrumentInvalid as fault:
        counters.REFUSED.inc()
        body = encode(Invalid(member=fault.member, detail=str(fault)))
        return web.Response(
            body=body, status=HTTPStatus.UNPROCESSABLE_ENTITY, content_type="application/json"
        )
    except AWAY as fault:
        counters.UNANSWERED.labels("away").inc()
        _log.warning("the record is away", fault=type(fault).__name__)
        return _problem("record-away", HTTPStatus.SERVICE_UNAVAILABLE)
    except VaultError as fault:
        counters.UNANSWERED.labels(fault.code).inc()
        _log.error("an instrument cannot be served", code=fault.code, reason=str(fault))
        return _problem(fault.code, HTTPStatus.SERVICE_UNAVAILABLE)


def _about(request: web.Request) -> str:
    try:
        return msgspec.convert(request.match_info["token"], Token)
    except msgspec.ValidationError:
        raise Malformed from None


def _read(decoder: msgspec.json.Decoder[MessageT], body: bytes) -> MessageT:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed from None


def _json(message: msgspec.Struct) -> web.Response:
    return web.Response(body=encode(message), content_type="application/json")


def _problem(code: str, status: HTTPStatus) -> web.Response:
    return web.json_response({"code": code}, status=status)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=prometheus_client.generate_latest(),
        headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST},
    )
