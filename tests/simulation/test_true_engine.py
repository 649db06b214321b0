"""A thousand worlds of the engine as it is; `python -m tests.simulation` lives through more of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.runner import Total, run_seeds

SEEDS = 1_000
# Kinds of fault that a thousand worlds must have met, each at least so often, or they prove nothing about it.
STRUCK_MIN = 20


@pytest.mark.timeout(600)
def test_no_world_of_a_thousand_breaks_a_promise() -> None:
    total = Total()
    for result in run_seeds(0, SEEDS, jobs=2):
        total.add(result)

    assert [] == [(result.seed, result.violations) for result in total.broken]
    assert SEEDS == total.seeds
    assert [] == [kind for kind, many in total.faults.items() if many < STRUCK_MIN]
    assert len(total.faults) >= 40


def test_a_seed_replays_exactly_in_another_process_with_another_order_of_sets() -> None:
    program = "from tests.simulation.runner import hush, run_world; hush(); print(run_world(7).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": hash_seed}, check=True, capture_output=True, text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2", "3")
    }  # fmt: skip

    assert 1 == len(digests)
