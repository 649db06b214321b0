"""The daemon as a process: how it is asked to end, which clocks it reads, and that its memory stays its own.

The signals that ask it to end are blocked and waited for, not handled: there is no moment at which one could
be missed, or could interrupt half a step.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from datetime import UTC, datetime
from typing import Final

_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
# linux/prctl.h
_PR_SET_DUMPABLE: Final = 4


class Interrupted(Exception):
    """Somebody asked this process to end; raised between two steps, never within one."""


class Stopping:
    """Whether this process was asked to end.

    From its making on SIGTERM and SIGINT only take note; threads that start later inherit that.
    """

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        self._asked = False

    def wait(self, seconds: float) -> None:
        """Wait so long, or until asked to end."""
        if not self._asked and signal.sigtimedwait(_ENDING, max(0.0, seconds)) is not None:
            self._asked = True

    def check(self) -> None:
        """Go on unless asked to end.

        Raises:
            Interrupted: asked to end.
        """
        self.wait(0.0)
        if self._asked:
            raise Interrupted


def wall_clock() -> datetime:
    """Return now, UTC."""
    return datetime.now(UTC)


def steady_clock() -> float:
    """Return seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def keep_memory_private() -> None:
    """Turn core dumps off, and reading this process's memory by others of the same account.

    Raises:
        OSError: the kernel refuses; then the passphrase must not be read.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"core dumps cannot be turned off: {os.strerror(number)}")
