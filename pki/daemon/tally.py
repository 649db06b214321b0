"""What the daemon has seen and done: what the metrics are made of, and the exit code of a single pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pki.inventory import Inventory


@dataclass(slots=True)
class Tally:
    """Grows from pass to pass; counters begin at 0 with each start.

    Attributes:
        passes: finished passes.
        busy: passes that met another command at work.
        failures: by code of `pki.errors`, or `os` and `value` for the system's and a library's.
        succeeded_at: last success of each step, UTC.
        failed_at: last failure of each step, UTC.
        passed_at: end of the last pass, UTC.
        inventory: as the last pass found it, or left it; None before the first one that could read it.
        unconfirmed: workloads whose consumers do not use what the files say.
        policy_holds: the policy could be read.
        clock_jumps: how many were seen.
        clock_jump_s: size of the last one, seconds.
        clock_stable: the clock may be signed by.
        faults: of the last pass, as (code, sentence).
    """

    passes: int = 0
    busy: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    succeeded_at: dict[str, datetime] = field(default_factory=dict)
    failed_at: dict[str, datetime] = field(default_factory=dict)
    passed_at: datetime | None = None
    inventory: Inventory | None = None
    unconfirmed: tuple[str, ...] = ()
    policy_holds: bool = True
    clock_jumps: int = 0
    clock_jump_s: float = 0.0
    clock_stable: bool = True
    faults: list[tuple[str, str]] = field(default_factory=list)
