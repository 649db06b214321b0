"""The fraud service in the test's own process over mutual TLS, with a real PostgreSQL, without sidecars.

Without a sidecar nobody attests the caller, so the service admits the engine's own certificate here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.fraud.app import CONNECTIONS_MAX, build_app
from services.fraud.client import FraudClient
from services.fraud.config import FraudConfig
from services.fraud.messages import SCREENING_CALL_S_MAX, SCREENINGS_PATH
from services.fraud.rule_file import sign_rules
from services.fraud.rules_in_force import RulesInForce
from services.fraud.screener import Screener
from services.fraud.store import Store
from services.node.config_file import EgressConfig, ListenConfig, NodeConfig
from services.node.hop_client import HopClient
from services.node.postgres import open_pool
from services.node.process import cancel_until_heard
from services.node.server import serve
from signing import SigningKey
from tests.integration.postgres_server import PostgresServer


@dataclass
class FraudStack:
    """One database and the files of one service; `running` serves it, any number of times."""

    folder: Path
    server: PostgresServer
    database: str
    owner: asyncpg.Connection
    key: SigningKey

    def write_rules(self, text: bytes, key: SigningKey | None = None) -> None:
        """Sign rules and rename them over the file that the service reads."""
        aside = self.folder / "rules.new"
        aside.write_bytes(sign_rules(text, key or self.key))
        aside.rename(self.folder / "rules.toml")

    def node(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "cell": "eu",
            "trust_domain": TRUST_DOMAIN_DEFAULT,
            "identity": str(self.server.pki.identity(name)),
            "state_dir": str(self.folder),
            "connection_age_s_max": 10.0,
        }

    def config(self) -> FraudConfig:
        trust = self.folder / "trust.pem"
        trust.write_bytes(self.key.verifying_key.to_spki_pem())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        admit = [spiffe_id(name, TRUST_DOMAIN_DEFAULT) for name in ("payments", "gateway")]
        return FraudConfig(
            **self.node("fraud"),
            listen=ListenConfig(host="127.0.0.1", port=port, admit=admit),
            postgres=self.server.reach("fraud", self.database),
            rules_file=str(self.folder / "rules.toml"),
            rules_trust_file=str(trust),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """One worker; leaving the context stops it."""
        config = self.config()
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX)
            )
            store = Store(pool)
            rules = RulesInForce(Path(config.rules_file), [self.key.verifying_key], store)
            await rules.adopt_first()
            screener = Screener(store, rules)
            callers = {SCREENINGS_PATH: frozenset({"payments"})}
            app = build_app(screener)
            await stack.enter_async_context(
                serve(app, config, config.listen, callers=callers, behind_sidecar=False)
            )
            task = asyncio.create_task(screener.run())
            stack.push_async_callback(cancel_until_heard, [task])
            yield Running(self, config, store, rules, screener)

    async def verdicts(self) -> dict[str, str]:
        """Every decision in the journal."""
        rows = await self.owner.fetch("select payment_id, verdict from fraud.decision")
        return {row["payment_id"]: row["verdict"] for row in rows}


@dataclass
class Running:
    """One running worker."""

    stack: FraudStack
    config: FraudConfig
    store: Store
    rules: RulesInForce
    screener: Screener

    @asynccontextmanager
    async def hop(self, caller: str = "payments") -> AsyncIterator[HopClient]:
        listen = self.config.listen
        egress = EgressConfig(
            url=f"https://{listen.host}:{listen.port}", expect=spiffe_id("fraud", TRUST_DOMAIN_DEFAULT)
        )
        node = NodeConfig(**self.stack.node(caller))
        hop = HopClient(node, egress, timeout_s=SCREENING_CALL_S_MAX + 1, believes_unsent=False)
        await hop.start()
        try:
            yield hop
        finally:
            await hop.close()

    @asynccontextmanager
    async def client(self, caller: str = "payments") -> AsyncIterator[FraudClient]:
        async with self.hop(caller) as hop:
            yield FraudClient(hop)
