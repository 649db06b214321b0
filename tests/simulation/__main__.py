"""`python -m tests.simulation`: the payments engine on virtual time, under every fault that a seed has."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.simulation.mutants import all_mutants
from tests.simulation.runner import MUTANT_SEEDS_MAX, Total, find_mutants, run_seeds, run_world
from tests.simulation.world import Result

CLEAN, FOUND, USAGE, DIFFERENT = 0, 1, 2, 3
# A line of progress so often, where somebody looks.
PROGRESS_S = 5.0
SHOWN_MAX = 20

_EPILOG = f"""\
exit codes:
  {CLEAN}  no violation; with --mutant: each planted bug was found within {MUTANT_SEEDS_MAX} seeds
  {FOUND}  a violation; with --mutant: a planted bug was not found
  {USAGE}  the arguments make no sense
  {DIFFERENT}  with --seed: the second run of the same seed differs from the first

A seed that fails fails again: replay it with --seed.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Deterministic simulation of the payments engine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=1_000, metavar="N", help="how many worlds (1,000)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first seed (0)")
    parser.add_argument("--seed", type=int, metavar="X", help="live through one world twice, and print it")
    parser.add_argument("--mutant", metavar="NAME", help="plant a bug and look for it; `all`; `list`")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--json", action="store_true", help="print one object")
    chosen = parser.parse_args(arguments)
    if chosen.seeds < 1 or chosen.jobs < 1:
        parser.error("--seeds and --jobs are at least 1")
    names = list(all_mutants())
    if chosen.mutant == "list":
        for each in all_mutants().values():
            print(f"{each.name:36} {each.bug}")
        return CLEAN
    if chosen.mutant not in (None, "all", *names):
        parser.error(f"no planted bug is called {chosen.mutant}; `--mutant list` shows them")
    if chosen.seed is not None:
        return _replay(chosen.seed, None if chosen.mutant == "all" else chosen.mutant)
    if chosen.mutant is not None:
        wanted = names if chosen.mutant == "all" else [chosen.mutant]
        return _hunt(wanted, chosen.first, chosen.jobs, as_json=chosen.json)
    return _survey(chosen.first, chosen.seeds, chosen.jobs, as_json=chosen.json)


def _replay(seed: int, mutant: str | None) -> int:
    first = run_world(seed, mutant, is_loud=True)
    second = run_world(seed, mutant)
    print(f"\nseed {seed}: {first.lines} lines, trace {first.digest}, second run {second.digest}")
    _show(first)
    if first.digest != second.digest:
        print("the two runs differ: something depends on more than the seed", file=sys.stderr)
        return DIFFERENT
    return FOUND if first.violations else CLEAN


def _survey(first: int, seeds: int, jobs: int, *, as_json: bool) -> int:
    total, began, told = Total(), time.monotonic(), time.monotonic()
    for result in run_seeds(first, seeds, jobs):
        total.add(result)
        if not as_json and result.violations and len(total.broken) <= SHOWN_MAX:
            _show(result)
        if sys.stderr.isatty() and time.monotonic() - told > PROGRESS_S:
            told = time.monotonic()
            print(f"{total.seeds}/{seeds} seeds, {len(total.broken)} with violations", file=sys.stderr)
    elapsed = time.monotonic() - began
    figures = {
        "seeds": total.seeds,
        "seeds_per_s": round(total.seeds / elapsed, 1),
        "simulated_hours": round(total.virtual_s / 3600),
        "payments": total.payments,
        "commits": total.commits,
        "bank_requests": total.calls,
        "events": total.events,
        "faults": sum(total.faults.values()),
        "seeds_with_violations": len(total.broken),
    }
    if as_json:
        broken = [{"seed": r.seed, "trace": r.digest, "violations": r.violations} for r in total.broken]
        print(json.dumps({**figures, "faults_by_kind": dict(total.faults), "broken": broken}, indent=2))
    else:
        print("\n".join(f"{name.replace('_', ' '):22} {value:>14,}" for name, value in figures.items()))
        print("\nfaults injected")
        print("\n".join(f"  {kind:24} {count:>10,}" for kind, count in sorted(total.faults.items())))
    return FOUND if total.broken else CLEAN


def _hunt(names: list[str], first: int, jobs: int, *, as_json: bool) -> int:
    rows, missed = [], []
    for name, tried, result in find_mutants(names, first, jobs):
        rows.append({"mutant": name, "seeds": tried, "seed": result.seed if result else None,
                     "shown_as": result.violations[0] if result else None})  # fmt: skip
        if result is None:
            missed.append(name)
        if not as_json:
            shown = f"seed {result.seed:>4}  {result.violations[0][:120]}" if result else "NOT FOUND"
            print(f"{name:36} {shown}", flush=True)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{len(names) - len(missed)} of {len(names)} planted bugs found")
    return FOUND if missed else CLEAN


def _show(result: Result) -> None:
    for violation in result.violations[:SHOWN_MAX]:
        print(f"seed {result.seed} (trace {result.digest}): {violation}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
