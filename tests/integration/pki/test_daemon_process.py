"""The daemon as a real process: it renews what has expired, survives kills, and says what it cannot do."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pki.certificate_files import CertificateTree
from pki.inventory import take_inventory
from pki.status import Level, judge, worst
from tests.integration.pki.daemon_process import (
    EVENT_S_MAX,
    NAMES,
    Place,
    copy,
    expired_tree,
    place,
    policy_of_the_tests,
    roles,
    write_deployment,
)
from tests.integration.pki.following_listener import FollowingListener, following_listener, serial_of

# Each start of an interpreter with its scrypt takes a second here; the moments that matter are named.
KILLS_BY_CHANCE = 3
KILL_WITHIN_S = 0.5


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    certs = tmp_path_factory.mktemp("expired") / "certs"
    expired_tree(certs)
    return certs


@pytest.fixture
def where(expired: Path, tmp_path: Path) -> Iterator[tuple[Place, FollowingListener]]:
    """An expired tree with a real listener of one workload; the others are roles."""
    certs = copy(expired, tmp_path / "certs")
    with following_listener(certs, "gateway") as listener:
        others = roles(*(name for name in NAMES if name != "gateway"))
        yield place(tmp_path, certs, [listener.consumer(), *others]), listener


def level(certs: Path) -> Level:
    return worst(judge(take_inventory(CertificateTree(certs)), datetime.now(UTC)))


def generations(certs: Path) -> dict[str, int]:
    return {name: len(list((certs / "live" / name).glob("gen-*"))) for name in NAMES}


def serials(certs: Path) -> dict[str, str]:
    return {name: serial_of(certs / "live" / name / "current") for name in NAMES}


def samples(file: Path) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    families = text_string_to_metric_families(file.read_text())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_what_has_expired_is_renewed_and_seen_in_use(
    where: tuple[Place, FollowingListener], tmp_path: Path
) -> None:
    there, listener = where
    metrics = tmp_path / "pki.prom"
    before = serials(there.certs)
    assert level(there.certs) is Level.CRITICAL
    done = there.once("--metrics-file", str(metrics))

    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert level(there.certs) is Level.FINE
    assert not before.items() & serials(there.certs).items()
    assert serials(there.certs)["gateway"] == listener.report()["server"]["serial"]
    assert dict.fromkeys(NAMES, 1) == generations(there.certs)
    assert 0o644 == stat.S_IMODE(metrics.stat().st_mode)
    found = samples(metrics)
    leaves = {labels[1] for labels in found if labels[0].endswith("_faulty")}
    assert set(NAMES) == leaves
    assert 1.0 == found["countermark_pki_passes_total",]
    assert 1.0 == found["countermark_pki_policy_holds",]
    assert found["countermark_pki_ledger_lines",] == found["countermark_pki_ledger_last_seq",] > 10
    roles_seen = {labels[2] for labels in found if labels[0].endswith("not_after_timestamp_seconds")}
    assert {"root", "intermediate", "leaf"} == roles_seen
    assert not [labels for labels in found if labels[0].endswith("consumer_unconfirmed")]


def ledger_lines(certs: Path) -> int:
    return certs.joinpath("ledger.jsonl").read_bytes().count(b"\n")


def after(seconds: float) -> Callable[[], bool]:
    """A condition that holds so long after it was first asked."""
    begun: list[float] = []

    def reached() -> bool:
        begun.append(time.monotonic())
        return begun[-1] - begun[0] > seconds

    return reached


def moments(certs: Path) -> Iterator[Callable[[], bool]]:
    """Conditions from which on the daemon is killed: after each of its commits, and within publishing."""
    begun = ledger_lines(certs)
    # The list's intent and result, then the leaves' intents, then their results.
    for lines in (1, 2, 2 + len(NAMES), 2 + 2 * len(NAMES)):
        yield lambda lines=lines: ledger_lines(certs) >= begun + lines  # type: ignore[misc]
    for name in (NAMES[0], NAMES[-1]):
        yield lambda name=name: generations(certs)[name] > 1  # type: ignore[misc]
    for _ in range(KILLS_BY_CHANCE):
        yield after(random.uniform(0, KILL_WITHIN_S))


def test_killed_at_any_moment_the_next_start_mends_it(expired: Path, tmp_path: Path) -> None:
    found = set()
    certs = tmp_path / "certs"
    copy(expired, certs)
    with following_listener(certs, "gateway") as listener:
        there = place(tmp_path, certs, [listener.consumer(), *roles(*set(NAMES) - {"gateway"})])
        for reached in moments(certs):
            shutil.rmtree(certs)
            copy(expired, certs)
            with there.daemon() as daemon:
                daemon.await_event("watching")
                give_up = time.monotonic() + EVENT_S_MAX
                while not reached():
                    assert time.monotonic() < give_up
                daemon.end(signal.SIGKILL)
            found.add((ledger_lines(certs), sum(generations(certs).values())))
            done = there.once()

            assert 0 == done.returncode, done.stderr
            assert level(certs) is Level.FINE
            assert serials(certs)["gateway"] == listener.report()["server"]["serial"]
            assert dict.fromkeys(NAMES, 1) == generations(certs)
            assert [] == list(certs.rglob(".aside-*"))
    assert len(found) > 2, f"it was always killed at the same moment: {found}"


def test_it_ends_at_once_when_asked_also_while_it_waits_for_a_consumer(
    where: tuple[Place, FollowingListener],
) -> None:
    there, listener = where
    listener.stuck = listener.current.resolve()
    with there.daemon() as daemon:
        daemon.await_event("renewing leaves")
        took = daemon.end()

    assert 0 == daemon.process.returncode
    assert took < 1.5


def test_a_consumer_that_is_stuck_is_named_until_it_is_confirmed(
    where: tuple[Place, FollowingListener], tmp_path: Path
) -> None:
    there, listener = where
    metrics = tmp_path / "pki.prom"
    listener.stuck = listener.current.resolve()
    blocked = there.once("--metrics-file", str(metrics))
    named = samples(metrics)
    listener.stuck = None
    confirmed = there.once("--metrics-file", str(metrics))

    assert (5, 0) == (blocked.returncode, confirmed.returncode)
    assert 1.0 == named["countermark_pki_consumer_unconfirmed", "gateway"]
    assert 1.0 == named["countermark_pki_failures_total", "unconfirmed"]
    assert level(there.certs) is Level.FINE
    assert ("countermark_pki_consumer_unconfirmed", "gateway") not in samples(metrics)


def test_a_deployment_that_is_not_written_yet_is_waited_for(expired: Path, tmp_path: Path) -> None:
    certs = copy(expired, tmp_path / "certs")
    policy = policy_of_the_tests(tmp_path / "policy.toml")
    there = Place(certs, tmp_path / "deployment.json", policy)
    with there.daemon() as daemon:
        daemon.await_event("waiting for the deployment's description, which ./start writes")
        write_deployment(there.deployment, roles(*NAMES))
        daemon.await_event("renewed leaves")
        took = daemon.end()

    assert took < 1.5
    assert level(certs) is Level.FINE


def test_a_broken_policy_stops_issuing_and_nothing_else(expired: Path, tmp_path: Path) -> None:
    certs = copy(expired, tmp_path / "certs")
    there = place(tmp_path, certs, roles(*NAMES))
    metrics = tmp_path / "pki.prom"
    before = serials(certs)
    there.policy.write_text("version = 1\n[workload")
    with there.daemon("--metrics-file", str(metrics)) as daemon:
        daemon.await_line(lambda line: line.get("code") == "policy")
        daemon.await_event("published revocation lists")
        held = serials(certs)
        policy_of_the_tests(there.policy)
        daemon.await_event("renewed leaves")

    assert before == held
    assert level(certs) is Level.FINE
    assert 0.0 == samples(metrics)["countermark_pki_policy_holds",]


def test_a_tree_at_which_an_operator_works_is_tried_again_soon(expired: Path, tmp_path: Path) -> None:
    certs = copy(expired, tmp_path / "certs")
    there = place(tmp_path, certs, roles(*NAMES))
    descriptor = os.open(certs / ".lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with there.daemon() as daemon:
        daemon.await_event("another command is at work; trying again soon")
        os.close(descriptor)
        daemon.await_event("renewed leaves")
        failed = [line for line in daemon.lines if line["level"] == "error"]

    assert [] == failed
    assert level(certs) is Level.FINE


def test_a_wrong_passphrase_is_one_sentence_at_the_start(expired: Path, tmp_path: Path) -> None:
    certs = copy(expired, tmp_path / "certs")
    refused = place(tmp_path, certs, roles(*NAMES)).once(secret=b"not the passphrase of the tests")

    assert 1 == refused.returncode
    assert refused.stderr.startswith("Error: ")
    assert refused.stderr.endswith("[seal]\n")
    assert 1 == refused.stderr.count("\n")


def test_a_workload_that_the_policy_does_not_list_is_left_and_reported(expired: Path, tmp_path: Path) -> None:
    certs = copy(expired, tmp_path / "certs")
    there = place(tmp_path, certs, roles(*NAMES))
    policy_of_the_tests(there.policy, tuple(name for name in NAMES if name != "edge"))
    before = serials(certs)
    done = there.once()

    assert Level.CRITICAL == done.returncode
    assert "the policy does not list them" in done.stderr
    assert {("edge", before["edge"])} == before.items() & serials(certs).items()


def test_what_needs_the_roots_custodians_is_left_to_them_and_said(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    expired_tree(certs, age_days=100)  # from 90 days on a root's list is due
    done = place(tmp_path, certs, roles(*NAMES)).once()

    assert Level.DUE == done.returncode, done.stderr
    assert "revocation lists are due that need the root's custodians" in done.stderr
    assert "python -m pki crl --root" in done.stderr


def test_neither_memory_nor_a_core_of_it_is_open(expired: Path, tmp_path: Path) -> None:
    certs = copy(expired, tmp_path / "certs")
    with place(tmp_path, certs, roles(*NAMES)).daemon() as daemon:
        daemon.await_event("watching")
        limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()

    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert ["0", "0"] == line.split()[4:6]
