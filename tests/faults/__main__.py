"""`python -m tests.faults`: kill and break a running stack under load, and check from outside what held."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import sys
import time
from itertools import chain
from statistics import median

import click
import msgspec

from tests.faults.campaign import RATE_PER_S, WORKERS, Findings, Plan, run_campaign
from tests.faults.crash_sites import CrashSite, crash_sites
from tests.faults.kills import Deaths
from tests.faults.system_faults import FAULTS

_EPILOG = "Exit codes: 0 everything held, 1 something did not hold or a checker is blind, 2 wrong usage."
_SEED_MAX = 2**32
MINUTE_S = 60


@click.command(epilog=_EPILOG)
@click.option(
    "--kills", type=click.IntRange(0), default=2, show_default=True, help="Kills at each crash point."
)
@click.option(
    "--point", "points", multiple=True, metavar="NAME", help="Only at this crash point; repeatable."
)
@click.option("--fault", "faults", multiple=True, metavar="NAME", help="Only this fault; repeatable.")
@click.option("--list", "listing", is_flag=True, help="Show crash points and faults, and do nothing.")
@click.option("--rate", type=click.FloatRange(0.1, 200), default=RATE_PER_S, help="New payments a second.")
@click.option(
    "--workers", type=click.IntRange(1, 8), default=WORKERS, show_default=True,
    help="Engines beside each other; they share the points of the engine, and die at the same time.",
)  # fmt: skip
@click.option(
    "--minutes", type=click.FloatRange(0.1), help="Begin no kill after so long, and judge what was done."
)
@click.option("--seed", type=click.IntRange(0, _SEED_MAX), help="Order, counts and load of an earlier run.")
@click.option("--json", "as_json", is_flag=True, help="The findings as one JSON object on standard output.")
def main(
    *, kills: int, points: tuple[str, ...], faults: tuple[str, ...], listing: bool, rate: float,
    workers: int, minutes: float | None, seed: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Kill processes at their crash points, break what they stand on, and check that no payment suffers.

    With --point or --fault only what is named is done; without both, all of it.
    """
    if listing:
        _list()
        return
    everything = not points and not faults
    plan = Plan(
        sites=crash_sites() if everything else [_site(name) for name in points],
        kills=kills,
        faults=list(FAULTS) if everything else [_fault(name) for name in faults],
        seed=secrets.randbelow(_SEED_MAX) if seed is None else seed,
        rate_per_s=rate,
        workers=workers,
        kills_s_max=math.inf if minutes is None else minutes * MINUTE_S,
    )
    began = time.monotonic()

    def tell(line: str) -> None:
        click.echo(f"{time.monotonic() - began:6.0f} s  {line}", err=True)

    findings = asyncio.run(run_campaign(plan, tell))
    if as_json:
        click.echo(facts_of(findings, plan.seed))
    else:
        click.echo(summary_of(findings))
    sys.exit(0 if findings.ok else 1)


def _site(name: str) -> CrashSite:
    for site in crash_sites():
        if site.name == name:
            return site
    raise click.UsageError(f"there is no crash point {name}: see --list")


def _fault(name: str) -> str:
    if name not in FAULTS:
        raise click.UsageError(f"there is no fault {name}: see --list")
    return name


def _list() -> None:
    for site in crash_sites():
        click.echo(f"point  {site.name:36} {site.place}")
    for name, fault in FAULTS.items():
        click.echo(f"fault  {name:36} {(fault.__doc__ or '').partition(chr(10))[0]}")


def facts_of(findings: Findings, seed: int) -> str:
    """Everything that was found, as one JSON object."""
    return json.dumps({"ok": findings.ok, "seed": seed, **msgspec.to_builtins(findings)})


def summary_of(findings: Findings) -> str:
    """What was found, for people: a table by point, then what it comes to."""
    deaths, back = findings.deaths, sorted(chain.from_iterable(findings.deaths.back_s.values()))
    kills = f"{deaths.count} of {deaths.wanted} kills, {deaths.overlapping} of them overlapping"
    lines = [
        *_table(deaths),
        f"{kills}, at {len(deaths.at)} points"
        + (f", back after {median(back):.1f} s (median), {back[-1]:.1f} s (worst)" if back else ""),
        f"{len(findings.recovered_s)} faults, {findings.judged} payments judged in {findings.checks} checks",
        f"second acts: {findings.stories}",
        f"{findings.audits} audits of the ledger under load; answers: {findings.load}",
        f"checkers: {len(findings.checkers)} planted faults, not seen: {findings.blind or 'none'}",
        f"after {findings.seconds:.0f} s, violations: {len(findings.violations)}",
        *(f"  {violation}" for violation in findings.violations),
    ]
    return "\n".join(lines)


def _table(deaths: Deaths) -> list[str]:
    """By point: how often, and how fast it was back; deaths on the way back are not timed."""
    if not deaths.at:
        return []
    rows = [f"{'point':36} {'kills':>6} {'median s':>9} {'worst s':>8}"]
    for name, kills in sorted(deaths.at.items()):
        back = deaths.back_s.get(name)
        times = f"{median(back):9.1f} {max(back):8.1f}" if back else f"{'-':>9} {'-':>8}"
        rows.append(f"{name:36} {kills:6} {times}")
    return rows


if __name__ == "__main__":
    main()
