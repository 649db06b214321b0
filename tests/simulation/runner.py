"""Runs many worlds, in several processes, and adds up what they were."""

from __future__ import annotations

import gc
import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field

import structlog

from tests.simulation.loop import nothing_real
from tests.simulation.mutants import all_mutants
from tests.simulation.world import Result, World

# Seeds of one errand of a process: a second or so, so that a violation ends a run soon.
CHUNK = 25
# Every planted bug must be found within so many seeds.
MUTANT_SEEDS_MAX = 1_000


@dataclass
class Total:
    """The sum of many worlds."""

    seeds: int = 0
    payments: int = 0
    commits: int = 0
    calls: int = 0
    events: int = 0
    virtual_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.seeds += 1
        self.payments += result.payments
        self.commits += result.commits
        self.calls += result.calls
        self.events += result.events
        self.virtual_s += result.virtual_s
        self.faults += result.faults
        if result.violations:
            self.broken.append(result)


def run_world(seed: int, mutant: str | None = None, *, is_loud: bool = False) -> Result:
    """Live through one world, with a planted bug or without."""
    with nothing_real(), nullcontext() if mutant is None else all_mutants()[mutant].plant():
        return World(seed, is_loud=is_loud).run()


def run_seeds(first: int, seeds: int, jobs: int) -> Iterator[Result]:
    """Live through many worlds; results come as they are ready."""
    chunks = [
        (None, start, min(CHUNK, first + seeds - start)) for start in range(first, first + seeds, CHUNK)
    ]
    if jobs == 1:
        hush()
        for chunk in chunks:
            yield from _run_chunk(chunk)
        return
    with _processes(jobs) as pool:
        for ready in as_completed([pool.submit(_run_chunk, chunk) for chunk in chunks]):
            yield from ready.result()


def find_mutants(names: list[str], first: int, jobs: int) -> Iterator[tuple[str, int, Result | None]]:
    """Look for each planted bug from the first seed on: name, seeds tried, the world that showed it."""
    errands = [(name, first) for name in names]
    if jobs == 1:
        hush()
        yield from map(_find, errands)
        return
    with _processes(jobs) as pool:
        for ready in as_completed([pool.submit(_find, errand) for errand in errands]):
            yield ready.result()


def _processes(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=hush)


def hush() -> None:
    """No logs of a million worlds; no pauses for garbage but between worlds."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.disable()


def _run_chunk(chunk: tuple[str | None, int, int]) -> list[Result]:
    mutant, first, seeds = chunk
    results = [run_world(seed, mutant) for seed in range(first, first + seeds)]
    gc.collect()
    return results


def _find(errand: tuple[str, int]) -> tuple[str, int, Result | None]:
    name, first = errand
    for tried in range(1, MUTANT_SEEDS_MAX + 1):
        result = run_world(first + tried - 1, name)
        if result.violations:
            return name, tried, result
        if tried % CHUNK == 0:
            gc.collect()
    return name, MUTANT_SEEDS_MAX, None
