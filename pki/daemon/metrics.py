"""The authority's state as Prometheus metrics, written to a text file that node-exporter collects.

Everything but counters is read from the last inventory, so a workload that is gone leaves no number behind.
Times are seconds since the epoch. The alert rules beside this file use these names.
"""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from pki.ledger import VerifiedLedger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from pki.daemon.tally import Tally
    from pki.inventory import AuthorityRecord, Inventory

PREFIX: Final = "countermark_pki"


class AuthorityMetrics(Collector):
    """Collects from a tally; see `write`."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def write(self, path: Path) -> None:
        """Replace the file in one step, readable by every account: node-exporter has one of its own.

        Raises:
            OSError: it cannot be written.
        """
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
                file.write(generate_latest(self._registry))
                os.fchmod(file.fileno(), 0o644)  # whatever the umask is
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise

    def collect(self) -> Iterator[Metric]:
        """Yield every family, also those without a sample: an alert can name them from the first pass on."""
        inventory = self._tally.inventory
        yield from _certificates(inventory)
        yield from _lists(inventory)
        yield from _rotation(inventory)
        yield from _ledger(inventory)
        yield from self._work()
        yield from self._clock()

    def _work(self) -> Iterator[Metric]:
        tally = self._tally
        passes = CounterMetricFamily(f"{PREFIX}_passes", "Finished passes of the daemon.")
        passes.add_metric([], tally.passes)
        busy = CounterMetricFamily(f"{PREFIX}_busy", "Passes that met another command at work.")
        busy.add_metric([], tally.busy)
        failures = CounterMetricFamily(f"{PREFIX}_failures", "Failed steps, by code.", labels=["code"])
        for code, count in sorted(tally.failures.items()):
            failures.add_metric([code], count)
        passed = _gauge("last_pass_timestamp_seconds", "End of the last pass.")
        if tally.passed_at is not None:
            passed.add_metric([], tally.passed_at.timestamp())
        yield from (passes, busy, failures, passed)
        for what, times in (("success", tally.succeeded_at), ("failure", tally.failed_at)):
            family = _gauge(f"last_{what}_timestamp_seconds", f"Last {what} of each step.", "step")
            for step, at in sorted(times.items()):
                family.add_metric([step], at.timestamp())
            yield family
        unconfirmed = _gauge(
            "consumer_unconfirmed", "1 for a workload whose consumer does not use its files.", "workload"
        )
        for name in tally.unconfirmed:
            unconfirmed.add_metric([name], 1)
        policy = _gauge("policy_holds", "1 if the reviewed policy could be read; else nothing is issued.")
        policy.add_metric([], int(tally.policy_holds))
        yield from (unconfirmed, policy)

    def _clock(self) -> Iterator[Metric]:
        tally = self._tally
        jumps = CounterMetricFamily(f"{PREFIX}_clock_jumps", "Jumps of the wall clock.")
        jumps.add_metric([], tally.clock_jumps)
        size = _gauge("clock_last_jump_seconds", "Size of the last jump; negative if the clock went back.")
        size.add_metric([], tally.clock_jump_s)
        stable = _gauge("clock_stable", "1 if the clock may be signed by; else nothing is signed.")
        stable.add_metric([], int(tally.clock_stable))
        yield from (jumps, size, stable)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", documentation, labels=labels)


def _certificates(inventory: Inventory | None) -> Iterator[Metric]:
    begin = _gauge("certificate_not_before_timestamp_seconds", "Begin of validity.", "name", "role")
    end = _gauge("certificate_not_after_timestamp_seconds", "End of validity.", "name", "role")
    faulty = _gauge(
        "certificate_faulty", "1 for a workload whose certificate is missing or does not fit.", "name"
    )
    if inventory is not None:
        rows = [
            (record.authority, record.authority.partition("-")[0], record.certificate)
            for record in inventory.authorities
            if record.trusted or record.listed
        ]
        rows += [(leaf.name, "leaf", leaf.certificate) for leaf in inventory.leaves if leaf.certificate]
        for name, role, certificate in rows:
            begin.add_metric([name, role], certificate.not_valid_before_utc.timestamp())
            end.add_metric([name, role], certificate.not_valid_after_utc.timestamp())
        for leaf in inventory.leaves:
            faulty.add_metric([leaf.name], int(bool(leaf.faults) or leaf.certificate is None))
    yield from (begin, end, faulty)


def _lists(inventory: Inventory | None) -> Iterator[Metric]:
    begin = _gauge("list_this_update_timestamp_seconds", "Begin of a revocation list.", "authority")
    end = _gauge("list_next_update_timestamp_seconds", "End of a revocation list.", "authority")
    missing = _gauge("list_missing", "1 for an authority without a revocation list.", "authority")
    for record in () if inventory is None else inventory.authorities:
        if not record.listed:
            continue
        missing.add_metric([record.authority], int(_list_end(record) is None))
        at = _list_end(record)
        if record.crl is not None and at is not None:
            begin.add_metric([record.authority], record.crl.last_update_utc.timestamp())
            end.add_metric([record.authority], at.timestamp())
    yield from (begin, end, missing)


def _list_end(record: AuthorityRecord) -> datetime | None:
    return None if record.crl is None else record.crl.next_update_utc


def _rotation(inventory: Inventory | None) -> Iterator[Metric]:
    since = _gauge("rotation_since_timestamp_seconds", "Begin of a rotation under way.", "kind", "stage")
    stage = _gauge("rotation_stage_since_timestamp_seconds", "Begin of its stage.", "kind", "stage")
    if inventory is not None and inventory.rotation is not None:
        rotation = inventory.rotation
        began = datetime.fromisoformat(rotation.began)
        since.add_metric([rotation.kind, rotation.stage], began.timestamp())
        at = stage_since(inventory)
        stage.add_metric([rotation.kind, rotation.stage], (at or began).timestamp())
    yield from (since, stage)


def stage_since(inventory: Inventory) -> datetime | None:
    """Return when the rotation under way last moved, UTC, by the ledger; None if that does not say."""
    if isinstance(inventory.ledger, str):
        return None
    moves = [line for line in inventory.ledger.entries if str(line["event"]).startswith("rotation-")]
    return datetime.fromisoformat(str(moves[-1]["ts"])) if moves else None


def _ledger(inventory: Inventory | None) -> Iterator[Metric]:
    lines = _gauge("ledger_lines", "Lines of the ledger.")
    last = _gauge("ledger_last_seq", "Sequence number of its last line.")
    intact = _gauge("ledger_intact", "1 if the ledger's chain verifies.")
    if inventory is not None:
        ledger = inventory.ledger
        intact.add_metric([], int(isinstance(ledger, VerifiedLedger)))
        if isinstance(ledger, VerifiedLedger):
            lines.add_metric([], len(ledger.entries))
            last.add_metric([], ledger.head.seq)
    yield from (lines, last, intact)
