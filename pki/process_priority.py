"""Giving way: a rotation has time, a payment has not."""

from __future__ import annotations

import os

# A tenth of the processor's share beside processes of usual priority.
NICENESS = 10


def give_way() -> None:
    """Lower this process's priority, for good; safe to call again."""
    os.nice(max(0, NICENESS - os.nice(0)))
