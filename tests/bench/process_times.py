"""CPU time of processes from /proc, by what they are for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Fields of /proc/<pid>/stat after the command's name, which may hold anything but ends with the last `)`.
_PARENT: Final = 1
_USER: Final = 11
_SYSTEM: Final = 12
_OF_ENDED_CHILDREN: Final = (13, 14)


@dataclass(frozen=True, slots=True)
class ProcessTime:
    """One process.

    Attributes:
        parent_id: Its parent.
        cpu_s: Of all its threads, so far.
        ended_s: Of its children that have ended.
    """

    parent_id: int
    cpu_s: float
    ended_s: float = 0.0


def parse_stat(text: str, ticks_per_s: int) -> ProcessTime:
    """Read one /proc/<pid>/stat (pure)."""
    fields = text.rpartition(")")[2].split()
    return ProcessTime(
        parent_id=int(fields[_PARENT]),
        cpu_s=(int(fields[_USER]) + int(fields[_SYSTEM])) / ticks_per_s,
        ended_s=sum(int(fields[place]) for place in _OF_ENDED_CHILDREN) / ticks_per_s,
    )


def all_processes() -> dict[int, ProcessTime]:
    """Every process of this machine by its id; one that ends meanwhile is left out."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = parse_stat((entry / "stat").read_text(), ticks_per_s)
            except OSError:
                continue
    return found


def with_children_s(processes: Mapping[int, ProcessTime], process_id: int) -> float:
    """CPU of a process and its children so far, those that have ended included (pure)."""
    parent = processes[process_id]
    living = [process.cpu_s for process in processes.values() if process.parent_id == process_id]
    return parent.cpu_s + parent.ended_s + sum(living)


def used_s(
    groups: Mapping[str, Iterable[int]], before: Mapping[int, ProcessTime], after: Mapping[int, ProcessTime]
) -> dict[str, float]:
    """CPU seconds between two looks by group; a process that came between counts whole (pure)."""
    return {
        name: sum(
            after[process_id].cpu_s - (before[process_id].cpu_s if process_id in before else 0.0)
            for process_id in process_ids
            if process_id in after
        )
        for name, process_ids in groups.items()
    }
