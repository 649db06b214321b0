"""The vault in the test's own process over mutual TLS, with a real PostgreSQL, without sidecars.

Without a sidecar nobody attests the caller, so the vault admits the callers' own certificates here.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.node.config_file import EgressConfig, ListenConfig, NodeConfig
from services.node.hop_client import HopClient
from services.node.postgres import open_pool
from services.node.server import serve
from services.vault.app import CONNECTIONS_MAX, Vault
from services.vault.cell_keys import FileCellKeys, with_new_key
from services.vault.client import VaultClient
from services.vault.config import VaultConfig
from services.vault.messages import INSTRUMENTS_PATH, RESOLUTIONS_PATH
from services.vault.store import Store
from tests.integration.postgres_server import PostgresServer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class VaultStack:
    """One database and the files of one vault; `running` serves it, any number of times."""

    folder: Path
    server: PostgresServer
    database: str
    port: int

    @classmethod
    def create(
        cls, folder: Path, server: PostgresServer, database: str, port: int | None = None
    ) -> VaultStack:
        stack = cls(folder, server, database, port or free_port())
        stack.key_file.write_bytes(with_new_key(b""))
        stack.key_file.chmod(0o600)
        return stack

    @property
    def key_file(self) -> Path:
        return self.folder / "cell.keys"

    @property
    def egress(self) -> EgressConfig:
        url = f"https://127.0.0.1:{self.port}"
        return EgressConfig(url=url, expect=spiffe_id("vault", TRUST_DOMAIN_DEFAULT))

    def node(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "cell": "eu",
            "trust_domain": TRUST_DOMAIN_DEFAULT,
            "identity": str(self.server.pki.identity(name)),
            "state_dir": str(self.folder),
            "connection_age_s_max": 10.0,
        }

    def config(self) -> VaultConfig:
        admit = [spiffe_id(name, TRUST_DOMAIN_DEFAULT) for name in ("gateway", "banks", "payments")]
        return VaultConfig(
            **self.node("vault"),
            listen=ListenConfig(host="127.0.0.1", port=self.port, admit=admit),
            postgres=self.server.reach("vault", self.database),
            cell_key_file=str(self.key_file),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Vault]:
        """One worker; leaving the context stops it."""
        config = self.config()
        callers = {INSTRUMENTS_PATH: frozenset({"gateway"}), RESOLUTIONS_PATH: frozenset({"banks"})}
        async with open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX) as pool:
            vault = Vault(Store(pool), FileCellKeys(self.key_file), "eu")
            async with serve(vault.build_app(), config, config.listen, callers=callers, behind_sidecar=False):
                yield vault
            await vault.close()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        config = self.config()
        async with open_pool(config, config.postgres, connections_max=2) as pool:
            yield Store(pool)

    @asynccontextmanager
    async def hop(self, caller: str) -> AsyncIterator[HopClient]:
        hop = HopClient(NodeConfig(**self.node(caller)), self.egress, timeout_s=10, believes_unsent=False)
        await hop.start()
        try:
            yield hop
        finally:
            await hop.close()

    @asynccontextmanager
    async def client(self, caller: str) -> AsyncIterator[VaultClient]:
        async with self.hop(caller) as hop:
            yield VaultClient(hop)

    async def query(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """As the owner of the schemas, who is no service."""
        connection = await self.server.connect("migrator", self.database)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()
