"""Processes killed at each crash point, what they stand on broken: no payment suffers, no checker is blind.

One stack and one load for all of it; `python -m tests.faults --kills 100` is the same for a night.
"""

from __future__ import annotations

import secrets
import sys

import pytest

from tests.faults.campaign import Findings, Plan, run_campaign
from tests.faults.crash_sites import crash_sites
from tests.faults.kills import BACK_S_MAX
from tests.faults.stories import CUT_SHORT
from tests.faults.system_faults import FAULTS

KILLS = 2
STORIES = 11

pytestmark = pytest.mark.timeout(900)  # About 6 minutes on two cores that others use, too.


@pytest.fixture(scope="module")
async def findings() -> Findings:
    """What came of the whole run; its lines are shown if something did not hold."""
    plan = Plan(crash_sites(), KILLS, list(FAULTS), seed=secrets.randbelow(2**32), check_each=False)
    return await run_campaign(plan, lambda line: print(line, file=sys.stderr))


async def test_every_point_was_died_at(findings: Findings) -> None:
    assert {site.name: KILLS for site in crash_sites()} == dict(findings.deaths.at)


async def test_every_fault_was_survived_within_ten_seconds(findings: Findings) -> None:
    assert set(FAULTS) == {name for name, seconds in findings.recovered_s.items() if seconds <= BACK_S_MAX}


async def test_money_outcomes_promises_and_webhooks_held(findings: Findings) -> None:
    assert not findings.violations, "\n".join(findings.violations)
    assert 3 == findings.checks  # After the kills, after the faults, after each story once.
    assert findings.load["accepted"] <= findings.judged
    assert STORIES == len(findings.stories.keys() - {CUT_SHORT})
    assert 2 * STORIES < sum(findings.stories.values())  # Once each at the end; the rest under faults.


async def test_the_checkers_see_what_is_planted(findings: Findings) -> None:
    assert [] == findings.blind
    assert 41 == len(findings.checkers)
