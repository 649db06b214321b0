"""One run of `pipeline`: workers in processes of their own, payments fed to them, and what it came to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from pki.identity import TRUST_DOMAIN_DEFAULT
from services.node.config_file import NodeConfig
from tests.bench.pipeline_record import PipelineRecord
from tests.bench.pipeline_worker import WorkerOptions
from tests.bench.process_times import all_processes, used_s, with_children_s
from tests.integration.postgres_server import PostgresServer

BANK_S_MAX: Final = 0.05
_ENDED_S_MAX: Final = 300.0
_AGE_S_MAX: Final = 600.0  # No connection is renewed within a run: the clocks of its backend would be lost.
_STOP_S_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to.

    Attributes:
        payments: How many were fed and succeeded.
        per_s: By the time from the first success to the last.
        ages_s: From acceptance to success, each, in no order.
        cpu_s: By kind of process.
        transactions: Commits.
    """

    payments: int
    per_s: float
    ages_s: list[float]
    cpu_s: dict[str, float]
    transactions: int

    def cpu_us(self, kind: str) -> float:
        """CPU of one kind of process for one payment, in microseconds."""
        return self.cpu_s.get(kind, 0.0) / self.payments * 1_000_000

    def cpu_us_whole(self) -> float:
        """CPU of all processes for one payment, in microseconds."""
        return sum(self.cpu_s.values()) / self.payments * 1_000_000


@dataclass(frozen=True, slots=True)
class Setting:
    """How the engine is run.

    Attributes:
        workers: Processes.
        answer_s_max: The bank's longest pause.
        one_at_a_time: Without batches.
    """

    workers: int = 1
    answer_s_max: float = BANK_S_MAX
    one_at_a_time: bool = False


Feed = Callable[[PipelineRecord], Awaitable[int]]


async def run(
    server: PostgresServer,
    record: PipelineRecord,
    folder: Path,
    setting: Setting,
    feed: Feed,
    *,
    backends: Mapping[str, set[int]] | None = None,
) -> Run:
    """Let workers drive what is fed, and measure.

    Args:
        backends: More groups, of PostgreSQL's processes; the rest of the server is counted then, too, as
            `upkeep`.

    Raises:
        TimeoutError: It did not end.
        RuntimeError: Some did not succeed.
    """
    async with _working(server, record, folder, setting) as workers:
        groups = {"worker": {process.pid for process in workers}}
        if backends is None:
            return await measured(record, feed, groups, server.process_id)
        before = with_children_s(all_processes(), server.process_id)
        found = await measured(record, feed, groups | dict(backends), server.process_id)
        used = with_children_s(all_processes(), server.process_id) - before
        used -= sum(found.cpu_s[name] for name in ("postgres", *backends))
        found.cpu_s["upkeep"] = used
        return found


async def measured(
    record: PipelineRecord,
    feed: Feed,
    groups: Mapping[str, set[int]],
    postgres_id: int,
    *,
    whole_server: bool = False,
) -> Run:
    """Feed, wait for every end, and say what it took of each group of processes.

    Args:
        whole_server: Count all of PostgreSQL but the feeding connection, instead of the engine's backends:
            where connections are renewed meanwhile.

    Raises:
        TimeoutError: It did not end.
        RuntimeError: Some did not succeed.
    """
    place, transactions = await record.place(), await record.transactions()
    before = all_processes()
    fed = await feed(record)
    await record.until_ended(_ENDED_S_MAX)
    after = all_processes()
    cpu_s = used_s(groups, before, after)
    feeding = {await record.own_backend()}
    if whole_server:
        used = with_children_s(after, postgres_id) - with_children_s(before, postgres_id)
        cpu_s["postgres"] = used - used_s({"feeding": feeding}, before, after)["feeding"]
    else:
        backends = await record.engine_backends()
        # An id is only believed of a child of this server: its ids may be another namespace's.
        backends &= {key for key, process in after.items() if process.parent_id == postgres_id}
        cpu_s |= used_s({"postgres": backends}, before, after)
    ages_s = await record.ages_s(place)
    if len(ages_s) != fed:
        raise RuntimeError(f"{fed - len(ages_s)} of {fed} payments did not succeed")
    return Run(
        payments=fed,
        per_s=await record.rate_per_s(place),
        ages_s=ages_s,
        cpu_s=cpu_s,
        transactions=await record.transactions() - transactions,
    )


@asynccontextmanager
async def _working(
    server: PostgresServer, record: PipelineRecord, folder: Path, setting: Setting
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    processes: list[asyncio.subprocess.Process] = []
    try:
        for number in range(setting.workers):
            processes.append(  # noqa: PERF401 - those that were started are ended, whatever happens
                await _start(server, record, folder, setting, number)
            )
        for process in processes:
            assert process.stdout is not None
            if await process.stdout.readline() != b"ready\n":
                raise RuntimeError("a worker did not start; its last words are above")
        yield processes
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            try:
                async with asyncio.timeout(_STOP_S_MAX):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _start(
    server: PostgresServer, record: PipelineRecord, folder: Path, setting: Setting, number: int
) -> asyncio.subprocess.Process:
    state = folder / f"worker-{number}"
    state.mkdir(exist_ok=True)
    options = WorkerOptions(
        node=NodeConfig(
            name="payments",
            cell="eu",
            trust_domain=TRUST_DOMAIN_DEFAULT,
            identity=str(server.pki.identity("payments")),
            state_dir=str(state),
            connection_age_s_max=_AGE_S_MAX,
        ),
        postgres=server.reach("payments", record.database),
        seed=number,
        answer_s_max=setting.answer_s_max,
        one_at_a_time=setting.one_at_a_time,
    )
    file = state / "options.json"
    file.write_bytes(msgspec.json.encode(options))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.pipeline_worker", str(file),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
