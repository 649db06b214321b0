"""`./start` as a person or a script runs it: once, again, with things in its way, and killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from compose.launcher.copy_paste import EVIDENCE_EXAMPLE, SDK_EXAMPLE
from compose.launcher.proc import started_at_ticks, state_of
from compose.launcher.release import checkout_root

ONCE_S_MAX = 90  # A cold machine; a warm one takes a few seconds.
MEMORY_BYTES_MAX = 1_500_000_000
STEPS = [
    "token",
    "key",
    "enrolled",
    "request",
    "accepted",
    *["webhook"] * 4,  # accepted, screening passed, submitted, succeeded
    "repeated",
    "stages",
    "evidence",
    "charged",
]


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty data directory that the services' accounts can enter."""
    folder = Path(tempfile.mkdtemp(prefix="countermark-start-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(checkout_root() / "start"), "--data-dir", str(place), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=ONCE_S_MAX, check=False)


@contextmanager
def started(place: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A stack that runs until told to stop; killed if the test forgets."""
    command = [str(checkout_root() / "start"), "--data-dir", str(place), "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait(timeout=30)


def facts_of(running: subprocess.Popen[str]) -> dict[str, Any]:
    assert running.stdout is not None
    facts: dict[str, Any] = json.loads(running.stdout.readline())
    return facts


def wait_gone(ticks_by_pid: dict[int, int | None]) -> None:
    deadline = time.monotonic() + 15
    while any(
        t is not None and started_at_ticks(p) == t and state_of(p) != "Z" for p, t in ticks_by_pid.items()
    ):
        assert time.monotonic() < deadline, "processes of the stack are still there"
        time.sleep(0.05)


def test_once_shows_every_step_and_again_is_the_same_story(place: Path) -> None:
    first, second = start(place, "--once", "--json"), start(place, "--once", "--json")

    assert (0, 0) == (first.returncode, second.returncode), first.stderr + second.stderr
    for done in (first, second):
        facts = json.loads(done.stdout)
        steps = [fact["step"] for fact in facts["steps"]]

        assert sorted(STEPS) == sorted(steps)
        assert 1 == next(fact["charges"] for fact in facts["steps"] if fact["step"] == "charged")
        assert MEMORY_BYTES_MAX > sum(facts["memory_bytes"].values())
        wait_gone({pid: started_at_ticks(pid) for pid in facts["pids"].values()})
    assert json.loads(first.stdout)["origin"] == json.loads(second.stdout)["origin"]


def test_a_second_stack_in_the_same_place_is_told_so_and_the_first_goes_on(place: Path) -> None:
    with started(place, "--no-demo") as running, tempfile.TemporaryDirectory(dir="/var/tmp") as other:
        Path(other).chmod(0o755)
        facts = facts_of(running)
        edge = int(facts["listeners"]["edge.public"].rpartition(":")[2])

        refused = start(place, "--once")
        taken = start(Path(other), "--once", "--port", str(edge))

        assert None is running.poll()
        running.send_signal(signal.SIGTERM)
        assert 0 == running.wait(timeout=30)
    wait_gone({pid: started_at_ticks(pid) for pid in facts["pids"].values()})
    assert (3, 3) == (refused.returncode, taken.returncode)
    assert "is in use by another ./start" in refused.stderr
    assert f"port {edge} is in use" in taken.stderr


def test_after_the_supervisor_was_killed_a_new_start_recovers(place: Path) -> None:
    with started(place) as running:
        facts = facts_of(running)
        before = {pid: started_at_ticks(pid) for pid in facts["pids"].values()}
        running.kill()
        running.wait()

    again = start(place, "--once", "--json")

    assert 0 == again.returncode, again.stderr
    wait_gone(before)
    assert json.loads(again.stdout)["origin"] == facts["origin"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_named() -> None:
    refused = start(Path("/proc/countermark"), "--once")

    assert 3 == refused.returncode
    assert "cannot write the data directory /proc/countermark" in refused.stderr


def test_the_pasted_examples_get_a_202_each(place: Path, tmp_path: Path) -> None:
    sdk = SDK_EXAMPLE.replace("payment.", f"{tmp_path}/payment.")
    script = f'eval "$(./start --env --data-dir {place})"; sh compose/demo/pay.sh\n{sdk}\n{EVIDENCE_EXAMPLE}'
    with started(place) as running:
        facts_of(running)
        pasted = subprocess.run(
            ["sh", "-euc", script],
            cwd=checkout_root(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        running.send_signal(signal.SIGINT)
        left = running.wait(timeout=30)

    assert 2 == len(re.findall(r"HTTP/\S+ 202", pasted.stdout)), pasted.stdout + pasted.stderr
    assert 2 == pasted.stdout.count('tag="countermark-receipt-v1"')
    assert "proven: the gateway put together exactly these files" in pasted.stdout
    assert 0 == left


def test_the_readme_shows_the_very_example_that_is_tried() -> None:
    readme = (checkout_root() / "README.md").read_text(encoding="utf-8")
    example = (checkout_root() / "compose" / "demo" / "pay.sh").read_text(encoding="utf-8")

    assert example.partition("\n")[2].strip() in readme


def test_a_free_port_can_be_chosen(place: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    done = start(place, "--once", "--json", "--port", str(port))

    assert 0 == done.returncode, done.stderr
    assert f":{port}" in json.loads(done.stdout)["origin"]


@pytest.mark.parametrize("after_s", [0.3, 1.0, 1.6, 2.2])
def test_killed_while_it_starts_for_the_first_time_the_next_start_recovers(
    place: Path, after_s: float
) -> None:
    with started(place) as running:
        with suppress(subprocess.TimeoutExpired):
            running.wait(timeout=after_s)  # The moment itself is what is tried: none of them may matter.
        running.kill()
        running.wait()

    again = start(place, "--once", "--json")

    assert 0 == again.returncode, again.stderr


def test_told_to_stop_while_it_starts_it_stops_what_it_started(place: Path) -> None:
    with started(place) as running:
        processes = place / "run" / "processes.json"
        deadline = time.monotonic() + 20
        while not processes.exists() or len(json.loads(processes.read_text())) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = {row["pid"]: row["started_at_ticks"] for row in json.loads(processes.read_text())}
        running.terminate()

        assert 130 == running.wait(timeout=30)
    wait_gone(before)


def test_nobody_reading_the_output_is_no_reason_to_leave_anything_running(place: Path) -> None:
    command = f"{checkout_root()}/start --once --data-dir {place} | head -n 3"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=ONCE_S_MAX, check=False
    )

    assert "Traceback" not in done.stderr
    assert not (place / "run" / "processes.json").exists()
