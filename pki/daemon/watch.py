"""The daemon's loop: pass after pass until asked to end, each followed by the metrics of what it found."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pki.daemon.journal import log
from pki.daemon.passes import Passes
from pki.daemon.process import Interrupted, Stopping
from pki.daemon.schedule import BUSY_S, LOOK_S_MIN, leaf_renewal_at, list_renewal_at, next_look_s
from pki.daemon.setting import WatchSetting
from pki.status import Level, judge, worst

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from pki.daemon.metrics import AuthorityMetrics
    from pki.daemon.tally import Tally

# The launcher writes the deployment once everything has its place; a look at a file name costs nothing.
DEPLOYMENT_LOOK_S: Final = 0.5
EXIT_BLOCKED: Final = 5


class Watch:
    """Watches over one tree."""

    def __init__(
        self,
        setting: WatchSetting,
        tally: Tally,
        stopping: Stopping,
        *,
        metrics: AuthorityMetrics,
        metrics_file: Path | None,
    ) -> None:
        self._setting = setting
        self._tally = tally
        self._stopping = stopping
        self._metrics, self._metrics_file = metrics, metrics_file
        self._passes = Passes(setting, tally, stopping)

    def run(self) -> None:
        """Go on until asked to end; returns within a second of that, unless a step is being carried out."""
        try:
            self._await_deployment()
            while True:
                self._passes.run()
                self._write_metrics()
                self._stopping.wait(self._next_look_s())
                self._stopping.check()
        except Interrupted:
            log(logging.INFO, "asked to end")

    def once(self) -> int:
        """Make a single pass; return the exit code that stands for what is left."""
        try:
            self._passes.run()
        except Interrupted:
            log(logging.INFO, "asked to end")
            return 1
        self._write_metrics()
        return self._exit_code()

    def _await_deployment(self) -> None:
        if not self._setting.deployment_file.exists():
            file = str(self._setting.deployment_file)
            log(logging.INFO, "waiting for the deployment's description, which ./start writes", file=file)
        while not self._setting.deployment_file.exists():
            self._stopping.wait(DEPLOYMENT_LOOK_S)
            self._stopping.check()

    def _write_metrics(self) -> None:
        if self._metrics_file is None:
            return
        try:
            self._metrics.write(self._metrics_file)
        except OSError as fault:
            self._passes.steps.note("metrics", fault)

    def _next_look_s(self) -> float:
        if self._passes.steps.met_busy:
            return BUSY_S
        wait = next_look_s(self._moments(), self._setting.wall())
        again = self._passes.steps.next_s()
        return wait if again is None else max(LOOK_S_MIN, min(wait, again))

    def _moments(self) -> Iterator[datetime]:
        inventory = self._tally.inventory
        if inventory is None:
            return
        for leaf in inventory.leaves:
            if leaf.certificate is not None:
                yield leaf_renewal_at(leaf.certificate)
        for record in inventory.authorities:
            if record.listed and record.crl is not None:
                moment = list_renewal_at(record.crl, record.authority)
                if moment is not None:
                    yield moment

    def _exit_code(self) -> int:
        inventory = self._tally.inventory
        if self._tally.unconfirmed:
            return EXIT_BLOCKED
        level = Level.CRITICAL if inventory is None else worst(judge(inventory, self._setting.wall()))
        if level is Level.CRITICAL:
            return level
        return 1 if self._tally.faults else level
