"""An asyncio loop on virtual time with a seeded scheduler, whose nodes can die or be paused at any await.

A node is a process of the simulated world: every task that is begun in its context is its own. A dead
node's callbacks are never run again, so nothing of it cleans up, as after SIGKILL; a paused one's are kept
for later, as after SIGSTOP. Time jumps to the next timer when nothing is ready; nothing here waits for real.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, NoReturn
from unittest import mock

# The busiest worlds take a tenth of it.
STEPS_MAX = 300_000


class Stalled(Exception):
    """Nothing is ready and no timer is set: somebody waits for what cannot come."""


class NoEnd(Exception):
    """More steps than any world needs: somebody goes round without getting on."""


class RealWorldUsed(Exception):
    """The code under simulation wanted a thread, a socket, or to sleep for real."""


class Node:
    """One simulated process.

    Attributes:
        at_death: Called, outside the node, when it dies; what others notice of a death (a closed connection).
        fuse: After so many of its steps `at_fuse` is called, between two steps, which is at any await.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_paused = False
        self.at_death: list[Callable[[], None]] = []
        self.fuse = 0
        self.at_fuse: Callable[[], None] = lambda: None
        self.kept: deque[asyncio.Handle] = deque()


NODE: ContextVar[Node | None] = ContextVar("node", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs all in one thread; ready steps of different tasks come in an order that the seed chooses."""

    _ready: deque[asyncio.Handle]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timed = 0
        self._chance = random.Random(f"{seed}/loop")
        self.outside: Context = copy_context()
        self.steps = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def time(self) -> float:
        return self._now

    def start(self, node: Node, make: Callable[[], Any]) -> asyncio.Task[Any]:
        """Begin a node: everything that `make()` begins is the node's."""
        context = self.outside.copy()
        context.run(NODE.set, node)
        task: asyncio.Task[Any] = context.run(lambda: self.create_task(make()))
        return task

    def kill(self, node: Node) -> None:
        """End a node between two of its steps; nothing of it runs ever again."""
        node.is_dead = True
        node.kept.clear()
        notices, node.at_death = node.at_death, []
        for notice in notices:
            notice()

    def resume(self, node: Node) -> None:
        """Let a paused node go on."""
        node.is_paused = False
        self._ready.extend(node.kept)
        node.kept.clear()

    def later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Call outside any node: what happens although the caller may be dead by then."""
        return self.call_later(delay_s, call, context=self.outside)

    def dispose(self) -> None:
        """Break off what is still suspended, without letting it do anything that counts."""
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if not task.done():
                with suppress(BaseException):
                    task.get_coro().close()
        self._ready.clear()
        self._timers.clear()
        self.tasks.clear()
        self.close()

    def run_in_executor(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]
        raise RealWorldUsed("a thread")

    def _make_task(self, _: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **more)
        self.tasks.append(task)
        if len(self.tasks) > 512:
            self.tasks = [each for each in self.tasks if not each.done()]
        return task

    def _write_to_self(self) -> None:
        pass  # No selector sleeps that would have to be woken.

    def _process_events(self, _: Any) -> None:
        pass

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, timer))
        return timer

    def _run_once(self) -> None:
        timers, ready = self._timers, self._ready
        if not ready:
            while timers and timers[0][2]._cancelled:
                heapq.heappop(timers)
            if not timers:
                raise Stalled(f"at {self._now:.3f} s")
            self._now = max(self._now, timers[0][0])
        now = self._now
        while timers and timers[0][0] <= now:
            ready.append(heapq.heappop(timers)[2])
        batch = list(ready)
        ready.clear()
        if len(batch) > 1:
            self._mix(batch)
        if self.steps > STEPS_MAX:
            raise NoEnd(f"{self.steps} steps at {now:.3f} s")
        for handle in batch:
            if handle._cancelled:
                continue
            node = handle._context.get(NODE)  # type: ignore[attr-defined]
            if node is not None and not self._may_step(node, handle):
                continue
            self.steps += 1
            handle._run()

    def _may_step(self, node: Node, handle: asyncio.Handle) -> bool:
        if node.is_dead:
            return False
        if node.is_paused:
            node.kept.append(handle)
            return False
        if node.fuse:
            node.fuse -= 1
            if not node.fuse:
                self.call_soon(node.at_fuse, context=self.outside)
        return True

    def _mix(self, batch: list[asyncio.Handle]) -> None:
        """Mix the steps of tasks among each other; what is no task's step keeps its place.

        Plain callbacks come in the order in which they were asked for: that is what asyncio promises, and
        its own primitives rely on it. Which of several ready tasks is first, nobody may rely on.
        """
        places = [
            place for place, handle in enumerate(batch)
            if isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)  # type: ignore[attr-defined]
        ]  # fmt: skip
        if len(places) > 1:
            mixed = [batch[place] for place in places]
            self._chance.shuffle(mixed)
            for place, handle in zip(places, mixed, strict=True):
                batch[place] = handle


@contextmanager
def nothing_real() -> Iterator[None]:
    """Refuse real sleeping, threads and connections while it is open."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise RealWorldUsed("sleeping, a thread or a socket")

    with (
        mock.patch.object(time, "sleep", refuse),
        mock.patch.object(threading.Thread, "start", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
    ):
        yield
