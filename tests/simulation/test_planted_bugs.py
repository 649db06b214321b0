"""Some of the planted bugs, each until it is found; `--mutant all` looks for every one."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import all_mutants
from tests.simulation.runner import find_mutants

# One of each part, those that are found soon; the command looks for the others.
SAMPLE = (
    "new_bank_key_per_retry", "failover_while_unknown", "no_compensation", "credited_twice",
    "second_approver_is_the_first", "snapshot_from_before_the_lock", "order_before_commit",
    "declined_bank_is_asked_again", "break_is_closed_silently",
)  # fmt: skip
PLANTED_MIN = 75


@pytest.mark.timeout(600)
def test_planted_bugs_are_found() -> None:
    found = {name: result for name, _, result in find_mutants(list(SAMPLE), 0, jobs=2)}

    assert set(SAMPLE) == set(found)
    assert [] == [name for name, result in found.items() if result is None]


def test_there_are_enough_planted_bugs_and_each_says_what_is_wrong() -> None:
    assert PLANTED_MIN <= len(all_mutants())
    assert [] == [each.name for each in all_mutants().values() if len(each.bug) < 20]
