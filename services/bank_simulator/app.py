"""The simulated bank's API over mutual TLS: attempts, questions, settlement lines, statements, its script.

Promises: an attempt is decided once and durably before it is answered; the same attempt again gets the same
answer; another content under the same id is 409. Only the banks service moves money; only the supervisor
writes the script.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from services.bank_simulator.account_rail import AccountRail
from services.bank_simulator.books import Books, Treated
from services.bank_simulator.card_rail import CardRail
from services.bank_simulator.config import BankSimulatorConfig
from services.bank_simulator.ledger import event_id_of
from services.bank_simulator.manners import give
from services.bank_simulator.rail import NotReadable, Rail
from services.bank_simulator.request import AttemptReused, Request
from services.bank_simulator.script import SCRIPT_PATH, BankScript, latency_s
from services.bank_simulator.teller import TELL_S_MAX, Teller
from services.banks.messages import IDEMPOTENCY_HEADER, MESSAGE_BYTES_MAX, STATEMENT_PATH, Statement
from services.node.group import Group
from services.node.hop_client import HopClient
from services.node.process import cancel_until_heard, until_stopped_or_ended
from services.node.server import serve

BOOKS_FILE: Final = "books.sqlite"  # Tests and auditors open it from outside.
# A bank's own patience with its callback, before it answers all the same: within the caller's deadline.
CALLBACK_FIRST_S_MAX: Final = 2.0
_encoder = msgspec.json.Encoder()
_scripts = msgspec.json.Decoder(BankScript, strict=True)


class Bank:
    """The handlers of one bank."""

    def __init__(self, name: str, rail: Rail, books: Books, teller: Teller) -> None:
        self._name = name
        self._rail = rail
        self._books = books
        self._teller = teller
        self._group = Group[Request, Treated](books.decide)
        paths = rail.paths
        self.callers = {
            path: frozenset({"banks"}) for path in (paths.moves, paths.inquiries, paths.settlement)
        }
        self.callers |= {STATEMENT_PATH: frozenset({"supervisor"}), SCRIPT_PATH: frozenset({"supervisor"})}

    def build_app(self) -> web.Application:
        """The bank's routes."""
        app = web.Application(client_max_size=MESSAGE_BYTES_MAX, middlewares=[_refuse_unreadable])
        paths = self._rail.paths
        app.router.add_post(paths.moves, self._move)
        app.router.add_post(paths.inquiries, self._inquire)
        app.router.add_post(paths.settlement, self._settlement)
        app.router.add_get(STATEMENT_PATH, self._statement)
        app.router.add_get(SCRIPT_PATH, self._show_script)
        app.router.add_post(SCRIPT_PATH, self._take_script)
        return app

    async def close(self) -> None:
        """Let what was submitted be written."""
        await self._group.close()

    async def _move(self, request: web.Request) -> web.StreamResponse:
        bank, asked = self._rail.read_move(await request.read())
        self._require_mine(bank)
        if request.headers.get(IDEMPOTENCY_HEADER, asked.attempt_id) != asked.attempt_id:
            raise NotReadable
        treated = await self._group.submit(asked)
        answer, conduct = treated.answer, treated.conduct
        if isinstance(answer, AttemptReused):
            return _problem(answer.code, HTTPStatus.CONFLICT)
        if conduct.later:
            self._teller.wake()
        await asyncio.sleep(latency_s(self._books.script, asked.attempt_id))

        async def told() -> None:
            await self._teller.told(event_id_of(asked.attempt_id, "confirmed"), CALLBACK_FIRST_S_MAX)

        def written(off: int) -> bytes:
            return self._rail.write_answer(asked.attempt_id, answer, off)

        return await give(request, conduct.manner, None if answer is None else written, told)

    async def _inquire(self, request: web.Request) -> web.Response:
        bank, attempt_id = self._rail.read_inquiry(await request.read())
        self._require_mine(bank)
        self._cut_if_down(request)
        return _json(self._rail.write_answer(attempt_id, self._books.find(attempt_id), 0))

    async def _settlement(self, request: web.Request) -> web.Response:
        bank, page = self._rail.read_page(await request.read())
        self._require_mine(bank)
        self._cut_if_down(request)
        return _json(self._rail.write_page(self._books.settlement(page.after_line, page.lines_max)))

    async def _statement(self, request: web.Request) -> web.Response:
        lines = self._books.statement(
            instrument=request.query.get("instrument"), end_to_end_id=request.query.get("end_to_end_id")
        )
        return _json(_encoder.encode(Statement(lines)))

    async def _show_script(self, _: web.Request) -> web.Response:
        return _json(_encoder.encode(self._books.script))

    async def _take_script(self, request: web.Request) -> web.Response:
        try:
            script = _scripts.decode(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise NotReadable from fault
        await self._books.follow(script)
        self._teller.wake()
        return _json(_encoder.encode(script))

    def _require_mine(self, bank: str | None) -> None:
        if bank is not None and bank != self._name:
            raise _WrongBank

    def _cut_if_down(self, request: web.Request) -> None:
        if self._books.script.down and request.transport is not None:
            request.transport.abort()


class _WrongBank(Exception):
    """The message names another bank."""

    code = "wrong-bank"


@web.middleware
async def _refuse_unreadable(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except NotReadable as fault:
        return _problem(fault.code, HTTPStatus.BAD_REQUEST)
    except _WrongBank as fault:
        return _problem(fault.code, HTTPStatus.MISDIRECTED_REQUEST)


@asynccontextmanager
async def running_bank(config: BankSimulatorConfig) -> AsyncIterator[asyncio.Task[None]]:
    """Serve and tell, for the length of the context; the task ends by a fault alone."""
    async with AsyncExitStack() as exits:
        books = Books(Path(config.state_dir) / BOOKS_FILE, config.name, config.script, time.time)
        exits.callback(books.close)
        hop = None
        if config.callbacks is not None:
            hop = HopClient(config, config.callbacks, timeout_s=TELL_S_MAX, believes_unsent=True)
            await hop.start()
            exits.push_async_callback(hop.close)
        teller = Teller(books, hop, time.time)
        bank = Bank(config.name, CardRail() if config.rail == "card" else AccountRail(), books, teller)
        exits.push_async_callback(bank.close)
        app = bank.build_app()
        await exits.enter_async_context(
            serve(app, config, config.listen, callers=bank.callers, behind_sidecar=False)
        )
        telling = asyncio.create_task(teller.run())
        exits.push_async_callback(cancel_until_heard, [telling])
        yield telling


async def main(config: BankSimulatorConfig) -> None:
    """Serve until stopped."""
    async with running_bank(config) as telling:
        await until_stopped_or_ended({telling})


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _problem(code: str, status: HTTPStatus) -> web.Response:
    return web.json_response({"code": code}, status=status)
