"""Pass attempts and questions on to the bank they name, and say truthfully what happened.

Stateless: nothing is retried or remembered here. `unsent` is said only when no byte of the request can have
reached the bank; everything that is not a complete, matching answer is `unknown`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import msgspec
from aiohttp import web

from services.banks.config import BanksConfig
from services.banks.messages import (
    ATTEMPTS_PATH,
    BANK_CALL_S_MAX,
    MESSAGE_BYTES_MAX,
    Attempt,
    AttemptAnswer,
    Identifier,
)
from services.node.crash_points import reach
from services.node.errors import HopUnknown, HopUnsent
from services.node.hop_client import HopAnswer, HopClient
from services.node.logs import get_log
from services.node.process import until_stopped
from services.node.server import serve

CALLERS = {ATTEMPTS_PATH: frozenset({"payments-sidecar"})}
_BANKS: web.AppKey[Mapping[str, HopClient]] = web.AppKey("banks", dict)

_log = get_log("banks")
_encoder = msgspec.json.Encoder()
_attempts = msgspec.json.Decoder(Attempt, strict=True)
_answers = msgspec.json.Decoder(AttemptAnswer, strict=True)


def build_app(banks: Mapping[str, HopClient]) -> web.Application:
    """The routes of this service over started clients, one for each bank."""
    app = web.Application(client_max_size=MESSAGE_BYTES_MAX)
    app[_BANKS] = banks
    app.router.add_post(ATTEMPTS_PATH, _send)
    app.router.add_get(ATTEMPTS_PATH + "/{bank}/{attempt_id}", _inquire)
    return app


@asynccontextmanager
async def open_banks(config: BanksConfig) -> AsyncIterator[dict[str, HopClient]]:
    """Clients for every configured bank, closed at the end."""
    banks = {
        name: HopClient(config, egress, timeout_s=BANK_CALL_S_MAX, believes_unsent=False)
        for name, egress in config.banks.items()
    }
    try:
        for client in banks.values():
            await client.start()
        yield banks
    finally:
        for client in banks.values():
            await client.close()


async def main(config: BanksConfig) -> None:
    """Serve until stopped."""
    async with (
        open_banks(config) as banks,
        serve(build_app(banks), config, config.listen, callers=CALLERS),
    ):
        await until_stopped()


async def _send(request: web.Request) -> web.Response:
    try:
        attempt = _attempts.decode(await request.read())
    except msgspec.DecodeError:
        return web.json_response({"code": "attempt-malformed"}, status=HTTPStatus.BAD_REQUEST)
    body = _encoder.encode(attempt)
    reach("banks.attempt_taken")
    return await _ask(request, attempt.bank, attempt.attempt_id, "POST", ATTEMPTS_PATH, body)


async def _inquire(request: web.Request) -> web.Response:
    bank, attempt_id = request.match_info["bank"], request.match_info["attempt_id"]
    try:
        msgspec.convert([bank, attempt_id], list[Identifier])
    except msgspec.ValidationError:
        return web.json_response({"code": "attempt-malformed"}, status=HTTPStatus.BAD_REQUEST)
    reach("banks.question_taken")
    return await _ask(request, bank, attempt_id, "GET", f"{ATTEMPTS_PATH}/{bank}/{attempt_id}", None)


async def _ask(
    request: web.Request, bank: str, attempt_id: str, method: str, path: str, body: bytes | None
) -> web.Response:
    client = request.app[_BANKS].get(bank)
    if client is None:
        _log.error("an attempt names a bank that is not configured", bank=bank)
        return _answer(AttemptAnswer(attempt_id, "unsent"))
    try:
        answer = _classify(await client.call(method, path, body), attempt_id)
        reach("banks.bank_answered")
    except HopUnsent as fault:
        _log.warning("a bank cannot be reached", bank=bank, reason=str(fault))
        answer = AttemptAnswer(attempt_id, "unsent")
    except HopUnknown as fault:
        _log.warning("a bank gave no answer", bank=bank, attempt_id=attempt_id, reason=str(fault))
        answer = AttemptAnswer(attempt_id, "unknown")
    return _answer(answer)


def _classify(answer: HopAnswer, attempt_id: str) -> AttemptAnswer:
    """A complete answer about this attempt is passed on; a bank never knows that we did not send.

    Raises:
        HopUnknown: It is anything else.
    """
    if answer.status != HTTPStatus.OK:
        raise HopUnknown(f"status {answer.status}")
    try:
        parsed = _answers.decode(answer.body)
    except msgspec.DecodeError as fault:
        raise HopUnknown("the answer cannot be read") from fault
    if parsed.attempt_id != attempt_id or parsed.outcome == "unsent":
        raise HopUnknown("the answer is about something else")
    return parsed


def _answer(answer: AttemptAnswer) -> web.Response:
    return web.Response(body=_encoder.encode(answer), content_type="application/json")
