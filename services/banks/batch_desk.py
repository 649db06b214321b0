"""Take batches: everything in one is begun at once, and each answer leaves when it is ready.

Promises: no item waits for another one's bank; a batch is begun as a whole or not at all; what was begun is
carried to its end even if the asker is gone, since the bank may have it already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from services.banks.batches import (
    BATCH_BYTES_MAX,
    BATCHES_PATH,
    LINES_TYPE,
    BatchMalformed,
    Item,
    read_batch,
    write_answer,
)
from services.banks.connector import Connector
from services.banks.messages import Attempt, AttemptAnswer
from services.node.crash_points import reach
from services.node.logs import get_log

# How long a first answer waits for company: one write instead of many, through three TLS connections.
ANSWER_LINGER_S = 0.025

_log = get_log("banks.batches")


class BatchDesk:
    """The route of batches over the connectors, by bank."""

    def __init__(self, banks: Mapping[str, Connector]) -> None:
        self._banks = banks

    def add_route(self, app: web.Application) -> None:
        """Serve batches."""
        app.router.add_post(BATCHES_PATH, self._take)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        try:
            # Only here may a body be this large.
            batch = read_batch(await request.clone(client_max_size=BATCH_BYTES_MAX).read())
        except BatchMalformed as fault:
            _log.error("a batch was refused whole", reason=str(fault.__cause__))
            return web.json_response({"code": fault.code}, status=HTTPStatus.BAD_REQUEST)
        answers = _Answers(self._banks, batch.items)
        response = web.StreamResponse(headers={"content-type": LINES_TYPE})
        try:
            await response.prepare(request)
            while lines := await answers.next_lines():
                await response.write(lines)
            await response.write_eof()
        except ConnectionError as fault:
            _log.warning("whoever asked is gone", fault=type(fault).__name__, unheard=answers.left)
            await answers.until_ended()
        except asyncio.CancelledError:
            answers.cancel()
            raise
        return response


class _Answers:
    """The items of one batch under way."""

    def __init__(self, banks: Mapping[str, Connector], items: list[Item]) -> None:
        self._banks = banks
        self._ready: list[bytes] = []
        self._came = asyncio.Event()
        self._tasks = [asyncio.create_task(self._carry(place, item)) for place, item in enumerate(items)]
        self.left = len(items)

    async def next_lines(self) -> bytes:
        """The next answers, as soon as there are some; nothing once all have been given out."""
        if not self.left:
            return b""
        await self._came.wait()
        if len(self._ready) < self.left:
            await asyncio.sleep(ANSWER_LINGER_S)
        self._came.clear()
        lines, self._ready = self._ready, []
        self.left -= len(lines)
        return b"".join(lines)

    async def until_ended(self) -> None:
        """Nobody hears the answers; what was begun ends all the same, within the deadline of a call."""
        await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Break off what is under way."""
        for task in self._tasks:
            task.cancel()

    async def _carry(self, place: int, item: Item) -> None:
        try:
            answer = await self._answer(item)
        except Exception:  # noqa: BLE001 - logged whole; the neighbours' answers must still leave.
            _log.exception("an item of a batch failed", attempt_id=item.attempt_id)
            answer = AttemptAnswer(item.attempt_id, "unknown", alarm="a defect of the banks service")
        self._ready.append(write_answer(place, answer))
        self._came.set()

    async def _answer(self, item: Item) -> AttemptAnswer:
        connector = self._banks.get(item.bank)
        if connector is None:
            _log.error("an attempt names a bank that is not configured", bank=item.bank)
            return AttemptAnswer(item.attempt_id, "unsent", alarm="no such bank is configured")
        if isinstance(item, Attempt):
            reach("banks.attempt_taken")
            return await connector.move(item)
        reach("banks.question_taken")
        return await connector.inquire(item)
