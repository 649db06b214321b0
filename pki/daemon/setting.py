"""What the daemon works on and with: handed to it by its command, or by a test with clocks of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from pki.custody.contract import Keeper
    from pki.daemon.telemetry import EventLog


@dataclass(frozen=True, slots=True)
class WatchSetting:
    """What the daemon works on and with.

    Attributes:
        certs: the tree.
        deployment_file: what runs where; read anew in each pass.
        policy_file: the reviewed policy; read anew in each pass.
        issuing: opens intermediates.
        command: for the ledger.
        events: where events go; None for nowhere.
        jittered: each leaf at its own moment; else at half of its life.
        wall: now, UTC.
        steady: seconds of a clock that nobody sets.
    """

    certs: Path
    deployment_file: Path
    policy_file: Path
    issuing: Keeper
    command: str
    events: EventLog | None
    jittered: bool
    wall: Callable[[], datetime]
    steady: Callable[[], float]
