"""Take turns at the record, and begin what follows from each, once it has committed and never before.

Promises: a cancellation waits for the turn under way, which would otherwise leave what it took to its lease;
an event that cannot be decided or written is found by halving and set aside in the record, for every worker;
its neighbours lose nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.bulkheads import Bulkheads, Lane
from services.payments.machine import turn
from services.payments.machine.events import Answered, Decisions, Event, Screened, Snapshot
from services.payments.machine.policy import Policy
from services.payments.record import PROBLEM_CHARS_MAX, About, Overdue, Record, Work
from services.payments.routing_facts import Facts, RoomyRoutes

# What follows from a commit.
Follow: TypeAlias = Callable[[Decisions, Lane], None]
OnDefect: TypeAlias = Callable[[Event, Exception], None]
Taken = TypeVar("Taken")

_log = get_log("payments.turns")


async def unbroken(taking: Coroutine[Any, Any, Taken]) -> Taken:
    """Wait for a turn to end before giving in to a cancellation.

    Broken off in the middle it may have committed, and what it took would wait for its lease to run out.
    """
    task = asyncio.create_task(taking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


class Turns:
    """One worker's turns.

    Args:
        record: The source of truth.
        facts: What the worker knows about banks.
        policy: What decisions go by.
        bulkheads: The room at each bank, which routing goes by.
        on_defect: Told of each event that is set aside; the log and a counter are told in any case.

    Attributes:
        follow: Called with each committed turn's decisions; set by who puts the worker together.
    """

    def __init__(
        self,
        record: Record,
        facts: Facts,
        policy: Policy,
        bulkheads: Bulkheads[Any],
        on_defect: OnDefect | None = None,
    ) -> None:
        self._record = record
        self._facts = facts
        self._policy = policy
        self._bulkheads = bulkheads
        self._on_defect = on_defect
        self.follow: Follow = lambda _decisions, _lane: None

    async def take(self, work: Work, lane: Lane = Lane.SEND) -> int:
        """Take one turn; return how many events it was about.

        Args:
            work: What the turn is about.
            lane: Where the calls that follow belong.

        Raises:
            DATABASE_AWAY: One of them.
        """
        return await unbroken(self._take(work, lane))

    async def _take(self, work: Work, lane: Lane) -> int:
        view = _View(self._facts, self._policy, self._bulkheads)
        try:
            decisions = await self._record.turn(work, view.decide)
        except DATABASE_AWAY:
            raise
        except Exception as fault:
            events = work.events if isinstance(work, About) else view.events
            if not events:
                raise
            await self._take_apart(events, lane, fault)
            return len(events)
        finally:
            view.give_back()
        if view.events:
            match work:
                case About():
                    reach("payments.answers_committed")
                case Overdue():
                    reach("payments.takeover_committed")
                case _:
                    reach("payments.turn_committed")
        self.follow(decisions, lane)
        _count(view, decisions)
        return len(view.events)

    async def _take_apart(self, events: Sequence[Event], lane: Lane, fault: Exception) -> None:
        """One event's content fails a whole turn: halve it until the guilty one is alone."""
        if len(events) > 1:
            middle = len(events) // 2
            await self._take(About(events=events[:middle]), lane)
            await self._take(About(events=events[middle:]), lane)
            return
        [event] = events
        counters.DEFECTS.inc()
        _log.error(
            "an event was set aside",
            payment_id=event.payment_id, kind=type(event).__name__, exc_info=fault,
        )  # fmt: skip
        if self._on_defect is not None:
            self._on_defect(event, fault)
        if not isinstance(event, Answered | Screened):
            # It would come back with the next turn. An answer does not: its reminder asks anew, in its time.
            await self._record.set_aside(event.payment_id, _problem(event, fault))
        if isinstance(event, Answered) and event.kind in {"confirmed", "declined"}:
            # What the record refuses of an answer leaves its outcome unknown: the bank is asked again.
            unknown = msgspec.structs.replace(event, kind="unknown", bank_reference=None, decline_code=None)
            await self._take(About(events=[unknown]), lane)


class _View:
    """The decision of one turn, which the record calls, once or more often when it has to begin again."""

    def __init__(self, facts: Facts, policy: Policy, bulkheads: Bulkheads[Any]) -> None:
        self._facts = facts
        self._policy = policy
        self._bulkheads = bulkheads
        self._promised: dict[str, int] = {}
        self.events: Sequence[Event] = ()
        self.snapshot: Snapshot | None = None

    def decide(self, snapshot: Snapshot) -> Decisions:
        self.give_back()
        self.events, self.snapshot = snapshot.events, snapshot
        routes = RoomyRoutes(self._facts.routes(), self._bulkheads.rooms())
        try:
            return turn.decide(snapshot, routes, self._policy)
        finally:
            self._promised = routes.taken
            for bank, many in routes.taken.items():
                self._bulkheads.of(bank, Lane.SEND).promised += many

    def give_back(self) -> None:
        """What was promised is begun by now, or never will be."""
        for bank, many in self._promised.items():
            self._bulkheads.of(bank, Lane.SEND).promised -= many
        self._promised = {}


def _problem(event: Event, fault: Exception) -> str:
    said = " ".join(f"{type(event).__name__}: {type(fault).__name__}: {fault}".split())
    return "".join(sign if sign.isprintable() else "?" for sign in said)[:PROBLEM_CHARS_MAX]


def _count(view: _View, decisions: Decisions) -> None:
    if view.snapshot is None:
        return
    for payment in decisions.payments:
        age = view.snapshot.now - payment.accepted_at
        counters.age(payment.status).observe(age.total_seconds())
    if decisions.credits:
        counters.CREDITS.inc(len(decisions.credits))
    for subject, problem in decisions.contradictions:
        counters.CONTRADICTIONS.inc()
        _log.error("a bank contradicts what it said before", subject=subject, problem=problem)
    changed = {attempt.attempt_id for attempt in decisions.attempts}
    recorded: Counter[tuple[str, str]] = Counter()
    for event in view.events:
        if isinstance(event, Answered):
            recorded["answer", event.kind if event.attempt_id in changed else "stale"] += 1
        elif isinstance(event, Screened):
            recorded["verdict", event.verdict] += 1
    for (what, kind), many in recorded.items():
        if kind == "stale":
            counters.STALE.inc(many)
        else:
            family = counters.RECORDED if what == "answer" else counters.SCREENED
            counters.counter(family, kind).inc(many)
