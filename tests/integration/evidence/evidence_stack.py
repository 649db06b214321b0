"""The evidence log as real processes over mutual TLS: PostgreSQL, sequencers, a witness."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from compose.derive.process_config import to_toml
from pki.identity import TRUST_DOMAIN_DEFAULT
from services.node.config_file import EgressConfig
from signing import SigningKey
from signing.evidence.checkpoint import Checkpoint, parse_checkpoint_body
from signing.evidence.entry import HASHED, Record, utc_text
from signing.evidence.note import parse_note, verify_cosignature, verify_log_signature
from signing.evidence.tree import EMPTY_ROOT, leaf_hash, node_hash
from signing.evidence.trust import NamedKey, TrustedKeys, write_trust
from tests.integration.payments.payments_samples import Request, World, accept
from tests.integration.payments.payments_stack import Program, free_port, spiffe, until
from tests.integration.postgres_server import PostgresServer

LOG, WITNESS = f"{TRUST_DOMAIN_DEFAULT}/eu", f"{TRUST_DOMAIN_DEFAULT}/witness"
SETTLE_S_MAX = 15.0


@dataclass
class LogStack:
    """The running parts of one test; `world` calls as gateway, operator and owner."""

    folder: Path
    server: PostgresServer
    database: str
    world: World
    log_key: SigningKey = field(default_factory=lambda: SigningKey.generate("ed25519"))
    witness_key: SigningKey = field(default_factory=lambda: SigningKey.generate("ed25519"))
    witness_port: int = field(default_factory=free_port)
    programs: dict[str, Program] = field(default_factory=dict)

    def _add(self, instance: str, module: str, document: dict[str, Any], name: str, port: int) -> Program:
        state = self.folder / instance
        state.mkdir(exist_ok=True)
        node = {
            "name": name,
            "cell": "eu",
            "trust_domain": TRUST_DOMAIN_DEFAULT,
            "identity": str(self.server.pki.identity(name)),
            "state_dir": str(state),
            "connection_age_s_max": 10.0,
            "trust_file": str(self.folder / "trust-keys.pem"),
        }
        callers = ["evidence", "supervisor"]
        listen = {"host": "127.0.0.1", "port": port, "admit": [spiffe(caller) for caller in callers]}
        config = self.folder / f"{instance}.toml"
        config.write_text(to_toml({**node, **document, "listen": listen}))
        program = self.programs[instance] = Program(module, config, self.folder / f"{instance}.log")
        program.start()
        return program

    def add_sequencer(self, instance: str = "evidence") -> Program:
        way = EgressConfig(url=f"https://127.0.0.1:{self.witness_port}", expect=spiffe("witness"))
        reach = self.server.reach("evidence", self.database)
        document = {
            "log_name": LOG,
            "log_key_file": str(self.folder / "log.key.pem"),
            "postgres": {
                name: getattr(reach, name) for name in ("host", "port", "database", "user", "expect")
            },
            "witnesses": {WITNESS: {"url": way.url, "expect": way.expect}},
        }
        return self._add(instance, "services.evidence", document, "evidence", free_port())

    def add_witness(self) -> Program:
        document = {"witness_name": WITNESS, "witness_key_file": str(self.folder / "witness.key.pem")}
        return self._add("witness", "services.witness", document, "witness", self.witness_port)

    async def accept(self, count: int) -> list[str]:
        """Accept payments of one merchant; return their ids."""
        merchant = await self.world.open_account(f"acc_{secrets.token_hex(4)}")
        requests = [Request(merchant.removeprefix("mer_"), merchant=merchant) for _ in range(count)]
        for start in range(0, count, 128):
            await accept(self.world.gateway, requests[start : start + 128])
        return [request.payment_id for request in requests]

    async def leaves(self) -> list[bytes]:
        """The hashes of all leaves in order; their indexes have no gap."""
        rows = await self.world.owner.fetch("select leaf_index, leaf_hash from evidence.leaf order by 1")
        assert list(range(len(rows))) == [row["leaf_index"] for row in rows]
        return [row["leaf_hash"] for row in rows]

    async def settled(self) -> list[bytes]:
        """Wait until every record has its leaf; return the leaves' hashes."""

        async def all_there() -> bool:
            return bool(
                await self.world.owner.fetchval(
                    "select (select count(*) from evidence.record) = (select count(*) from evidence.leaf)"
                )
            )

        await until(all_there, SETTLE_S_MAX)
        return await self.leaves()

    async def cosigned(self) -> int:
        """Wait until the newest checkpoint is cosigned; return its size."""

        async def newest_is() -> bool:
            return bool(
                await self.world.owner.fetchval(
                    "select (select max(size) from evidence.checkpoint)"
                    " = (select max(size) from evidence.cosignature)"
                )
            )

        await until(newest_is, SETTLE_S_MAX)
        return int(await self.world.owner.fetchval("select max(size) from evidence.cosignature"))

    async def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints in order; each is signed, and each line of a witness holds."""
        rows = await self.world.owner.fetch("select size, note from evidence.checkpoint order by size")
        lines = await self.world.owner.fetch("select size, line from evidence.cosignature")
        found = []
        for row in rows:
            note = parse_note(row["note"])
            verify_log_signature(note, LOG, self.log_key.verifying_key)
            found.append(parse_checkpoint_body(note.body))
            assert row["size"] == found[-1].size
            for line in (each["line"] for each in lines if each["size"] == row["size"]):
                verify_cosignature(parse_note(row["note"] + line), WITNESS, self.witness_key.verifying_key)
        return found

    async def records_as_leaves(self) -> list[bytes]:
        """The leaves as anyone who has the records computes them, in the log's order."""
        rows = await self.world.owner.fetch(
            "select r.* from evidence.record r join evidence.leaf l using (kind, subject) order by leaf_index"
        )
        return [leaf_hash(record_of(row).entry()) for row in rows]


def record_of(row: asyncpg.Record) -> Record:
    parts = {name: row[name] for name in HASHED}
    names = ("kind", "subject", "merchant_id", "key_id", "decision")
    return Record(**{name: row[name] for name in names}, decided_at=utc_text(row["decided_at"]), **parts)


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962 §2.1, as it stands there."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(naive_root(leaves[:middle]), naive_root(leaves[middle:]))


@asynccontextmanager
async def running_log(
    folder: Path, server: PostgresServer, database: str, world: World
) -> AsyncIterator[LogStack]:
    """A log without processes yet; what a test added is stopped at the end."""
    stack = LogStack(folder, server, database, world)
    for name, key in (("log", stack.log_key), ("witness", stack.witness_key)):
        file = folder / f"{name}.key.pem"
        file.touch(mode=0o600)
        file.write_bytes(key.to_pem())
    trust = TrustedKeys(
        (SigningKey.generate("ed25519").verifying_key,),
        (NamedKey(LOG, stack.log_key.verifying_key),),
        (NamedKey(WITNESS, stack.witness_key.verifying_key),),
    )
    (folder / "trust-keys.pem").write_bytes(write_trust(trust))
    try:
        yield stack
    finally:
        for program in stack.programs.values():
            if program.runs:
                program.stop()
