"""`python -m tests.bench NAME`: figures that were measured, all of a table in one run.

A benchmark is a module beside this one with `measure(*, quick: bool) -> Report`;
the first line of its docstring is what --help shows.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from tests.bench.report import Report


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark; 0, or 1 where --check finds a target missed."""
    benchmarks = _benchmarks()
    listed = "\n".join(f"  {name:12} {line}" for name, line in benchmarks.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure. No test depends on these figures.",
        epilog=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", choices=tuple(benchmarks), help="one of those listed below")
    parser.add_argument("--quick", action="store_true", help="end within 50 s")
    parser.add_argument("--json", action="store_true", help="print one object instead of the table")
    parser.add_argument("--check", action="store_true", help="exit 1 where a figure misses its target")
    parser.add_argument("--rotations", type=int, metavar="N", help="how many (rotation)")
    parser.add_argument("--only", metavar="PART", help="one part with its own table (pipeline: stored)")
    chosen = parser.parse_args(arguments)
    module = importlib.import_module(f"tests.bench.{chosen.name}")
    options = {"rotations": chosen.rotations, "only": chosen.only}
    more = {name: value for name, value in options.items() if value is not None}
    try:
        report = cast("Report", module.measure(quick=chosen.quick, **more))
    except TypeError as fault:
        for name in more:
            if f"'{name}'" in str(fault):
                parser.error(f"--{name} is not an option of {chosen.name}")
        raise
    print(report.as_json() if chosen.json else report.as_text())
    if chosen.check:
        # With --json the object stays the only thing on standard output.
        print(report.targets_as_text(), file=sys.stderr if chosen.json else sys.stdout)
        return 1 if report.missed() else 0
    return 0


def _benchmarks() -> dict[str, str]:
    """Return the first docstring line of each benchmark by name, without importing what they measure."""
    found: dict[str, str] = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "measure" for node in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


if __name__ == "__main__":
    sys.exit(main())
