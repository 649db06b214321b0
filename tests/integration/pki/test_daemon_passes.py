"""Passes over a real tree with clocks of the tests: a clock that jumps, a rotation that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pki.certificate_files import CertificateTree
from pki.daemon.clock import STABLE_S
from pki.daemon.metrics import AuthorityMetrics
from pki.daemon.passes import Passes
from pki.daemon.process import Stopping
from pki.daemon.setting import WatchSetting
from pki.daemon.tally import Tally
from pki.daemon.telemetry import open_event_log
from pki.inventory import require_state
from pki.recorded_signing import attribution
from pki.rotation.engine import RotationSetting, Rotator
from pki.rotation.offline_fleet import OfflineFleet
from tests.integration.pki.conftest import KEEPER
from tests.integration.pki.daemon_process import place, roles
from tests.integration.pki.following_listener import serial_of
from tests.integration.pki.test_daemon_process import samples

NAMES = ("gateway", "pki")


class NeverAsked(Stopping):
    """The test's own process must go on taking signals."""

    def __init__(self) -> None:
        self._asked = False


@dataclass
class Clocks:
    wall: datetime
    steady: float = 1000.0

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds


@dataclass
class Watched:
    certs: Path
    clocks: Clocks
    tally: Tally
    passes: Passes
    events: Path

    def serial(self) -> str:
        return serial_of(self.certs / "live/gateway/current")

    def damage(self) -> str:
        """Make a leaf due; return its serial."""
        (self.certs / "live/gateway/current/trust.pem").write_bytes(b"")
        return self.serial()


@pytest.fixture
def watched(tmp_path: Path, make_authority: Callable[..., Any]) -> Watched:
    certs = tmp_path / "certs"
    make_authority(certs, *NAMES)
    there = place(tmp_path, certs, roles(*NAMES))
    clocks, tally, events = Clocks(datetime.now(UTC)), Tally(), tmp_path / "events.jsonl"
    own = certs / "live/pki/current"
    log = open_event_log(file=events, endpoint=None, own=own, collector="", trust_domain="of.tests")
    setting = WatchSetting(
        certs, there.deployment, there.policy, KEEPER, "daemon", log, True,
        wall=lambda: clocks.wall, steady=lambda: clocks.steady,
    )  # fmt: skip
    return Watched(certs, clocks, tally, Passes(setting, tally, NeverAsked()), events)


@pytest.mark.parametrize("jump_s", [3600.0, 400 * 86400.0])
def test_nothing_is_signed_after_a_jump_until_the_clock_was_left_alone(
    watched: Watched, jump_s: float, tmp_path: Path
) -> None:
    watched.passes.run()
    before = watched.damage()
    watched.clocks.advance(60)
    watched.clocks.wall += timedelta(seconds=jump_s)
    watched.passes.run()
    jumped = watched.serial()
    metrics = tmp_path / "pki.prom"
    AuthorityMetrics(watched.tally).write(metrics)
    watched.clocks.wall -= timedelta(seconds=jump_s)
    watched.passes.run()
    watched.clocks.advance(STABLE_S - 1)
    watched.passes.run()
    waiting = watched.serial()
    watched.clocks.advance(1)
    watched.passes.run()

    assert [before, before] == [jumped, waiting]
    assert before != watched.serial()
    assert 0.0 == samples(metrics)["countermark_pki_clock_stable",]
    assert jump_s == pytest.approx(samples(metrics)["countermark_pki_clock_last_jump_seconds",], abs=1)
    assert (2, True) == (watched.tally.clock_jumps, watched.tally.clock_stable)


def test_a_leaf_is_renewed_at_its_own_moment_about_half_of_its_life(watched: Watched) -> None:
    found = [watched.serial()]
    for _ in range(7 * 24 // 6):  # lists are signed anew every six hours, and leaves are not because of that
        watched.clocks.advance(timedelta(hours=6).total_seconds())
        watched.passes.run()
        found.append(watched.serial())
        assert [] == watched.tally.faults
    first = found.count(found[0]) - 1

    assert 0.45 * 28 - 1 <= first <= 0.55 * 28
    assert found[first + 1] != found[0]
    assert len(set(found)) in (2, 3)


class Stopped(Exception):
    """Raised where a rotation is to be left standing."""


def test_a_rotation_that_stands_still_is_reported_and_not_resumed(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched.passes.run()

    def stop(stage: str, _: str) -> None:
        if stage == "issue-new":
            raise Stopped

    by = attribution("rotate intermediate", "none")
    setting = RotationSetting(
        watched.certs, KEEPER, OfflineFleet("a test"), lambda _: {}, lambda: watched.clocks.wall, by, stop
    )
    with pytest.raises(Stopped):
        Rotator(setting).rotate_intermediate(KEEPER)
    standing = require_state(CertificateTree(watched.certs))
    caplog.set_level("INFO")
    watched.passes.run()
    watched.clocks.advance(1000)
    watched.passes.run()
    watched.passes.run()
    metrics = tmp_path / "pki.prom"
    AuthorityMetrics(watched.tally).write(metrics)
    began = datetime.fromisoformat(standing.rotation.began if standing.rotation else "")
    told = [json.loads(line)["event_name"] for line in watched.events.read_text().splitlines()]

    assert standing == require_state(CertificateTree(watched.certs))
    still = "a rotation stands still; an operator must resume it or go back"
    assert 1 == [record.message for record in caplog.records].count(still)
    place_of_it = ("intermediate", "issue-new")
    since = samples(metrics)["countermark_pki_rotation_since_timestamp_seconds", *place_of_it]
    assert began.timestamp() == pytest.approx(since, abs=1)
    assert {"countermark.pki.rotation_began", "countermark.pki.rotation_stage"} <= set(told)
    # What the state says now is not the same as going on: leaves that do not fit it are renewed.
    assert "countermark.pki.leaf_rotated" in told
    Rotator(RotationSetting(
        watched.certs, KEEPER, OfflineFleet("a test"), lambda _: {}, lambda: watched.clocks.wall, by,
    )).resume()  # fmt: skip
    watched.passes.run()
    assert None is require_state(CertificateTree(watched.certs)).rotation


def test_a_fault_is_counted_left_alone_and_mended_without_a_restart(watched: Watched) -> None:
    ledger = watched.certs / "ledger.jsonl"
    whole = ledger.read_bytes()
    before = watched.damage()
    ledger.write_bytes(whole.replace(b"issued", b"Issued", 1))
    for _ in range(3):
        watched.passes.run()  # twice in a row within the backoff: tried once
    failures = dict(watched.tally.failures)
    ledger.write_bytes(whole)
    watched.clocks.advance(10)
    watched.passes.run()

    assert {"ledger": 1} == failures
    assert before != watched.serial()
    assert [] == watched.tally.faults
