"""`python -m tests.storms`: one request a thousand times at once, and what came of it, round after round."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice, product

import click

from tests.integration.gateway.gateway_stack import running_gateway
from tests.integration.gateway.second_worker import second_worker
from tests.storms.lanes import Lane
from tests.storms.storm import ACTS, REDIS, Round, run_round

REQUESTS_DEFAULT = 1000
# Beside the connections: files, pipes and sockets of the stack.
_FILES_BESIDE = 200
_EPILOG = "Exit codes: 0 every round held, 1 one did not, 2 wrong usage."


@dataclass
class Findings:
    """Of all rounds.

    Attributes:
        faults: what did not hold, with its round.
        seconds: of each round, from the first byte to the last answer.
    """

    rounds: int = 0
    requests: int = 0
    identical: int = 0
    in_progress: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, number: int, one: Round) -> None:
        """Count one round."""
        verdict = one.verdict
        self.rounds += 1
        self.requests += sum(verdict.statuses.values())
        self.identical += verdict.identical
        self.in_progress += verdict.in_progress
        self.faults += [f"round {number} ({one.act}, Redis {one.redis}): {each}" for each in verdict.faults]
        self.seconds.append(round(one.took_s, 3))


async def run_storms(
    rounds: int, requests: int, redis: tuple[str, ...], tell: Callable[[str], None]
) -> Findings:
    """Run rounds over two workers; every act meets every state of Redis in turn."""
    findings = Findings()
    async with running_gateway() as first, second_worker(first) as second:
        workers = (first, second)
        lanes = [Lane(workers[place % 2]) for place in range(requests)]
        try:
            for number, (state, act) in enumerate(islice(cycle(product(redis, ACTS)), rounds), 1):
                one = await run_round(workers, lanes, act, state)
                findings.add(number, one)
                tell(
                    f"round {number} of {rounds}: {act}, Redis {state}: {one.verdict.identical} identical,"
                    f" {one.verdict.in_progress} in progress, {one.took_s:.2f} s"
                    + "".join(f"\n    FAULT {fault}" for fault in one.verdict.faults)
                )
        finally:
            for lane in lanes:
                lane.close()
    return findings


@click.command(epilog=_EPILOG)
@click.option("--rounds", type=click.IntRange(1), default=len(REDIS) * len(ACTS), show_default=True)
@click.option("--requests", type=click.IntRange(2, 5000), default=REQUESTS_DEFAULT, show_default=True)
@click.option(
    "--redis", type=click.Choice(REDIS), multiple=True, help="Only these states of Redis; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="The findings as one JSON object on standard output.")
def main(*, rounds: int, requests: int, redis: tuple[str, ...], as_json: bool) -> None:
    """Send one request REQUESTS times at once to two gateway workers, and check that it was done once.

    A round holds if one answer is the first, all others repeat it byte for byte or say that it is in
    progress, and the record holds one effect, one key and one evidence.
    """
    _allow_files(2 * requests + _FILES_BESIDE)
    began = time.monotonic()

    def tell(line: str) -> None:
        click.echo(f"{time.monotonic() - began:6.0f} s  {line}", err=True)

    findings = asyncio.run(run_storms(rounds, requests, redis or REDIS, tell))
    if as_json:
        click.echo(json.dumps({"ok": not findings.faults, **asdict(findings)}))
    else:
        click.echo(
            f"{findings.rounds} rounds, {findings.requests} requests: {findings.identical} got the one answer"
            f" of their round, {findings.in_progress} were told that it is in progress,"
            f" {len(findings.faults)} faults"
        )
        for fault in findings.faults:
            click.echo(fault)
    sys.exit(1 if findings.faults else 0)


def _allow_files(wanted: int) -> None:
    """The workers inherit it; each holds its half of the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


if __name__ == "__main__":
    main()
