"""Arm a process of a running stack for one crash point, as the root or the account that started the stack."""

from __future__ import annotations

import os
from pathlib import Path

from compose.launcher.stack import Stack
from services.node.crash_points import ARMING_FILE, REACHED_FILE
from tests.faults.more_workers import service_of


def arm_next_life(stack: Stack, process: str, point: str, count: int) -> None:
    """Let the process that is started next die at a point, the count-th time that it gets there."""
    folder = _state(stack, process)
    aside = folder / f"{ARMING_FILE}.new"
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{point} {count}\n")
        if os.geteuid() == 0:
            account = stack.accounts[service_of(process)]
            os.fchown(file.fileno(), account.uid, account.gid)
    aside.rename(folder / ARMING_FILE)


def is_taken(stack: Stack, process: str) -> bool:
    """Whether the process that runs now has read what was written for it."""
    return not (_state(stack, process) / ARMING_FILE).exists()


def disarm(stack: Stack, process: str) -> None:
    """Leave nothing for the next life."""
    (_state(stack, process) / ARMING_FILE).unlink(missing_ok=True)


def deaths_at(stack: Stack, process: str, point: str) -> list[int]:
    """Who died at a point, by their own word: process ids, oldest first."""
    file = _state(stack, process) / REACHED_FILE
    if not file.exists():
        return []
    lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    return [int(pid) for name, pid in lines if name == point]


def _state(stack: Stack, process: str) -> Path:
    return stack.layout.state / process
