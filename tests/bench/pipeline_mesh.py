"""The run of `pipeline` through the whole mesh: sidecars, connectors, simulators and the fraud service."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from compose.derive.stores import DATABASE
from compose.launcher.stack import Stack, StackOptions
from pki.tls import client_context
from tests.bench.pipeline_record import prepared
from tests.bench.pipeline_runs import Feed, Run, measured
from tests.raised_limits import RAISED


async def mesh_run(folder: Path, feeds: tuple[Feed, Feed]) -> Run:
    """Start everything, feed once to warm up, and once to measure."""
    stack = await Stack.start(StackOptions(folder, limits=RAISED), lambda *_: None)
    try:
        address = stack.places.addresses["postgres.tls"]
        expect = frozenset({stack.mesh.spiffe("postgres")})
        context = client_context(stack.places.identity("migrator"), expect=expect)
        owner = await asyncpg.connect(
            host=address.host, port=address.port, user="migrator", database=DATABASE, ssl=context
        )
        try:
            record = await prepared(owner, DATABASE)
            processes = stack.supervisor.pids()
            groups = groups_of(processes)
            warming, feed = feeds
            server = processes["postgres"]
            await measured(record, warming, groups, server, whole_server=True)
            return await measured(record, feed, groups, server, whole_server=True)
        finally:
            await owner.close()
    finally:
        await stack.stop()


def groups_of(processes: dict[str, int]) -> dict[str, set[int]]:
    """Which processes belong together, of those that a payment passes through (pure)."""
    groups: dict[str, set[int]] = {}
    for name, process_id in processes.items():
        if name.endswith("-sidecar"):
            group = "sidecars" if name.removesuffix("-sidecar") in _ON_THE_WAY else None
        elif name in _ON_THE_WAY:
            group = "worker" if name == "payments" else name
        else:
            group = "simulators" if name.startswith("bank-") or name == "card-network" else None
        if group is not None:
            groups.setdefault(group, set()).add(process_id)
    return groups


_ON_THE_WAY = frozenset({"payments", "banks", "fraud"})
