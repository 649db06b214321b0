"""Trying the steps of a pass: a fault is logged, counted and left alone for a while; none ends the daemon.

What the closed list of errors, the system and the parsers of certificates can say is such a fault. Anything
else is a mistake in the program: it ends the process, and its supervisor starts it again.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Final

from pki.daemon.journal import log
from pki.daemon.schedule import Attempts
from pki.errors import PKIError, TreeBusy, UnconfirmedConsumers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from pki.daemon.process import Stopping
    from pki.daemon.tally import Tally

# A damaged certificate makes its parser say ValueError; it must not keep the others from being looked at.
Fault = (PKIError, OSError, ValueError)
_DRAW_STEPS: Final = 1 << 20
SETTLE: Final = "settle"


def code_of(fault: Exception) -> str:
    """Return the stable code of a fault."""
    if isinstance(fault, PKIError):
        return fault.code
    return "os" if isinstance(fault, OSError) else "value"


def settling(name: str) -> str:
    """Return the key under which a workload's confirmation is left alone after it failed."""
    return f"{SETTLE} {name}"


class Steps:
    """The steps of all passes of one process."""

    def __init__(
        self,
        tally: Tally,
        stopping: Stopping,
        *,
        wall: Callable[[], datetime],
        steady: Callable[[], float],
    ) -> None:
        self._tally = tally
        self._stopping = stopping
        self._wall, self._steady = wall, steady
        self._attempts = Attempts()
        self._said: dict[str, object] = {}
        self.met_busy = False
        self.acted = False

    def try_step(
        self, step: str, action: Callable[[], object], keys: Collection[str] = ()
    ) -> Exception | None:
        """Carry out one step, unless it failed a short while ago.

        Args:
            step: its name in metrics and log.
            action: raises what went wrong.
            keys: what is left alone after a failure, each for itself; the step as a whole if there is none.

        Returns:
            The fault, if there was one; a tree that is busy is none.

        Raises:
            Interrupted: this process was asked to end.
        """
        self._stopping.check()
        keys = keys or (step,)
        if not any(self._attempts.may(key, self._steady()) for key in keys):
            return None
        try:
            action()
        except TreeBusy as fault:
            self.met_busy = True
            self._tally.busy += 1
            log(logging.INFO, "another command is at work; trying again soon", step=step, reason=str(fault))
            return None
        except Fault as fault:
            self.note(step, fault, keys)
            return fault
        for key in keys:
            self._attempts.succeeded(key)
        self._tally.succeeded_at[step] = self._wall()
        return None

    def note(self, step: str, fault: Exception, keys: Collection[str] = ()) -> None:
        """Log and count a fault, and leave alone what it was about."""
        code = code_of(fault)
        self._tally.failures[code] += 1
        self._tally.failed_at[step] = self._wall()
        self._tally.faults.append((code, str(fault)))
        blamed = set(keys)
        if isinstance(fault, UnconfirmedConsumers):
            # They were waited for just now, with the lock held: the next to wait for them comes later.
            named = {settling(entry.name) for entry in fault.unconfirmed}
            for key in blamed - named if step == SETTLE else ():
                self._attempts.succeeded(key)
            blamed = named if step == SETTLE else blamed | named
        draw = secrets.randbelow(_DRAW_STEPS) / _DRAW_STEPS
        waits = [self._attempts.failed(key, self._steady(), draw) for key in blamed]
        log(
            logging.ERROR,
            "a step failed",
            step=step,
            code=code,
            reason=str(fault),
            again_in_s=round(max(waits, default=0.0), 1),
        )

    def may(self, key: str) -> bool:
        """Say whether something that failed may be tried again."""
        return self._attempts.may(key, self._steady())

    def forget(self, key: str) -> None:
        """Forget the failures of something that is in order now."""
        self._attempts.succeeded(key)

    def next_s(self) -> float | None:
        """Return the seconds until the first of what failed may be tried again; None if nothing waits."""
        return self._attempts.next_s(self._steady())

    def say(self, key: str, state: object, level: int, sentence: str, /, **fields: str | float) -> None:
        """Log something that lasts once, when it begins or changes; a state that is false is not logged."""
        if self._said.get(key) != state:
            self._said[key] = state
            if state:
                log(level, sentence, **fields)
