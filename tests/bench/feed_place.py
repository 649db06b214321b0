"""The servers that `feed` measures on, its processes, and what the record says of events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import trustme

from pki.identity import TRUST_DOMAIN_DEFAULT
from services.node.config_file import NodeConfig
from tests.bench.feed_process import LOOPBACK, Options
from tests.bench.pipeline_record import PipelineRecord, fresh_record
from tests.bench.told_process import ToldProcess, running_told
from tests.integration.nats_server import NatsServer, free_ports, running_nats
from tests.integration.postgres_server import PostgresServer

ENDPOINTS: Final = 100
_AGE_S_MAX: Final = 600.0  # No connection is renewed within a run.


@dataclass
class FeedPlace:
    """One record, one bus, and what each process is given."""

    server: PostgresServer
    bus: NatsServer
    record: PipelineRecord
    folder: Path
    options: Options

    @asynccontextmanager
    async def process(self, role: str, workload: str, **more: Any) -> AsyncIterator[ToldProcess]:
        """Run one process under a workload's identity."""
        options = msgspec.structs.replace(
            self.options,
            node=_node(workload, str(self.server.pki.identity(workload)), self.folder),
            postgres=self.server.reach(workload, self.record.database),
            **more,
        )
        file = self.folder / f"{role}.json"
        file.write_bytes(msgspec.json.encode(options))
        async with running_told("tests.bench.feed_process", role, str(file)) as process:
            await process.expect("ready")
            yield process

    async def add_endpoints(self) -> None:
        """Give each of the first merchants an endpoint."""
        await self.record.owner.execute(
            "select notifications.add_endpoint('whe_eu_' || n, 'mer_bench_' || n,"
            " 'https://' || $2 || ':' || $3::int || '/hook/' || n) from generate_series(0, $1::int - 1) n",
            ENDPOINTS, LOOPBACK, self.options.port,
        )  # fmt: skip

    async def commits_s(self, from_xid: int) -> dict[str, float]:
        """When each payment's event was committed, of transactions from this one on."""
        rows = await self.record.owner.fetch(
            "select payment_id, extract(epoch from pg_xact_commit_timestamp(xid::xid))::float8 as at"
            " from payments.event where xid >= $1::bigint::text::xid8",
            from_xid,
        )
        return {row["payment_id"]: row["at"] for row in rows}

    async def a_body(self) -> bytes:
        """The body of a webhook that was delivered."""
        body: bytes = await self.record.owner.fetchval("select body from notifications.delivery limit 1")
        return body


@asynccontextmanager
async def feed_place(server: PostgresServer, folder: Path) -> AsyncIterator[FeedPlace]:
    """A record with merchants and a bus, both new."""
    home = folder / "nats"
    home.mkdir(parents=True)
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    own = authority.issue_cert(LOOPBACK, key_type=trustme.KeyType.ECDSA)
    certificate, key, trust = (folder / f"{name}.pem" for name in ("certificate", "key", "trust"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    key.write_bytes(own.private_key_pem.bytes())
    trust.write_bytes(authority.cert_pem.bytes())
    with running_nats(home, server.pki.identity("nats")) as bus:
        async with fresh_record(server) as record:
            options = Options(
                node=_node("payments", "", folder),
                postgres=server.reach("payments", record.database),
                nats=bus.reach(),
                port=free_ports(1)[0],
                certificate=str(certificate),
                key=str(key),
                trust=str(trust),
            )
            yield FeedPlace(server, bus, record, folder, options)


def _node(name: str, identity: str, folder: Path) -> NodeConfig:
    return NodeConfig(
        name=name, cell="eu", trust_domain=TRUST_DOMAIN_DEFAULT, identity=identity, state_dir=str(folder),
        connection_age_s_max=_AGE_S_MAX, log_level="error",
    )  # fmt: skip
