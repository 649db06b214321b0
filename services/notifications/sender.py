"""Take in events and claim what is due, send it with bounds, record what came of it; without end.

Promises: at most `SENDING_MAX` deliveries under way, at most `ENDPOINT_SENDING_MAX` of them to one endpoint;
a slow receiver holds up its own alone; whatever is lost between sending and recording is sent again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from services.node import tracing
from services.node.crash_points import reach
from services.node.group import Group, GroupFull
from services.node.logs import get_log
from services.node.pacing import Pace
from services.node.postgres import DATABASE_AWAY
from services.notifications.courier import webhook_span_id
from services.notifications.events import Event
from services.notifications.intake import Room, insert_events
from services.notifications.schedule import Answered, Attempt, Dead, EndpointGone, decide_next
from services.notifications.store import Delivery, Outcome, Pool, claim_due, record_outcomes

# Each one holds a connection and a body of at most 20 kB; a place is taken for 15 s at the worst.
SENDING_MAX = 128
# What was answered and is not recorded yet holds no place, only its body. While the database is slow, no more
# than this many would have to be sent again.
UNRECORDED_MAX = 4 * SENDING_MAX
# Enough for a healthy receiver (4 x 20/s at 50 ms), and one that hangs takes a 32nd of the places.
ENDPOINT_SENDING_MAX = 4
# Retries become due by the clock, and other processes leave deliveries too. What comes from here is begun as
# it is stored; what found no place is looked for as soon as there is one.
POLL_S_MAX = 0.5
# Nobody waits for a result to be recorded.
RECORDING = Pace(factor=3.0, rest_s_max=0.05)
# Places become free one by one; a search for each would be most of the work.
CLAIMING = Pace(factor=3.0, rest_s_max=0.02)
# What is under way when the process is told to stop; most receivers answer within a second.
DRAIN_S = 5.0
# While the database is away: often enough to be back well within 10 s.
AWAY_S = 0.5

_log = get_log("notifications.sender")
_random = random.SystemRandom()


class Sender:
    """The loop that empties `notifications.delivery`.

    Args:
        pool: Connections of the role `notifications`.
        attempt: Makes one attempt; `Courier.attempt`.
        jitter: Evenly distributed in [0, 1), drawn once per attempt.
    """

    def __init__(
        self,
        pool: Pool,
        attempt: Callable[[Delivery], Awaitable[Attempt]],
        *,
        jitter: Callable[[], float] = _random.random,
    ) -> None:
        self._pool = pool
        self._attempt = attempt
        self._jitter = jitter
        self._news = asyncio.Event()
        self._under_way: Counter[str] = Counter()
        # What is known of deliveries that wait: everything may, until a search has ended with places left.
        self._drained = False
        self._behind: set[str] = set()
        self._choosing = asyncio.Lock()  # Who is given which place is decided by one at a time.
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._reached = False
        self._records: Group[Outcome, None] = Group(self._record, items_max=SENDING_MAX, pace=RECORDING)

    @property
    def ready(self) -> bool:
        """Whether the database has been reached."""
        return self._reached

    def wake(self) -> None:
        """Look at once: something became due, or a place became free."""
        self._news.set()

    async def take(self, events: Sequence[Event]) -> None:
        """Store events, and begin at once to send what there is a place for.

        Raises:
            One of `DATABASE_AWAY`: nothing was stored.
        """
        async with self._choosing:
            taken = await insert_events(self._pool, events, self._room())
            self._reached = True
            self._begin(taken.begun)
            self._behind |= taken.waiting
        if taken.waiting:
            self.wake()

    async def run(self) -> None:
        """Send until cancelled; then finish what is under way, or leave it to the lease to bring back."""
        try:
            now = asyncio.get_running_loop().time
            while self._fault is None:
                self._news.clear()
                begun = now()
                if not await self._claim():
                    await asyncio.sleep(CLAIMING.rest_s(now() - begun))
                    await _any(self._news, POLL_S_MAX)
            raise self._fault
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=DRAIN_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _claim(self) -> bool:
        """Start what can be started; say whether there may be more."""
        try:
            async with self._choosing:
                free = self._free()
                if free <= 0:
                    self._drained = False  # Nobody looked: each place that becomes free is news.
                    return False
                claimed = await claim_due(
                    self._pool,
                    count_max=free,
                    endpoint_max=ENDPOINT_SENDING_MAX,
                    under_way=dict(self._under_way),
                )
                self._reached = True
                self._begin(claimed)
                # With places left, only an endpoint that has all of its own can have more that waits.
                self._drained = len(claimed) < free
                self._behind = {e for e, n in self._under_way.items() if n >= ENDPOINT_SENDING_MAX}
        except DATABASE_AWAY as fault:
            _log.warning("the database is away, sending waits", fault=type(fault).__name__)
            await asyncio.sleep(AWAY_S)
            return True
        return not self._drained

    def _room(self) -> Room:
        """What new deliveries may have: nothing while it is not known who waits longer."""
        if not self._drained:
            return Room()
        return Room(
            max(self._free(), 0), ENDPOINT_SENDING_MAX, dict(self._under_way), frozenset(self._behind)
        )

    def _free(self) -> int:
        return min(SENDING_MAX - self._under_way.total(), UNRECORDED_MAX - len(self._tasks))

    def _begin(self, claimed: Sequence[Delivery]) -> None:
        if claimed:
            reach("notifications.deliveries_claimed")
        for delivery in claimed:
            self._under_way[delivery.endpoint_id] += 1
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if len(self._tasks) == UNRECORDED_MAX - 1:
            self.wake()
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()  # A fault that nobody foresaw ends the process, not one delivery.
            self.wake()

    async def _deliver(self, delivery: Delivery) -> None:
        loop = asyncio.get_running_loop()
        begun, began_s = loop.time(), time.time()
        try:
            reach("notifications.webhook_due")
            attempt = await self._attempt(delivery)
            _note(delivery, attempt, began_s)
            reach("notifications.webhook_sent")
        finally:
            self._leave(delivery.endpoint_id)
        verdict = decide_next(
            attempt,
            attempts_made=delivery.attempts + 1,
            refusals_made=delivery.refusals,
            jitter=self._jitter(),
        )
        try:
            await self._records.submit(
                Outcome(delivery, attempt, verdict, round((loop.time() - begun) * 1000))
            )
        except (*DATABASE_AWAY, GroupFull) as fault:
            _log.warning(
                "a result was not recorded, the delivery comes back",
                event_id=delivery.event_id, endpoint_id=delivery.endpoint_id, fault=type(fault).__name__,
            )  # fmt: skip
            return
        if isinstance(verdict, Dead | EndpointGone):
            _log.error(
                "a delivery was given up",
                event_id=delivery.event_id, endpoint_id=delivery.endpoint_id, reason=type(verdict).__name__,
            )  # fmt: skip
        if delivery.in_line:
            self.wake()  # The next of its payment may go.

    def _leave(self, endpoint_id: str) -> None:
        """Give the place back."""
        self._under_way[endpoint_id] -= 1
        self._under_way += Counter()  # Drops the zeros: endpoints come and go for as long as we live.
        if not self._drained or endpoint_id in self._behind:
            self.wake()

    async def _record(self, outcomes: list[Outcome]) -> Sequence[None]:
        await record_outcomes(self._pool, outcomes)
        reach("notifications.outcomes_committed")
        return [None] * len(outcomes)


def _note(delivery: Delivery, attempt: Attempt, began_s: float) -> None:
    if not tracing.is_told():
        return
    said: dict[str, str | int] = {"countermark.event_id": delivery.event_id}
    if isinstance(attempt, Answered):
        said["http.response.status_code"] = attempt.status
    else:
        said["error.type"] = attempt.reason
    tracing.note(
        delivery.payment_id, "webhook", began_s, kind="client", span_id=webhook_span_id(delivery),
        attributes=said,
    )  # fmt: skip


async def _any(news: asyncio.Event, seconds_max: float) -> None:
    """Wait for news, but not longer than given."""
    try:
        async with asyncio.timeout(seconds_max):
            await news.wait()
    except TimeoutError:
        pass
