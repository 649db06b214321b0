"""The table in README.md is whole, and what it names exists and asserts the codes that it names."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.api.problems import PROBLEMS
from signing import errors

_FOLDER = Path(__file__).parent
_ROW = re.compile(r"\| ([0-9]+) \| (.+?) \| (`.+?`) \| (`.+?`) \|")
_ATTACKS = range(1, 33)
# Refusals that are no problem of the gateway's: by the HTTP parser, and by the check of the calling service.
_BEFORE_THE_GATEWAY = {"400", "peer-refused"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    number: int
    attack: str
    tests: tuple[str, ...]
    codes: tuple[str, ...]


def _rows() -> list[Row]:
    lines = (_FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    matches = [match for line in lines if (match := _ROW.fullmatch(line)) is not None]
    return [
        Row(int(m[1]), m[2], tuple(re.findall(r"`([^`]+)`", m[3])), tuple(re.findall(r"`([^`]+)`", m[4])))
        for m in matches
    ]


ROWS = _rows()


def _functions(file: Path) -> set[str]:
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_attack_of_the_list_has_a_row() -> None:
    assert list(_ATTACKS) == [row.number for row in ROWS]
    assert len(_ATTACKS) == len({row.attack for row in ROWS})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}")
def test_the_tests_of_an_attack_exist_and_say_its_codes(row: Row) -> None:
    files = {_FOLDER / test.partition("::")[0] for test in row.tests}
    texts = "".join(file.read_text(encoding="utf-8") for file in files)

    assert row.tests
    for test in row.tests:
        file, _, name = test.partition("::")
        assert name in _functions(_FOLDER / file), test
    assert [] == [code for code in row.codes if code != "400" and f'"{code}"' not in texts]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}")
def test_the_codes_of_an_attack_are_stable_ones(row: Row) -> None:
    of_signing = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")
    }

    assert row.codes
    assert set() == set(row.codes) - PROBLEMS.keys() - of_signing - _BEFORE_THE_GATEWAY
