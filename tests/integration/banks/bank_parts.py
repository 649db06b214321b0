"""The banks service and simulated banks over mutual TLS and a real PostgreSQL, without sidecars.

Without a sidecar nobody attests a caller, so the banks service admits payments' and the banks' own
certificates here; the mesh's tests run the same parts behind their sidecars.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.bank_simulator.app import BOOKS_FILE, running_bank
from services.bank_simulator.config import BankSimulatorConfig
from services.bank_simulator.script import SCRIPT_PATH, BankScript
from services.banks.app import build_app
from services.banks.callback_messages import CALLBACKS_PATH
from services.banks.callbacks import CONNECTIONS_MAX, open_desk
from services.banks.client import BanksClient
from services.banks.config import BankConfig, BanksConfig
from services.banks.connector import open_banks
from services.banks.messages import Attempt, Operation
from services.node.config_file import EgressConfig, ListenConfig, NodeConfig
from services.node.hop_client import HopAnswer, HopClient
from services.node.postgres import open_pool
from services.node.server import serve
from services.payments.machine.model import uetr_of
from tests.integration.postgres_server import PostgresServer

RAILS: Mapping[str, Literal["json", "card"]] = {
    "bank-alpha": "json", "bank-bravo": "json", "card-network": "card"
}  # fmt: skip
PROMPT = BankScript(latency_ms_max=0, later_s=0.05)
WAIT_S_MAX = 20.0
POLL_S = 0.02


def spiffe(name: str) -> str:
    return spiffe_id(name, TRUST_DOMAIN_DEFAULT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not await condition():  # noqa: ASYNC110 - what is waited for is a row or a file
            await asyncio.sleep(POLL_S)


def attempt(
    number: int | str, instrument: str = "tok_visa_ok", *, operation: Operation = "collect",
    bank: str = "bank-alpha", amount_minor: int = 1999, currency: str = "EUR", payment: str = "pay_eu_1",
    original_reference: str | None = None,
) -> Attempt:  # fmt: skip
    """An attempt of a payment that only the bank has to know."""
    attempt_id = f"att_eu_{number}"
    return Attempt(
        attempt_id, bank, operation, amount_minor, currency, instrument, payment, uetr_of(attempt_id),
        original_reference,
    )  # fmt: skip


@dataclass
class Parts:
    """What is running, and how to reach it as somebody."""

    folder: Path
    server: PostgresServer
    client: BanksClient
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in [*RAILS, "banks"]})
    _exits: AsyncExitStack = field(default_factory=AsyncExitStack)
    _hops: dict[tuple[str, str], HopClient] = field(default_factory=dict)
    _banks: dict[str, AsyncExitStack] = field(default_factory=dict)

    def node(self, name: str) -> dict[str, Any]:
        state = self.folder / name
        state.mkdir(exist_ok=True)
        return {
            "name": name,
            "cell": "eu",
            "trust_domain": TRUST_DOMAIN_DEFAULT,
            "identity": str(self.server.pki.identity(name)),
            "state_dir": str(state),
            "connection_age_s_max": 60.0,
        }

    def egress(self, name: str) -> EgressConfig:
        return EgressConfig(url=f"https://127.0.0.1:{self.ports[name]}", expect=spiffe(name))

    async def hop(self, caller: str, callee: str) -> HopClient:
        """A started client of `caller`'s own identity."""
        if (caller, callee) not in self._hops:
            hop = HopClient(
                NodeConfig(**self.node(caller)), self.egress(callee), timeout_s=12, believes_unsent=False
            )
            await hop.start()
            self._exits.push_async_callback(hop.close)
            self._hops[caller, callee] = hop
        return self._hops[caller, callee]

    async def tell(self, caller: str, body: bytes) -> HopAnswer:
        """Call the banks service as a bank does."""
        return await (await self.hop(caller, "banks")).call("POST", CALLBACKS_PATH, body)

    async def script(self, bank: str, script: BankScript) -> None:
        """Let a bank behave so, as the supervisor."""
        hop = await self.hop("supervisor", bank)
        answer = await hop.call("POST", SCRIPT_PATH, msgspec.json.encode(script))
        assert (200, script) == (answer.status, msgspec.json.decode(answer.body, type=BankScript))

    def ledger(self, bank: str, attempt_id: str | None = None) -> list[tuple[str, str, str, int, str]]:
        """From outside: attempt, payment, operation, amount, currency of every movement, in order."""
        with sqlite3.connect(self.folder / bank / BOOKS_FILE) as books:
            rows = books.execute(
                "select attempt_id, end_to_end_id, operation, amount_minor, currency from movement "
                "where ?1 is null or attempt_id = ?1 order by number",
                (attempt_id,),
            ).fetchall()
        books.close()
        return [tuple(row) for row in rows]

    async def start_bank(self, name: str) -> None:
        listen = ListenConfig(
            host="127.0.0.1", port=self.ports[name], admit=[spiffe("banks"), spiffe("supervisor")]
        )
        config = BankSimulatorConfig(
            **self.node(name), listen=listen, rail=RAILS[name], callbacks=self.egress("banks"), script=PROMPT
        )
        self._banks[name] = AsyncExitStack()
        await self._banks[name].enter_async_context(running_bank(config))

    async def stop_bank(self, name: str) -> None:
        await self._banks.pop(name).aclose()

    async def close(self) -> None:
        for name in list(self._banks):
            await self.stop_bank(name)
        await self._exits.aclose()


@asynccontextmanager
async def banks_service(parts: Parts, database: str) -> AsyncIterator[None]:
    """The banks service, for as long as the context lasts."""
    listen = ListenConfig(
        host="127.0.0.1",
        port=parts.ports["banks"],
        admit=[spiffe(name) for name in ("payments", "supervisor", *RAILS)],
    )
    config = BanksConfig(
        **parts.node("banks"),
        listen=listen,
        banks={
            name: BankConfig(**msgspec.structs.asdict(parts.egress(name)), rail=rail)
            for name, rail in RAILS.items()
        },
        postgres=parts.server.reach("banks", database),
    )
    paths = ("/v1/batches", "/v1/settlement")
    callers = {path: frozenset({"payments"}) for path in paths} | {CALLBACKS_PATH: frozenset(RAILS)}
    async with (
        open_banks(config) as banks,
        open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX) as pool,
        open_desk(pool) as desk,
    ):
        app = build_app(banks)
        desk.add_route(app)
        async with serve(app, config, listen, callers=callers, behind_sidecar=False):
            yield


@asynccontextmanager
async def running_parts(folder: Path, server: PostgresServer) -> AsyncIterator[Parts]:
    """The banks alone; enter `banks_service` for what stands in front of them."""
    parts = Parts(folder, server, client=None)  # type: ignore[arg-type]  # it needs the ports made here
    parts.client = BanksClient(await parts.hop("payments", "banks"))
    try:
        for name in RAILS:
            await parts.start_bank(name)
        yield parts
    finally:
        await parts.close()
