"""The simulated bank's API over mutual TLS: attempts, questions, statements.

Promises: an attempt is decided once and durably before it is answered; the same attempt again gets the same
answer; another content under the same id is 409. Only the banks service moves money.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path

import msgspec
from aiohttp import web

from services.bank_simulator.behaviour import NEVER_IN_TIME_S, SLOW_S, Manner, behaviour_of
from services.bank_simulator.books import AttemptReused, Books
from services.banks.messages import (
    ATTEMPTS_PATH,
    INQUIRIES_PATH,
    MESSAGE_BYTES_MAX,
    STATEMENT_PATH,
    Attempt,
    AttemptAnswer,
    Inquiry,
    Statement,
)
from services.node.config_file import ListenConfig, NodeConfig
from services.node.group import Group
from services.node.process import until_stopped
from services.node.server import serve

CALLERS = {
    ATTEMPTS_PATH: frozenset({"banks"}),
    INQUIRIES_PATH: frozenset({"banks"}),
    STATEMENT_PATH: frozenset({"banks", "supervisor"}),
}
_encoder = msgspec.json.Encoder()
_attempts = msgspec.json.Decoder(Attempt, strict=True)
_inquiries = msgspec.json.Decoder(Inquiry, strict=True)


class BankSimulatorConfig(NodeConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `python -m services.bank_simulator --config FILE` reads; the bank is called `name`."""

    listen: ListenConfig


class Bank:
    """The handlers of one bank."""

    def __init__(self, name: str, books: Books) -> None:
        self._name = name
        self._books = books
        self._group = Group[Attempt, AttemptAnswer | AttemptReused](books.decide)

    def build_app(self) -> web.Application:
        """The bank's routes."""
        app = web.Application(client_max_size=MESSAGE_BYTES_MAX)
        app.router.add_post(ATTEMPTS_PATH, self._move)
        app.router.add_post(INQUIRIES_PATH, self._inquire)
        app.router.add_get(STATEMENT_PATH, self._statement)
        return app

    async def close(self) -> None:
        """Let what was submitted be written."""
        await self._group.close()

    async def _move(self, request: web.Request) -> web.StreamResponse:
        try:
            attempt = _attempts.decode(await request.read())
        except msgspec.DecodeError:
            return web.json_response({"code": "attempt-malformed"}, status=HTTPStatus.BAD_REQUEST)
        if attempt.bank != self._name:
            return web.json_response({"code": "wrong-bank"}, status=HTTPStatus.MISDIRECTED_REQUEST)
        answer = await self._group.submit(attempt)
        if isinstance(answer, AttemptReused):
            return web.json_response({"code": answer.code}, status=HTTPStatus.CONFLICT)
        match behaviour_of(attempt.instrument).manner:
            case Manner.SLOWLY:
                await asyncio.sleep(SLOW_S)
            case Manner.NEVER_IN_TIME:
                await asyncio.sleep(NEVER_IN_TIME_S)
            case Manner.CUT if request.transport is not None:
                request.transport.abort()
            case _:
                pass
        return _json(answer)

    async def _inquire(self, request: web.Request) -> web.Response:
        try:
            attempt_id = _inquiries.decode(await request.read()).attempt_id
        except msgspec.DecodeError:
            return web.json_response({"code": "inquiry-malformed"}, status=HTTPStatus.BAD_REQUEST)
        return _json(self._books.find(attempt_id) or AttemptAnswer(attempt_id, "not_found"))

    async def _statement(self, request: web.Request) -> web.Response:
        lines = self._books.statement(
            instrument=request.query.get("instrument"), end_to_end_id=request.query.get("end_to_end_id")
        )
        return _json(Statement(lines))


async def main(config: BankSimulatorConfig) -> None:
    """Serve until stopped."""
    books = Books(Path(config.state_dir) / "books.sqlite")
    bank = Bank(config.name, books)
    try:
        async with serve(bank.build_app(), config, config.listen, callers=CALLERS, behind_sidecar=False):
            await until_stopped()
    finally:
        await bank.close()
        books.close()


def _json(answer: AttemptAnswer | Statement) -> web.Response:
    return web.Response(body=_encoder.encode(answer), content_type="application/json")
