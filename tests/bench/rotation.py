"""Signed payments through the whole mesh while leaves, intermediates and roots rotate."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from compose.launcher.configuration import CONNECTION_AGE_S_MAX
from compose.launcher.stack import Stack, StackOptions
from tests.bench.connection_ages import LOOK_EVERY_S, ConnectionAges
from tests.bench.payment_load import Load, PaymentLoad
from tests.bench.report import Report, Target, shown
from tests.mesh.enrolled_merchant import enrol_merchant
from tests.raised_limits import RAISED

ROTATIONS: Final = 200
_QUICK_ROTATIONS: Final = 5
# Of a thousand rotations twenty-five are intermediates and five are roots; of a few, one is an intermediate.
_INTERMEDIATE_EVERY: Final = 40
_ROOT_EVERY: Final = 200
_RATE_PER_S: Final = 25.0  # a quarter of what such companies see, on two cores that also do everything else
_CALM_S: Final = 60.0  # before and after, without rotations, each
_QUICK_CALM_S: Final = 5.0
_P99_RATIO_MAX: Final = 1.5
_METHOD: Final = (
    f"{_RATE_PER_S:.0f} signed payments a second, an open loop, each receipt verified, none sent twice; time",
    "from the moment a payment was due. Edge, sidecars, gateway, engine, banks and the three stores as",
    "./start runs them. The calm is half before, half after. Rotations come one after the other from a",
    "process of their own, each confirmed on the wire; connections are read from the kernel's tables.",
)


@dataclass(slots=True)
class _Findings:
    calm: Load = field(default_factory=Load)
    busy: Load = field(default_factory=Load)
    rotations: dict[str, list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def measure(*, quick: bool, rotations: int | None = None) -> Report:
    """Measure; about two seconds for a leaf, fifteen for an intermediate or a root."""
    count = rotations or (_QUICK_ROTATIONS if quick else ROTATIONS)
    folder = Path(tempfile.mkdtemp(prefix="countermark-bench-", dir="/var/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    try:
        return asyncio.run(_measure(folder, count, _QUICK_CALM_S if quick else _CALM_S))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def planned(count: int) -> list[str]:
    """Return the kinds, spread evenly; the shortest run has an intermediate in it, too."""
    kinds = []
    for number in range(1, count + 1):
        if number % _ROOT_EVERY == _ROOT_EVERY // 2:  # where no intermediate is due
            kinds.append("root")
        elif number % _INTERMEDIATE_EVERY == 0 or (count < _INTERMEDIATE_EVERY and number == count):
            kinds.append("intermediate")
        else:
            kinds.append("leaf")
    return kinds


async def _measure(folder: Path, count: int, calm_s: float) -> Report:
    stack = await Stack.start(StackOptions(folder, limits=RAISED), lambda *_: None)
    try:
        ages = ConnectionAges([address.port for address in stack.places.addresses.values()])
        watching = asyncio.create_task(ages.watch())
        async with enrol_merchant(stack) as merchant:
            load = PaymentLoad(merchant, _RATE_PER_S)
            sending = asyncio.create_task(load.run())
            findings = await _rotate(stack, load, planned(count), calm_s)
            load.stop()
            await sending
        watching.cancel()
        return _report(findings, ages)
    finally:
        await stack.stop()


async def _rotate(stack: Stack, load: PaymentLoad, kinds: list[str], calm_s: float) -> _Findings:
    findings = _Findings()
    driver = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.rotation_driver", str(stack.layout.root),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    workloads = cycle((await _answer(driver))["workloads"])
    await asyncio.sleep(calm_s / 6)  # the first payments pay for warming up
    load.take()
    await asyncio.sleep(calm_s)
    before = load.take()
    for number, kind in enumerate(kinds, start=1):
        assert driver.stdin is not None
        driver.stdin.write(f"{kind} {next(workloads) if kind == 'leaf' else ''}\n".encode())
        answer = await _answer(driver)
        findings.rotations.setdefault(kind, []).append(answer["seconds"])
        if answer["fault"]:
            findings.faults.append(f"{kind} {number}: {answer['fault']}")
        _tell(number, len(kinds), kind, answer["seconds"], load.load)
    findings.busy = load.take()
    await asyncio.sleep(calm_s)
    after = load.take()
    findings.calm = Load(before.seconds + after.seconds, before.failures + after.failures)
    assert driver.stdin is not None
    driver.stdin.close()
    await driver.wait()
    return findings


async def _answer(driver: asyncio.subprocess.Process) -> dict[str, Any]:
    assert driver.stdout is not None
    line = await driver.stdout.readline()
    if not line:
        raise RuntimeError("the process that rotates has ended; its last words are above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _tell(number: int, count: int, kind: str, seconds: float, load: Load) -> None:
    if sys.stderr.isatty() or kind != "leaf" or number % 50 == 0:
        sys.stderr.write(
            f"rotation {number} of {count}: {kind} in {seconds:.1f} s; "
            f"{len(load.seconds)} payments, {len(load.failures)} failed\n"
        )


def _report(findings: _Findings, ages: ConnectionAges) -> Report:
    calm, busy = _percentiles(findings.calm), _percentiles(findings.busy)
    failed = [*findings.calm.failures, *findings.busy.failures]
    for line in [*failed[:5], *findings.faults[:5]]:
        sys.stderr.write(f"failed: {line}\n")
    bound_s = CONNECTION_AGE_S_MAX + LOOK_EVERY_S
    figures = {
        "rotations": float(sum(len(seconds) for seconds in findings.rotations.values())),
        "rotations_failed": float(len(findings.faults)),
        "requests": float(len(findings.calm.seconds) + len(findings.busy.seconds) + len(failed)),
        "requests_failed": float(len(failed)),
        "connections_seen": float(ages.seen),
        "oldest_connection_s": ages.oldest_s,
        "listeners_with_older_connections": float(len(ages.older_than(bound_s))),
        "p50_calm_ms": calm[0], "p99_calm_ms": calm[1],
        "p50_rotating_ms": busy[0], "p99_rotating_ms": busy[1],
        "p99_ratio": busy[1] / calm[1],
    }  # fmt: skip
    rows: list[tuple[str, ...]] = [
        ("payments", "calm", f"{len(findings.calm.seconds):,}", f"{calm[0]:.1f}", f"{calm[1]:.1f}"),
        ("payments", "rotating", f"{len(findings.busy.seconds):,}", f"{busy[0]:.1f}", f"{busy[1]:.1f}"),
    ]
    for kind, seconds in findings.rotations.items():
        figures[f"{kind}_rotations"] = float(len(seconds))
        figures[f"{kind}_median_s"] = statistics.median(seconds)
        median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
        rows.append(("rotations", kind, f"{len(seconds):,}", shown(median), f"{shown(worst)} (worst)"))
    targets = (
        Target("rotations_failed", 0, at_most=True),
        Target("requests_failed", 0, at_most=True),
        Target("listeners_with_older_connections", 0, at_most=True),
        Target("p99_ratio", _P99_RATIO_MAX, at_most=True),
    )
    columns = ("what", "when", "count", "median ms", "99 % ms")
    return Report("rotation", _METHOD, columns, rows, figures, targets)


def _percentiles(load: Load) -> tuple[float, float]:
    cuts = statistics.quantiles(load.seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000
