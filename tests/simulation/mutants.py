"""Planted bugs: what the simulation must find. Each is put into the running code for one world only.

A mutant is a context manager that patches the machine, the shell or the record; product code has no switch
for any of them. The lists are in `mutants_of_*`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from services.payments.machine import turn

PatchMaker = Callable[[], AbstractContextManager[Any]]

_PARTS = ("banks", "money", "people", "record", "routing", "settlement", "shell")


@dataclass(frozen=True)
class Mutant:
    """One planted bug.

    Attributes:
        bug: What is wrong, in one sentence.
        plant: Makes the patch.
    """

    name: str
    bug: str
    plant: PatchMaker


_MUTANTS: dict[str, Mutant] = {}


def mutant(bug: str) -> Callable[[PatchMaker], PatchMaker]:
    """Register a patch under its function's name."""

    def register(plant: PatchMaker) -> PatchMaker:
        name = plant.__name__
        _MUTANTS[name] = Mutant(name, bug, plant)
        return plant

    return register


def decides(event: str, decider: Any) -> AbstractContextManager[Any]:
    """Patch the machine's decision about one class of events."""
    kind = next(each for each in turn._DECIDERS if each.__name__ == event)
    return patch.dict(turn._DECIDERS, {kind: decider})


@contextmanager
def together(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    """Several patches for one bug."""
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def all_mutants() -> dict[str, Mutant]:
    """Every planted bug by its name, in the order of the lists."""
    for part in _PARTS:
        importlib.import_module(f"tests.simulation.mutants_of_{part}")
    return _MUTANTS
