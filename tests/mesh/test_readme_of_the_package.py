"""What the README tells merchants and arbiters, done with the wheel where nothing else is installed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.launcher.release import checkout_root
from tests.integration.signing.test_wheel import Installed, installed, wheel
from tests.mesh.test_start_command import facts_of, place, started

__all__ = ["installed", "place", "wheel"]  # fixtures of other modules

README = (checkout_root() / "README.md").read_text(encoding="utf-8")
# The others show what there is to read, and to be told.
EXAMPLE, _, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(ARBITER,) = re.findall(r"```sh\n(countermark evidence verify.*?)```", README, re.DOTALL)


@pytest.fixture
def environment(place: Path, installed: Installed) -> Iterator[dict[str, str]]:
    """The variables that `./start --env` prints, and a path that holds the wheel's command first."""
    with started(place) as running:
        facts_of(running)
        printed = subprocess.run(
            [str(checkout_root() / "start"), "--env", "--data-dir", str(place)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        pairs = (line.removeprefix("export ").partition("=") for line in printed.splitlines())
        values = {name: shlex.split(value)[0] for name, _, value in pairs}
        yield {"PATH": f"{installed.python.parent}:{os.defpath}", **values}


def test_a_merchant_pays_and_an_arbiter_verifies(
    environment: dict[str, str], installed: Installed, tmp_path: Path
) -> None:
    paid = subprocess.run(
        [str(installed.python), "-I", "-c", EXAMPLE],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    judged = subprocess.run(
        ["sh", "-euc", ARBITER],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 0 == paid.returncode, paid.stderr
    assert re.fullmatch(r"202 pay_eu_\S+ receipt by \S{43}\n", paid.stdout)
    assert 0 == judged.returncode, judged.stdout + judged.stderr
    assert 2 == judged.stdout.count("proven: the gateway put together exactly these files")
