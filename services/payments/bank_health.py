"""How the banks are, as far as this worker knows: what its calls came to, and what operators say.

Promises: nothing that happens here stops a payment that a bank may already have; a bank that was drained gets
no new payment a second later, and stays drained while the database is away; before operators were heard the
first time no bank gets any. Every worker has its own figures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.call_window import CallWindow
from services.payments.machine.breaker import Breaker, BreakerState
from services.payments.machine.events import Answered, Order
from services.payments.machine.figures import Figures, FineKey
from services.payments.machine.model import Operation
from services.payments.machine.policy import RETRYABLE_DECLINES
from services.payments.machine.routing import BankFacts, RoutingTable
from services.payments.machine.terms import BankTerms, instrument_class_of
from services.payments.store import Pool

PERIOD_S = 1.0  # An operator who drains a bank waits no longer for it to be true.
# A dozen banks in a dozen currencies, by card and by account, with one operation or two; 5 KB each at most.
# What was quiet for longest goes first, and its payments go by the figures of their operation.
FINE_WINDOWS_MAX = 576

Controls: TypeAlias = Callable[[], Awaitable[Mapping[str, bool]]]
_Known: TypeAlias = tuple[object, ...]

_log = get_log("payments.bank_health")


class BankHealth:
    """Ask `routes` for each turn, tell `note` of each call that ended, keep `run` running.

    `follow` once before the first turn, and no payment has to wait for the first word of operators.

    Args:
        terms: Of each bank that is connected.
        controls: Which banks operators have drained, by name.
        room_min: Below this much room a bank gets no new payments.
        clock: Seconds, monotonic.
        today: The time of day, for the fees' validity.
    """

    def __init__(
        self,
        terms: Mapping[str, BankTerms],
        controls: Controls,
        *,
        room_min: int = 1,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._terms = dict(sorted(terms.items()))
        self._controls = controls
        self._room_min = room_min
        self._clock = clock
        self._today = today
        self._drained: frozenset[str] | None = None
        self._breakers: dict[tuple[str, Operation], Breaker] = {}
        self._windows: dict[tuple[str, Operation], CallWindow] = {}
        self._fine: dict[tuple[str, FineKey], CallWindow] = {}
        self._figures: dict[str, tuple[dict[Operation, Figures], dict[FineKey, Figures]]] = {}
        self._figures_at = float("-inf")
        self._table: tuple[_Known, RoutingTable] | None = None

    def note(self, order: Order, answered: Answered, seconds: float) -> None:
        """Take in how one call ended.

        What was stopped on our own side says nothing about the bank: no breaker counts it. What a connector
        refuses is of no use to send there all the same, so the windows do; what is wrong with the way to all
        banks is no reason to prefer one.
        """
        bank, operation, now = order.bank, order.operation, self._clock()
        if answered.stopped_by is None:
            self._note_at_breaker((bank, operation), answered, now)
        if answered.stopped_by == "hop":
            return
        # Some codes are the bank's own failure, the others are the payer's.
        failed = answered.kind in ("unknown", "unsent") or answered.decline_code in RETRYABLE_DECLINES
        self._windows.setdefault((bank, operation), CallWindow()).note(now, failed=failed, seconds=seconds)
        fine = (bank, FineKey(operation, instrument_class_of(order.instrument), order.currency))
        window = self._fine.pop(fine, None)
        if window is None:
            window = CallWindow()
        self._fine[fine] = window  # At the end: the first is the one that was quiet for longest.
        window.note(now, failed=failed, seconds=seconds)
        if len(self._fine) > FINE_WINDOWS_MAX:
            del self._fine[next(iter(self._fine))]

    def routes(self, now: datetime | None = None, rooms: Mapping[str, int] | None = None) -> RoutingTable:
        """The banks as they are now; the same table as before while nothing about them has changed.

        Args:
            now: Decides which day's fees are in force; None: now.
            rooms: How many more calls this worker can begin, by bank; None where the caller sees to it.
        """
        clock = self._clock()
        if clock - self._figures_at >= PERIOD_S:
            self._reckon(clock)
        now = self._today() if now is None else now
        full: frozenset[str] = frozenset()
        if rooms is not None:
            full = frozenset(bank for bank in self._terms if rooms.get(bank, 0) < self._room_min)
        states = tuple(
            (key, state)
            for key, breaker in self._breakers.items()
            if (state := breaker.state(clock)) != "closed"
        )
        known: _Known = (now.astimezone(UTC).date(), full, states, self._drained, self._figures_at)
        if self._table is None or self._table[0] != known:
            self._table = (known, self._make_table(now, full, dict(states)))
        return self._table[1]

    async def run(self) -> None:
        """Follow what operators say until cancelled."""
        while True:
            try:
                await self.follow()
            except DATABASE_AWAY as fault:
                _log.warning("operators cannot be heard", fault=type(fault).__name__)
            await asyncio.sleep(PERIOD_S)

    async def follow(self) -> None:
        """Read once what operators say.

        Raises:
            DATABASE_AWAY: One of them; what was said before stays in force.
        """
        said = await self._controls()
        drained = frozenset(bank for bank, is_drained in said.items() if is_drained and bank in self._terms)
        for bank in drained ^ (self._drained or frozenset()):
            _log.warning("an operator has spoken", bank=bank, drained=bank in drained)
        for bank in self._terms:
            counters.DRAINED.labels(bank).set(bank in drained)
        self._drained = drained

    def _note_at_breaker(self, key: tuple[str, Operation], answered: Answered, now: float) -> None:
        before = self._breakers.get(key, Breaker())
        after = self._breakers[key] = before.noted(answered.kind, now)
        if before.opened_at != after.opened_at:
            is_open = after.opened_at is not None
            counters.BREAKER_OPEN.labels(*key).set(is_open)
            _log.warning("a breaker has moved", bank=key[0], operation=key[1], is_open=is_open)

    def _reckon(self, clock: float) -> None:
        self._figures = {bank: ({}, {}) for bank in self._terms}
        for (bank, operation), window in self._windows.items():
            if bank in self._figures:
                self._figures[bank][0][operation] = window.figures(clock)
        for (bank, key), window in self._fine.items():
            if bank in self._figures:
                self._figures[bank][1][key] = window.figures(clock)
        self._figures_at = clock

    def _make_table(
        self, now: datetime, full: frozenset[str], states: Mapping[tuple[str, Operation], BreakerState]
    ) -> RoutingTable:
        facts = []
        for bank, terms in self._terms.items():
            coarse, fine = self._figures[bank]
            facts.append(
                BankFacts(
                    name=bank,
                    terms=terms,
                    drained=self._drained is None or bank in self._drained,
                    has_room=bank not in full,
                    breakers={key[1]: state for key, state in states.items() if key[0] == bank},
                    coarse=coarse,
                    fine=fine,
                )
            )
        return RoutingTable(facts, now)


def controls_of(pool: Pool, banks: Iterable[str]) -> Controls:
    """What operators have said, from the record; it is told once which banks this engine is connected to."""
    untold = list(banks)

    async def controls() -> Mapping[str, bool]:
        if untold:
            await pool.execute("select payments.know_banks($1)", untold)
            untold.clear()
        rows = await pool.fetch("select bank, drained from payments.bank_controls()")
        return {row["bank"]: row["drained"] for row in rows}

    return controls
