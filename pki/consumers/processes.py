"""Signals to processes of the deployment, which the supervisor recorded by id and start.

A process id is used again by the kernel; the start tells its owners apart. The process is held by a file
descriptor between the comparison and the signal, so a stranger with a reused id cannot be hit.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from pki.errors import ConsumerAway

# Place of `starttime` among the fields after the name in parentheses, proc_pid_stat(5).
_STARTED_AT = 19


def send_signal(processes_file: Path, name: str, number: signal.Signals) -> None:
    """Send a signal to the process of that name.

    Args:
        processes_file: the supervisor's record, `[{"name", "pid", "started_at_ticks"}]`.

    Raises:
        ConsumerAway: it is not recorded, has ended or was replaced, or may not be signalled by us.
    """
    pid, started = _recorded(processes_file, name)
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as fault:
        raise ConsumerAway(f"{name} has ended: its supervisor starts it again, try then") from fault
    try:
        if _started_at_ticks(pid) != started:
            raise ConsumerAway(f"{name} was started again since it was recorded: try once more")
        signal.pidfd_send_signal(descriptor, number)
    except PermissionError as fault:
        raise ConsumerAway(
            f"{name} takes no signal from this account: run as root or as its owner"
        ) from fault
    except ProcessLookupError as fault:
        raise ConsumerAway(f"{name} has ended: its supervisor starts it again, try then") from fault
    finally:
        os.close(descriptor)


def _recorded(processes_file: Path, name: str) -> tuple[int, int]:
    try:
        rows = json.loads(processes_file.read_bytes())
        found = [(int(row["pid"]), int(row["started_at_ticks"])) for row in rows if row["name"] == name]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ConsumerAway(
            f"{processes_file} is no record of processes ({type(fault).__name__}): is the stack running?"
        ) from fault
    if len(found) != 1 or found[0][0] <= 1:
        raise ConsumerAway(f"{name} is not running according to {processes_file}: is the stack running?")
    return found[0]


def _started_at_ticks(pid: int) -> int | None:
    try:
        text = (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    return int(text.rpartition(")")[2].split()[_STARTED_AT])
