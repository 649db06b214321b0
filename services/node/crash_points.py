"""Places where a process can be made to die, so that a test can kill it there a hundred times.

`reach("payments.turn_committed")` does nothing unless this process was armed for that very point. It is armed
only when it starts, by a file in its own state directory that belongs to its own account and is closed to
everybody else: whoever can write that could send it SIGKILL as well, so the file gives nobody anything.
The file is removed before it is obeyed: one file, one death, never a loop. No part of the product writes one.
A point's name is written once, where it is reached, and begins with the name of the process.
"""

from __future__ import annotations

import os
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.node.logs import get_log

ARMING_FILE: Final = "crash-point"
# `<point> <pid>`, written just before death, so that a test can tell this death from any other.
REACHED_FILE: Final = "crash-points-reached"
ARMING_BYTES_MAX: Final = 128  # A name and a number.
_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_log = get_log("crash_points")


@dataclass(slots=True)
class _Armed:
    """The point to die at, and how many more times it is passed before that."""

    point: str
    left: int
    reached_file: Path


_armed: _Armed | None = None


def reach(point: str) -> None:
    """Die here, by SIGKILL, if this process is armed for this point and has passed it often enough."""
    if _armed is not None and _armed.point == point:
        _pass(_armed)


def arm(state_dir: Path) -> None:
    """Take the arming file `<point> <k>`, if there is one: the k-th time the point is reached is the last.

    Anything about it that is not exactly as it must be leaves the process unarmed, and is logged.
    """
    global _armed  # noqa: PLW0603 - a process dies once, as a whole.
    _armed = None
    file = state_dir / ARMING_FILE
    try:
        text = _take(file)
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as fault:
        _log.error("the file that would arm a crash point was refused", file=str(file), fault=str(fault))
        return
    point, _, count = text.strip().partition(" ")
    if not point or not (count.isascii() and count.isdigit()) or int(count) < 1:
        _log.error("the file that would arm a crash point was refused", file=str(file), fault="its text")
        return
    _log.warning("this process will kill itself", point=point, reach=int(count))
    _armed = _Armed(point, int(count), state_dir / REACHED_FILE)


def _take(file: Path) -> str:
    """Read and remove the file.

    Raises:
        OSError: it is not there, is no plain file, or others could have written it.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found, folder = os.fstat(descriptor), file.parent.stat()
        text = os.read(descriptor, ARMING_BYTES_MAX)
        file.unlink()
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise PermissionError(f"{file} is not a plain file")
    for entry in (found, folder):
        if entry.st_uid != os.geteuid() or entry.st_mode & _OPEN_TO_OTHERS:
            raise PermissionError(f"{file} or its directory is not this account's alone")
    return text.decode("ascii")


def _pass(armed: _Armed) -> None:
    armed.left -= 1
    if armed.left > 0:
        return
    with armed.reached_file.open("a", encoding="ascii") as reached:
        reached.write(f"{armed.point} {os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)
