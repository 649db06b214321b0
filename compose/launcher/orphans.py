"""What a killed launcher left behind: wait for it, then end it.

The kernel signals the processes when their launcher dies; they may still be finishing. A process is touched
only if its pid and its start time are those on record, so that a stranger with a reused pid is left alone.
"""

from __future__ import annotations

import json
import os
import signal
import time

from compose.launcher.errors import StartError
from compose.launcher.layout import Layout
from compose.launcher.proc import started_at_ticks, state_of, with_descendants

LEAVE_S_MAX = 10.0  # As long as an orderly stop may take.
KILLED_S_MAX = 5.0  # A killed process is gone at once unless it hangs in the kernel.
_POLL_S = 0.02


def end_orphans(layout: Layout) -> list[str]:
    """Make sure that nothing of an earlier launcher runs any more; return the names that had to be killed.

    Raises:
        StartError: One cannot be ended.
    """
    try:
        rows = json.loads(layout.processes_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    alive = {}
    for row in rows:
        if _is_same(row["pid"], row["started_at_ticks"]):
            for pid in with_descendants(row["pid"]):
                alive[pid] = (row["name"], started_at_ticks(pid))
    _wait(alive, LEAVE_S_MAX)
    killed = sorted({name for name, _ in alive.values()})
    for pid, (name, _) in alive.items():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        except PermissionError as fault:
            raise StartError(
                f"{name} (pid {pid}) of an earlier run is still there: end it as its owner"
            ) from fault
    _wait(alive, KILLED_S_MAX)
    if alive:
        names = ", ".join(f"{name} (pid {pid})" for pid, (name, _) in alive.items())
        raise StartError(f"cannot end {names} of an earlier run: end them, then start again")
    layout.processes_file.unlink(missing_ok=True)
    return killed


def _is_same(pid: int, ticks: int | None) -> bool:
    return ticks is not None and started_at_ticks(pid) == ticks and state_of(pid) not in "XZ"


def _wait(alive: dict[int, tuple[str, int | None]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while alive and time.monotonic() < deadline:
        for pid in [pid for pid, (_, ticks) in alive.items() if not _is_same(pid, ticks)]:
            del alive[pid]
        if alive:
            time.sleep(_POLL_S)
