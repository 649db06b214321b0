"""Leaves a second, durable and not, beside openssl, easy-rsa and the bare primitive; a long ledger opened."""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

from pki.durable_files import Disk
from tests.bench import issuance_contenders as contenders
from tests.bench.issuance_contenders import LEAVES_A_TURN, Issuer
from tests.bench.report import Report, Target, shown

_QUICK_S: Final = 15  # with the ledger and the preparations it ends within 50 s on a loaded host
_WHOLE_S: Final = 90
_ROUNDS_MIN: Final = 5  # fewer have no median worth the name
_DURABLE_LEAVES_PER_S_MIN: Final = 300
_UNSYNCED_LEAVES_PER_S_MIN: Final = 2000
_LEDGER_LINES: Final = 100_000
_LEDGER_OPENINGS: Final = 3
# A target is reached from below by no time: openings per second, one for the wanted second.
_LEDGER_OPENINGS_PER_S_MIN: Final = 1.0
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs", "overlay"})
_METHOD: Final = (
    f"Ours: IssuingAuthority.issue for {LEAVES_A_TURN} workloads of a new tree, as the command does:",
    "the ledger verified, intents on disk, key, lint, signature, results on disk, then five files and a",
    "link for each. Durable: returns when all survives a power cut (fsync, syncfs). Unsynced:",
    "the same work and files without waiting for the disk, which only this benchmark can ask for.",
    "openssl: req -new and x509 -req for each leaf. easy-rsa: build-server-full for each leaf, P-256. They",
    "neither sync nor lint nor record. Bare primitive: a P-256 key and an ECDSA signature a leaf, in memory.",
    "Contenders take turns in rounds. Wall-clock time: median of all rounds, 10th and 90th percentile in",
    "brackets; and leaves per second of processor time, of all processes that took part.",
)


def measure(*, quick: bool) -> Report:
    """Measure everything at once."""
    place, filesystem = _place()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="issuance-", dir=place) as folder:
        root = Path(folder)
        field = _field(root)
        rounds = _run_rounds(field, _QUICK_S if quick else _WHOLE_S)
        ledger_s = _open_ledger(root)
    rows, figures = _rows(field)
    figures |= {
        "rounds": float(rounds),
        "load_average_before": load,
        "cores": float(os.cpu_count() or 0),
        "ledger_of_100000_lines_open_s": round(ledger_s, 3),
        "ledger_of_100000_lines_openings_per_s": round(1 / ledger_s, 3),
    }
    rows.append(("open a ledger", f"ours, {_LEDGER_LINES:,} lines", f"{ledger_s:.2f} s", "", "", ""))
    return Report(
        benchmark="issuance",
        method=(
            *_METHOD,
            f"Filesystem: {filesystem}. {rounds} rounds.",
            f"{os.cpu_count()} cores, load average {load:.1f} before.",
        ),
        columns=("", "contender", "leaves/s", "[10 % 90 %]", "per CPU second", "durable ours is ×"),
        rows=rows,
        figures=figures,
        targets=(
            Target("durable_leaves_per_s", _DURABLE_LEAVES_PER_S_MIN),
            Target("unsynced_leaves_per_s", _UNSYNCED_LEAVES_PER_S_MIN),
            Target("ledger_of_100000_lines_openings_per_s", _LEDGER_OPENINGS_PER_S_MIN),
        ),
    )


def _field(root: Path) -> list[Issuer]:
    disks = {"durable": Disk(), "unsynced": contenders.UnsyncedDisk()}
    field = [
        Issuer(f"ours, {key}", key, partial(contenders.ours, root / key, disk), LEAVES_A_TURN)
        for key, disk in disks.items()
    ]
    field.append(Issuer("bare primitive", "bare", lambda: contenders.primitive, LEAVES_A_TURN))
    if shutil.which("openssl") is not None:
        openssl = contenders.openssl(root / "openssl")
        field.append(Issuer("openssl", "openssl", lambda: openssl, 8))
        if contenders.EASY_RSA.exists():
            easy_rsa = contenders.easy_rsa(root / "easy-rsa")
            field.append(Issuer("easy-rsa", "easy_rsa", lambda: easy_rsa, 2))
    return field


def _run_rounds(field: list[Issuer], seconds: float) -> int:
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < _ROUNDS_MIN or time.monotonic() < end:
        for issuer in reversed(field) if rounds % 2 else field:
            issue = issuer.ready()
            gc.collect()
            names = [f"workload-{rounds}-{number}" for number in range(issuer.leaves)]
            processor, wall = _processor_s(), time.monotonic()
            issue(names)
            wall, processor = time.monotonic() - wall, _processor_s() - processor
            issuer.turns.append((issuer.leaves / wall, issuer.leaves / processor))
        rounds += 1
    return rounds


def _processor_s() -> float:
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


def _open_ledger(root: Path) -> float:
    tree = contenders.write_ledger(root / "ledger", _LEDGER_LINES)
    times = []
    for _ in range(_LEDGER_OPENINGS):
        begin = time.monotonic()
        if contenders.open_ledger(tree) != _LEDGER_LINES // 2:
            raise AssertionError("the ledger was not read whole")
        times.append(time.monotonic() - begin)
    return statistics.median(times)


def _rows(field: list[Issuer]) -> tuple[list[tuple[str, ...]], dict[str, float]]:
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    durable = statistics.median(wall for wall, _ in field[0].turns)
    for issuer in field:
        walls = [wall for wall, _ in issuer.turns]
        tenths = statistics.quantiles(walls, n=10)
        median, processor = statistics.median(walls), statistics.median(each for _, each in issuer.turns)
        spread = f"[{shown(tenths[0])} {shown(tenths[-1])}]"
        rows.append(
            ("issue", issuer.name, shown(median), spread, shown(processor), f"{durable / median:.2f}")
        )
        figures[f"{issuer.key}_leaves_per_s"] = round(median, 1)
        figures[f"{issuer.key}_leaves_per_cpu_s"] = round(processor, 1)
    missing = {"openssl", "easy-rsa"} - {issuer.name for issuer in field}
    rows += [("issue", name, "not installed", "", "", "") for name in sorted(missing)]
    return rows, figures


def _place() -> tuple[str, str]:
    """Return a folder on a real filesystem, and what that filesystem is; TMPDIR chooses."""
    for folder in (tempfile.gettempdir(), "/var/tmp", str(Path.cwd())):
        kind, device = _mounted(folder)
        if kind not in _IN_MEMORY:
            return folder, f"{kind} on {device}"
    raise SystemExit("no folder on a real filesystem: set TMPDIR to one")


def _mounted(folder: str) -> tuple[str, str]:
    """Return type and device of the filesystem of a folder. Source: proc(5), /proc/self/mounts."""
    path = Path(folder).resolve()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    device, _, kind, *_ = max(
        (mount for mount in mounts if path.is_relative_to(mount[1])), key=lambda mount: len(mount[1])
    )
    return kind, device
