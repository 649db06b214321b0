"""The larger faults of a world: processes that die or stand still, servers that are away, cut wires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.database import Database
from tests.simulation.loop import Node, VirtualLoop
from tests.simulation.operators import Operators
from tests.simulation.shape import Shape
from tests.simulation.sim_bank import SimBank
from tests.simulation.sim_fraud import SimFraud
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

# More only meet an engine that has nothing to do any more.
STRIKES_MAX = 25
# How long a fault may last, in seconds; a bank is away ten times as long.
LENGTHS_S = (0.1, 3.0, 20.0, 300.0)
# While database or fraud service are away everybody asks again several times a second, and finds nothing.
AWAY_S_MAX = 20.0
# After how many of its steps a worker dies or stands still: at once, or in the middle of something.
FUSES = (1, 20, 200)


class Storm:
    """Strikes, and heals in the end.

    Args:
        start: Starts a worker, by its number.
    """

    def __init__(
        self,
        shape: Shape,
        loop: VirtualLoop,
        weather: Weather,
        trace: Trace,
        parts: tuple[Database, dict[str, SimBank], SimFraud],
        start: Callable[[int], Node],
        operators: Operators,
    ) -> None:
        self.shape = shape
        self.loop = loop
        self.weather = weather
        self.trace = trace
        self.database, self.banks, self.fraud = parts
        self.start = start
        self.operators = operators
        self.nodes: dict[int, Node] = {}

    def start_all(self) -> None:
        """Start the workers."""
        self.nodes = {number: self.start(number) for number in range(self.shape.workers)}

    async def rage(self) -> None:
        """Strike now and then, until it is over."""
        end, chance = self.shape.storm_s, self.weather.chance
        for _ in range(STRIKES_MAX if self.shape.storms else 0):
            # Half of the strikes come while there is much to do, the others at any time.
            span = chance.choice((min(self.shape.busy_s, end) + 1.0, end))
            await asyncio.sleep(chance.random() ** 2 * span / 5)
            if self.loop.time() >= end:
                break
            self._strike(self.weather.one_of(self.shape.storms))
        await asyncio.sleep(max(0.0, max(end, self.shape.busy_s) - self.loop.time()))

    def heal(self) -> None:
        """From here on nothing fails any more."""
        self.trace.note("healed")
        for weather in self.weathers():
            weather.is_bad = False
        self.database.is_away = self.fraud.is_down = False
        self.database.refused = None
        for bank in self.banks.values():
            bank.is_down = bank.is_deaf = bank.is_mute = False
            self.operators.resume(bank.name)
        for number, node in list(self.nodes.items()):
            node.fuse = 0
            if node.is_dead:
                self._restart(number, node)
            elif node.is_paused:
                self.loop.resume(node)

    def weathers(self) -> list[Weather]:
        """Everybody's."""
        banks = [bank.weather for bank in self.banks.values()]
        return [self.weather, self.database.weather, self.fraud.weather, *banks]

    def _strike(self, kind: str) -> None:
        """One fault; it ends by itself."""
        weather, chance = self.weather, self.weather.chance
        weather.counts[kind] += 1
        length = chance.choice(LENGTHS_S) * chance.random()
        number = chance.randrange(self.shape.workers)
        bank = self.banks[weather.one_of(self.shape.banks)]
        self.trace.note("storm", kind, bank.name, number, f"{length:.3f}")
        if kind == "worker_stopped":
            self.nodes[number].stop()
        elif kind.startswith("worker"):
            node = self.nodes[number]
            hit = self._kill if kind == "worker_killed" else self._pause
            node.at_fuse = partial(hit, number, node, length)
            node.fuse = node.fuse or chance.choice(FUSES)
        elif kind == "db_restarted":
            self._restart_database()
        elif kind == "db_away":
            self._restart_database()
            self._flag(self.database, "is_away", min(length, AWAY_S_MAX))
        elif kind == "db_refuses_one":
            names = list(self.database.rows.payments)
            self.database.refused = weather.one_of(names) if names else None
            self.loop.later(min(length, AWAY_S_MAX), partial(setattr, self.database, "refused", None))
        elif kind == "bank_drained":
            if not self.database.is_away:
                self.operators.drain(bank.name)
                self.loop.later(length * 10, partial(self.operators.resume, bank.name))
        elif kind == "fraud_down":
            self._flag(self.fraud, "is_down", min(length, AWAY_S_MAX))
        else:
            self._flag(bank, f"is_{kind.removeprefix('bank_')}", length * 10)

    def _restart_database(self) -> None:
        self.database.restart()
        self.operators.wake()

    def _kill(self, number: int, node: Node, length: float) -> None:
        if not node.is_dead:
            self.trace.note(node.name, "killed")
            self.loop.kill(node)
            self.loop.later(length, partial(self._restart, number, node))

    def _restart(self, number: int, node: Node) -> None:
        if self.nodes[number] is node:
            self.nodes[number] = self.start(number)

    def _pause(self, _: int, node: Node, length: float) -> None:
        self.trace.note(node.name, "paused")
        node.is_paused = True
        self.loop.later(length, partial(self.loop.resume, node))

    def _flag(self, owner: Any, name: str, length: float) -> None:
        setattr(owner, name, True)
        self.loop.later(length, partial(setattr, owner, name, False))
