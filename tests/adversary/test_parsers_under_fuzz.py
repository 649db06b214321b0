"""Every parser under a coverage-guided fuzzer, some seconds each; longer runs: `python -m tests.fuzz`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz.__main__ import TARGET_NAMES, FuzzRun, can_fuzz, fuzz
from tests.fuzz.make_corpus import CORPUS, seeds
from tests.fuzz.targets import TARGETS

SECONDS_EACH = 3
AT_ONCE = 2  # the machines that run this have two cores
EXECUTIONS_MIN = 1000  # far below what the slowest target reaches: a fuzzer that hardly runs finds nothing
_SEEDS = [file for file in sorted(CORPUS.glob("*/*")) if file.is_file()]


@pytest.mark.parametrize("seed", _SEEDS, ids=lambda seed: f"{seed.parent.name}/{seed.name}")
def test_a_seed_is_accepted_or_refused_as_its_name_says(seed: Path) -> None:
    accepted = TARGETS[seed.parent.name](seed.read_bytes())

    assert (not seed.name.startswith("refused-")) == accepted


def test_each_target_has_the_seeds_that_the_script_makes() -> None:
    made = {f"{target}/{name}" for target, files in seeds().items() for name in files}

    assert TARGETS.keys() == set(TARGET_NAMES)
    assert set() == made - {f"{seed.parent.name}/{seed.name}" for seed in _SEEDS}


@pytest.fixture(scope="module")
def runs() -> dict[str, FuzzRun]:
    if not can_fuzz():
        pytest.skip("atheris has no wheel for this machine: seeds were replayed, nothing was fuzzed")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda target: fuzz(target, SECONDS_EACH), TARGET_NAMES)
        return dict(zip(TARGET_NAMES, found, strict=True))


@pytest.mark.parametrize("target", TARGET_NAMES)
def test_a_parser_under_fuzz_raises_nothing_but_its_own_refusals(
    runs: dict[str, FuzzRun], target: str
) -> None:
    run = runs[target]

    assert () == run.finds, str(run)
    assert EXECUTIONS_MIN <= run.executions
