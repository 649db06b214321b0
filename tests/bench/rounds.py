"""Measure contenders against each other in short turns, so that a noisy host disturbs all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

ROUNDS_MIN: Final = 20  # below this a percentile says nothing, however slow the host

METHOD: Final = (
    "CPU time of this process (time.process_time_ns), one thread, no garbage collection inside a turn.",
    "Contenders take short turns in rounds, in reverse order every second round; a time is the median of all",
    "rounds, a ratio is formed within each round, and its median, 10th and 90th percentile are shown.",
)


@dataclass(slots=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: as shown in the table.
        turn: does the operation `operations` times; raises if one of them fails.
        operations: how often.
        turn_ns: per operation, for each round so far.
    """

    name: str
    turn: Callable[[], None]
    operations: int
    turn_ns: list[float] = field(default_factory=list)

    def median_ns(self) -> float:
        """Return the median over all rounds, in nanoseconds for one operation."""
        return statistics.median(self.turn_ns)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many operations one contender does while another does one: the spread over all rounds."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f} {self.high:.3f}]"


def run_rounds(races: list[list[Contender]], *, seconds: float) -> int:
    """Let each race's contenders take turns, race after race, until the time is up.

    Args:
        races: contenders that are compared with each other stand in one race.
        seconds: wall-clock time; at least `ROUNDS_MIN` rounds are made.

    Returns:
        How many rounds were made.
    """
    for contender in (contender for race in races for contender in race):
        contender.turn()
    end = time.monotonic() + seconds
    rounds = 0
    gc.collect()
    gc.disable()
    try:
        while rounds < ROUNDS_MIN or time.monotonic() < end:
            for race in races:
                for contender in reversed(race) if rounds % 2 else race:
                    _time(contender)
            rounds += 1
            gc.collect()
    finally:
        gc.enable()
    return rounds


def ratio(contender: Contender, reference: Contender) -> Ratio:
    """Return the contender's operations per second over the reference's, formed round by round."""
    ratios = [theirs / ours for ours, theirs in zip(contender.turn_ns, reference.turn_ns, strict=True)]
    tenths = statistics.quantiles(ratios, n=10)
    return Ratio(tenths[0], statistics.median(ratios), tenths[-1])


def _time(contender: Contender) -> None:
    turn = contender.turn
    begin_ns = time.process_time_ns()
    turn()
    contender.turn_ns.append((time.process_time_ns() - begin_ns) / contender.operations)
