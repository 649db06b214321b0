"""A process dies at the point that it was armed for, once; what others write arms nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.node import crash_points
from services.node.crash_points import ARMING_FILE, REACHED_FILE, arm, reach
from tests.faults.crash_sites import crash_sites

POINTS_MIN = 24

# Arms itself as `services.node.process` does, then passes two points three times.
PASSES = """
import sys
from pathlib import Path
from services.node.crash_points import arm, reach
arm(Path(sys.argv[1]))
for number in range(3):
    reach("here.other")
    reach("here.done")
    print(number, flush=True)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def write_arming(state: Path, text: str, mode: int = 0o600) -> None:
    file = state / ARMING_FILE
    file.write_text(text)
    file.chmod(mode)


def passes(state: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PASSES, str(state)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, [line for line in done.stdout.splitlines() if line.isdigit()]


def test_an_armed_process_dies_the_kth_time_and_says_where(state: Path) -> None:
    write_arming(state, "here.done 2\n")

    assert (-signal.SIGKILL, ["0"]) == passes(state)
    point, pid = (state / REACHED_FILE).read_text().split()
    assert "here.done" == point
    assert pid.isdigit()


def test_one_file_is_one_death(state: Path) -> None:
    write_arming(state, "here.done 1\n")
    passes(state)

    assert (0, ["0", "1", "2"]) == passes(state)
    assert not (state / ARMING_FILE).exists()


def test_a_process_armed_for_another_point_lives(state: Path) -> None:
    write_arming(state, "elsewhere.done 1\n")

    assert (0, ["0", "1", "2"]) == passes(state)


def test_a_process_that_nobody_armed_lives(state: Path) -> None:
    assert (0, ["0", "1", "2"]) == passes(state)
    assert not (state / REACHED_FILE).exists()


@pytest.mark.parametrize(
    "text",
    ["", "here.done", "here.done 0", "here.done -1", "here.done one", " 1", "here.done 1 1", "here.döne 1"],
)
def test_a_file_that_says_anything_else_arms_nothing(state: Path, text: str) -> None:
    write_arming(state, text)

    arm(state)
    reach("here.done")

    assert None is crash_points._armed
    assert not (state / ARMING_FILE).exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o606])
def test_a_file_that_others_could_reach_arms_nothing(state: Path, mode: int) -> None:
    write_arming(state, "here.done 1", mode)

    arm(state)

    assert None is crash_points._armed
    assert not (state / ARMING_FILE).exists()


def test_a_file_in_a_directory_that_others_could_reach_arms_nothing(state: Path) -> None:
    write_arming(state, "here.done 1")
    state.chmod(0o750)

    arm(state)

    assert None is crash_points._armed


def test_a_link_or_a_pipe_arms_nothing(state: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("here.done 1")
    (tmp_path / "elsewhere").chmod(0o600)
    (state / ARMING_FILE).symlink_to(tmp_path / "elsewhere")
    arm(state)
    assert None is crash_points._armed

    (state / ARMING_FILE).unlink()
    os.mkfifo(state / ARMING_FILE, 0o600)
    arm(state)
    assert None is crash_points._armed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_account_arms_nothing(state: Path) -> None:
    write_arming(state, "here.done 1")
    os.chown(state / ARMING_FILE, 65534, 65534)

    arm(state)

    assert None is crash_points._armed


def test_every_point_of_the_product_is_named_once_for_the_process_that_has_it() -> None:
    sites = crash_sites()
    names = [site.name for site in sites]

    assert [] == [site.place for site in sites if not site.name]
    assert sorted(set(names)) == names
    assert POINTS_MIN <= len(names)
    wrong = [
        site
        for site in sites
        if not site.place.startswith((f"{site.process}/", f"services/{site.process}/"))
        or not site.name.replace(".", "").replace("_", "").isalpha()
    ]
    assert [] == wrong
