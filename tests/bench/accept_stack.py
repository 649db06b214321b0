"""What `accept` runs on: edge, sidecar, record and cache as ./start runs them, and who answers there."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from compose.derive.stores import DATABASE
from compose.launcher.accounts import command_as
from compose.launcher.databases import migrate_schemas, prepare_cluster
from compose.launcher.process_spec import ProcessSpec, plan_processes
from compose.launcher.release import checkout_root
from compose.launcher.stack import Stack
from pki.tls import client_context
from tests.bench.load_order import Target
from tests.bench.told_process import end_processes

# Of a real cell; the demonstration renews its connections every few seconds, which merchants' do not.
CONNECTION_AGE_S: Final = 300.0
_SUPERVISED: Final = ("edge", "gateway-sidecar", "postgres", "redis")
_READY_S_MAX: Final = 30.0
_PROBE_EVERY_S: Final = 0.05
_MERCHANTS = """
insert into registry.merchant (id, name, home_cell, api_version, created_at)
select 'mer_bench_' || n, 'bench', 'eu', '2026-10-01', now()
from generate_series(1, cardinality($1::text[])) n
"""
_KEYS = """
insert into registry.merchant_key (key_id, merchant_id, jwk, registered_at)
select g.jwk::json ->> 'kid', 'mer_bench_' || g.n, g.jwk, now()
from unnest($1::text[]) with ordinality g (jwk, n)
"""
_ACCOUNTS = """
insert into payments.account (account_id, merchant_id, currency)
select 'acc_bench_' || n, 'mer_bench_' || n, 'EUR' from generate_series(1, cardinality($1::text[])) n
"""


class DoorStack(Stack):
    """The door alone: nothing drives what it accepts. The gateway is started by whoever measures."""

    gateway: ProcessSpec

    async def _run_processes(self) -> None:
        plan = plan_processes(self.mesh, self.places, self.release, self.accounts)
        supervised = [spec for spec in plan if spec.name in _SUPERVISED]
        self.gateway = next(spec for spec in plan if spec.name == "gateway")
        self.supervisor.start(supervised)
        await asyncio.to_thread(
            prepare_cluster, self.mesh, self.layout.state / "postgres", self.accounts["postgres"]
        )
        self.supervisor.milestone("cluster")
        await self.supervisor.wait_ready(["postgres"])
        await migrate_schemas(self.mesh, self.places, checkout_root())
        await self.supervisor.wait_ready([spec.name for spec in supervised])


def edge_target(stack: Stack) -> Target:
    """The merchants' way in."""
    address = stack.places.addresses["edge.public"]
    trust = stack.places.identity("supervisor") / "trust.pem"
    return Target(stack.places.origins[0], address.host, address.port, trust_file=str(trust))


def direct_target(stack: Stack) -> Target:
    """Straight to where the gateway listens, as its sidecar."""
    address = stack.places.addresses["gateway.app"]
    return Target(
        stack.places.origins[0],
        address.host,
        address.port,
        identity=str(stack.places.identity("gateway-sidecar")),
        expect=stack.mesh.spiffe("gateway"),
    )


async def owner_of(stack: Stack) -> asyncpg.Connection[asyncpg.Record]:
    """A connection of the schemas' owner."""
    address = stack.places.addresses["postgres.tls"]
    context = client_context(
        stack.places.identity("migrator"), expect=frozenset({stack.mesh.spiffe("postgres")})
    )
    return await asyncpg.connect(
        host=address.host, port=address.port, user="migrator", database=DATABASE, ssl=context
    )


async def enrol(owner: asyncpg.Connection[asyncpg.Record], jwks: Sequence[dict[str, str]]) -> None:
    """Make a merchant with an account for each key; `mer_bench_1` is the first one."""
    texts = [json.dumps(jwk) for jwk in jwks]
    for statement in (_MERCHANTS, _KEYS, _ACCOUNTS):
        await owner.execute(statement, texts)


@asynccontextmanager
async def gateways(stack: DoorStack, number: int) -> AsyncIterator[set[int]]:
    """The product's own gateway, as many workers as wanted; yields their process ids."""
    spec = stack.gateway
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **spec.environment}
    command = command_as(spec.account, spec.argv, parent_death_signal="TERM")
    processes: list[asyncio.subprocess.Process] = []
    try:
        with (stack.layout.log / "gateway.log").open("ab") as log:
            for _ in range(number):
                processes.append(  # noqa: PERF401 - those that were started are ended, whatever happens
                    await asyncio.create_subprocess_exec(
                        *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                        env=environment, cwd="/", umask=0o077, start_new_session=True,
                    )
                )  # fmt: skip
        async with asyncio.timeout(_READY_S_MAX):
            while not await spec.ready():
                if any(process.returncode is not None for process in processes):
                    raise RuntimeError(f"the gateway ended: see {stack.layout.log}/gateway.log")
                await asyncio.sleep(_PROBE_EVERY_S)
        yield {process.pid for process in processes}
    finally:
        await end_processes(processes)


@asynccontextmanager
async def only_answering(stack: DoorStack) -> AsyncIterator[set[int]]:
    """The handler that only answers, in the gateway's place; yields its process id."""
    address = stack.places.addresses["gateway.app"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.only_answers", address.bind, str(address.port),
        str(stack.places.identity("gateway")), stack.mesh.spiffe("gateway-sidecar"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=checkout_root(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the handler did not start; its last words are above")
        yield {process.pid}
    finally:
        await end_processes([process])
