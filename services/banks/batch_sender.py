"""Collect what goes to the banks service at the same moment, and carry it there in batches.

Promises: an item that was not answered is `HopUnsent` only where its whole batch certainly never left, else
`HopUnknown`; each answer is handed on when it comes; whoever submits always hears something, in time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from services.banks.batches import (
    BATCH_ANSWER_BYTES_MAX,
    BATCH_ITEMS_MAX,
    BATCHES_PATH,
    AnswersBroken,
    Item,
    Outstanding,
    is_readable,
    write_batch,
)
from services.banks.messages import Attempt, AttemptAnswer
from services.node.errors import HopUnknown, HopUnsent
from services.node.hop_client import HopClient
from services.node.logs import get_log

_log = get_log("banks.batches")


@dataclass(frozen=True, slots=True)
class _Submitted:
    item: Item
    answer: asyncio.Future[AttemptAnswer]


class BatchSender:
    """Batches over one started `HopClient`; what is submitted in one step of the loop leaves together."""

    def __init__(self, hop: HopClient) -> None:
        self._hop = hop
        self._waiting: list[_Submitted] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> AttemptAnswer:
        """Carry one item and return its answer.

        Raises:
            HopUnsent: It certainly did not leave.
            HopUnknown: It may have.
        """
        if not is_readable(item):
            return AttemptAnswer(item.attempt_id, "unsent", alarm="the attempt is not one of ours")
        loop = asyncio.get_running_loop()
        submitted = _Submitted(item, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(submitted)
        return await submitted.answer

    def _flush(self) -> None:
        """Begin what waits; what was cancelled meanwhile never leaves."""
        waiting = [each for each in self._waiting if not each.answer.done()]
        self._waiting = []
        waiting.sort(key=lambda each: not isinstance(each.item, Attempt))  # In the order of their places.
        for first in range(0, len(waiting), BATCH_ITEMS_MAX):
            task = asyncio.create_task(self._carry(waiting[first : first + BATCH_ITEMS_MAX]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, batch: list[_Submitted]) -> None:
        outstanding = Outstanding(len(batch))

        def take(line: bytes) -> None:
            heard = outstanding.take(line)
            answer = batch[heard.place].answer
            if not answer.done():
                answer.set_result(heard.answer)

        kind: type[HopUnsent | HopUnknown] = HopUnknown
        reason = "the answers ended before this one"
        try:
            await self._hop.call_for_lines(
                BATCHES_PATH,
                write_batch([each.item for each in batch]),
                take,
                answer_bytes_max=BATCH_ANSWER_BYTES_MAX,
            )
        except (HopUnsent, HopUnknown) as fault:
            kind, reason = type(fault), str(fault)
        except AnswersBroken as fault:
            _log.error("the banks service's answers are not believed", reason=str(fault))
            reason = str(fault)
        finally:
            for place in outstanding.places:
                answer = batch[place].answer
                if not answer.done():
                    answer.set_exception(kind(reason))
