"""Engine and banks as real processes over mutual TLS, no sidecars.

Connector and fraud service run in the test's own process.

Without a sidecar nobody attests the caller, so the connector admits the engine's own certificate here; the
mesh's tests run the same parts behind their sidecars.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from compose.derive.process_config import to_toml
from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.banks.app import build_app
from services.banks.config import BankConfig, BanksConfig
from services.banks.connector import open_banks
from services.banks.messages import Statement, StatementLine
from services.node.bus import connect_bus
from services.node.config_file import EgressConfig, ListenConfig, NodeConfig
from services.node.errors import HopUnsent
from services.node.hop_client import HopClient
from services.node.server import serve
from signing import SigningKey
from tests.integration.fraud.fraud_stack import FraudStack
from tests.integration.nats_server import NatsServer
from tests.integration.payments.payments_samples import BANKS, Connect, World
from tests.integration.postgres_server import PostgresServer
from tests.unit.services.fraud.rule_samples import STOLEN, pack_text

POLL_S = 0.05


def spiffe(name: str) -> str:
    return spiffe_id(name, TRUST_DOMAIN_DEFAULT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], Awaitable[bool]], wait_s_max: float) -> None:
    """Return once the condition holds; fail after the wait."""
    async with asyncio.timeout(wait_s_max):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in other processes
            await asyncio.sleep(POLL_S)


@dataclass
class Program:
    """One `python -m module --config FILE` that can be killed and started again."""

    module: str
    config: Path
    log: Path
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--config", self.config], stdout=log, stderr=log
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait()
        self._process = None
        return code

    @property
    def runs(self) -> bool:
        return self._process is not None


@dataclass
class Stack:
    """The running parts of one test."""

    folder: Path
    server: PostgresServer
    database: str
    bus: NatsServer
    world: World
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in [*BANKS, "banks", "vault"]}
    )
    programs: dict[str, Program] = field(default_factory=dict)

    def node(self, name: str) -> dict[str, Any]:
        state = self.folder / name
        state.mkdir(exist_ok=True)
        return {
            "name": name,
            "cell": "eu",
            "trust_domain": TRUST_DOMAIN_DEFAULT,
            "identity": str(self.server.pki.identity(name)),
            "state_dir": str(state),
            "connection_age_s_max": 10.0,
        }

    def egress(self, name: str) -> EgressConfig:
        return EgressConfig(url=f"https://127.0.0.1:{self.ports[name]}", expect=spiffe(name))

    def add(self, instance: str, module: str, document: dict[str, Any]) -> Program:
        config = self.folder / f"{instance}.toml"
        config.write_text(to_toml(document))
        program = self.programs[instance] = Program(module, config, self.folder / f"{instance}.log")
        program.start()
        return program

    def add_bank(self, name: str) -> Program:
        listen = {
            "host": "127.0.0.1",
            "port": self.ports[name],
            "admit": [spiffe("banks"), spiffe("supervisor")],
        }
        return self.add(name, "services.bank_simulator", self.node(name) | {"listen": listen})

    def add_engine(self, instance: str) -> Program:
        document = self.node("payments") | {
            "bank_names": BANKS,
            "banks": msgspec.structs.asdict(self.egress("banks")),
            "fraud": msgspec.structs.asdict(self.egress("fraud")),
            "listen": {"host": "127.0.0.1", "port": free_port(), "admit": [spiffe("payments-sidecar")]},
            "postgres": msgspec.structs.asdict(self.server.reach("payments", self.database)),
            "nats": msgspec.structs.asdict(self.bus.reach()),
        }
        return self.add(instance, "services.payments", document)

    async def banks_answer(self) -> bool:
        try:
            return await self.charges(["pay_of_nobody"]) == []
        except HopUnsent:
            return False

    async def all_ended(self) -> bool:
        """Every payment has reached its end, and every credit its window."""
        waiting = await self.world.owner.fetchval(
            "select (select count(*) from payments.payment where due is not null)"
            " + (select count(*) from payments.account where unposted_minor > 0)"
        )
        return int(waiting) == 0

    async def charges(self, end_to_end_ids: Collection[str]) -> list[StatementLine]:
        """What the banks' own statements say about these payments."""
        lines: list[StatementLine] = []
        node = NodeConfig(**self.node("supervisor"))
        for bank in BANKS:
            hop = HopClient(node, self.egress(bank), timeout_s=5, believes_unsent=False)
            await hop.start()
            try:
                for identifier in end_to_end_ids:
                    answer = await hop.call("GET", f"/v1/statement?end_to_end_id={identifier}")
                    lines += msgspec.json.decode(answer.body, type=Statement).lines
            finally:
                await hop.close()
        return lines

    async def published(self) -> list[dict[str, Any]]:
        """Every event that the bus holds, in its order."""
        client = await connect_bus(NodeConfig(**self.node("payments")), self.bus.reach())
        try:
            stream = client.jetstream()
            last = (await stream.stream_info("EVENTS")).state.last_seq
            events: list[dict[str, Any]] = []
            for sequence in range(1, last + 1):
                message = await stream.get_msg("EVENTS", seq=sequence)
                events += msgspec.json.decode(message.data or b"")["events"]
            return events
        finally:
            await client.close()


@asynccontextmanager
async def running_stack(
    folder: Path, server: PostgresServer, database: str, bus: NatsServer, connect: Connect
) -> AsyncIterator[Stack]:
    """Run banks and connector; engines are added by the test."""
    stack = Stack(folder, server, database, bus, await World.enter(connect))
    listen = ListenConfig(host="127.0.0.1", port=stack.ports["banks"], admit=[spiffe("payments")])
    config = BanksConfig(
        **stack.node("banks"),
        listen=listen,
        banks={bank: BankConfig(**msgspec.structs.asdict(stack.egress(bank))) for bank in BANKS},
        postgres=server.reach("banks", database),
        # Nobody listens there: these stacks pay with test tokens, which the vault is not asked about.
        vault=stack.egress("vault"),
    )
    callers = {path: frozenset({"payments"}) for path in ("/v1/batches",)}
    fraud_home = folder / "fraud"
    fraud_home.mkdir()
    fraud = FraudStack(fraud_home, server, database, stack.world.owner, SigningKey.generate("ed25519"))
    fraud.write_rules(pack_text(STOLEN))
    async with AsyncExitStack() as exits:
        screening = await exits.enter_async_context(fraud.running())
        stack.ports["fraud"] = screening.config.listen.port
        banks = await exits.enter_async_context(open_banks(config))
        app = build_app(banks)
        await exits.enter_async_context(serve(app, config, listen, callers=callers, behind_sidecar=False))
        for bank in BANKS:
            stack.add_bank(bank)
        try:
            await until(stack.banks_answer, 20)
            yield stack
        finally:
            for program in stack.programs.values():
                if program.runs:
                    program.stop()
