"""A real gateway process with its own PostgreSQL and Redis, all mutual TLS; the test plays the sidecar.

`Gateway.send` writes the exact bytes of a request and reads the answer, so that tests control every header
line. PostgreSQL is reached through a relay that a test can cut and mend.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from compose.launcher.databases import schema_folders
from gateway.config import GatewayConfig, LimitsConfig, OperatorConfig
from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.tls import client_context
from services.node.config_file import ListenConfig, RedisConfig
from services.notifications.sealing import SecretOpener, new_seal_key
from signing import (
    Request,
    Response,
    SigningKey,
    VerifiedReceipt,
    keys_from_jwks,
    keys_to_jwks,
    sign_request,
    verify_receipt,
)
from signing.evidence.trust import NamedKey, TrustedKeys, write_trust
from tests.integration.gateway.config_text import config_text
from tests.integration.gateway.gateway_stores import Redis, Relay, free_port, running_redis
from tests.integration.gateway.merchant_requests import HOST, ORIGIN, first_key_request
from tests.integration.gateway.octets import ask_with_octets
from tests.integration.postgres_server import PostgresServer, running_postgres
from tests.integration.vault.vault_stack import VaultStack
from tests.raised_limits import RAISED_GATEWAY

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = schema_folders(ROOT)
LOG_NAME = f"{TRUST_DOMAIN_DEFAULT}/eu"
START_S_MAX = 20.0
POLL_S = 0.02


@dataclass(frozen=True)
class Merchant:
    """An enrolled merchant with its registered key."""

    merchant_id: str
    key: SigningKey


@dataclass
class Gateway:
    """The running gateway, and everything a test needs to speak to it and to look behind it."""

    server: PostgresServer
    database: str
    relay: Relay
    redis: Redis
    config: GatewayConfig
    operator_config: Path
    home: Path
    log_key: SigningKey
    vault: VaultStack
    webhook_key: SigningKey
    seal_key: bytes
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _merchant: Merchant | None = None

    def start(self) -> None:
        config_file = self.home / "gateway.toml"
        config_file.write_bytes(config_text(self.config))
        log = (self.home / "gateway.log").open("ab")
        command = [sys.executable, "-m", "gateway", "--config", str(config_file)]
        self.processes.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))
        log.close()

    def stop(self) -> list[int]:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=30) for process in self.processes]
        self.processes.clear()
        return codes

    async def await_ready(self, *, ready: bool = True) -> None:
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            try:
                answer = await self.send(Request("GET", f"{ORIGIN}/healthz", (), None), caller="supervisor")
            except OSError:
                answer = None
            if answer is not None and (answer.status == 200) == ready:
                return
            await asyncio.sleep(POLL_S)
        raise RuntimeError(f"the gateway did not become ready={ready}: {self.log()[-3000:]}")

    def log(self) -> str:
        return (self.home / "gateway.log").read_text()

    async def send(
        self, request: Request, *, caller: str | None = "edge", peer: str = "gateway-sidecar"
    ) -> Response:
        """Send exactly these header lines, with Host, length and the caller's description added."""
        target = request.target_uri.removeprefix(ORIGIN)
        lines = [f"{request.method} {target} HTTP/1.1", f"Host: {HOST}", "Connection: close"]
        if caller is not None:
            mine = spiffe_id("gateway-sidecar", TRUST_DOMAIN_DEFAULT)
            theirs = spiffe_id(caller, TRUST_DOMAIN_DEFAULT)
            lines.append(f"x-forwarded-client-cert: By={mine};URI={theirs}")
        lines += [f"{name}: {value}" for name, value in request.headers]
        body = request.body or b""
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return await self.send_raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body, peer=peer)

    async def send_raw(self, octets: bytes, *, peer: str = "gateway-sidecar") -> Response:
        expect = frozenset({spiffe_id("gateway", TRUST_DOMAIN_DEFAULT)})
        context = client_context(self.server.pki.identity(peer), expect=expect)
        return await ask_with_octets(self.config.listen.port, context, octets)

    async def counter(self, name: str) -> float:
        """The value of a counter without labels, as the supervisor reads it."""
        page = await self.send(Request("GET", f"{ORIGIN}/metrics", (), None), caller="supervisor")
        line = next(line for line in page.body.decode().splitlines() if line.startswith(f"{name} "))
        return float(line.split(" ")[1])

    async def refusals_by_code(self) -> dict[str, float]:
        """The counter of refusals by code, as the supervisor reads it."""
        page = await self.send(Request("GET", f"{ORIGIN}/metrics", (), None), caller="supervisor")
        found = re.findall(
            r'^gateway_refusals_total\{code="([a-z_]+)"\} (\S+)$', page.body.decode(), re.MULTILINE
        )
        return {code: float(value) for code, value in found}

    async def merchant(self) -> Merchant:
        """The merchant of these tests, enrolled by the operator's command; its key by its own request."""
        if self._merchant is None:
            self._merchant = await self.enrol("Demo", "EUR")
        return self._merchant

    def operate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "gateway.operator",
            "--config",
            str(self.operator_config),
            *arguments,
        ]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    async def enrol(self, name: str, *currencies: str) -> Merchant:
        enrolled = self.enrol_only(name, *currencies)
        key = SigningKey.generate("ed25519")
        answer = await self.send(self.sign(first_key_request(key, enrolled), key))
        assert answer.status == 201, answer.body
        return Merchant(enrolled["merchant_id"], key)

    def enrol_only(self, name: str, *currencies: str) -> dict[str, str]:
        options = [option for currency in currencies for option in ("--currency", currency)]
        done = self.operate("enrol", "--name", name, *options, "--json")
        assert done.returncode == 0, done.stderr
        enrolled: dict[str, str] = json.loads(done.stdout)
        return enrolled

    def sign(self, request: Request, key: SigningKey, *, now: int | None = None) -> Request:
        moment = int(time.time()) if now is None else now
        fields = sign_request(request, key, now=moment, nonce=secrets.token_urlsafe(24))
        return request.with_headers(fields)

    async def ask(self, request: Request, merchant: Merchant | None = None) -> Response:
        """Send a request as the merchant of this stack, or another one, signed just now."""
        sender = merchant or await self.merchant()
        return await self.send(self.sign(request, sender.key))

    async def receipt(self, request: Request, answer: Response) -> VerifiedReceipt:
        """Verify the answer's receipt with the keys that the gateway publishes."""
        published = await self.send(Request("GET", f"{ORIGIN}/.well-known/countermark-keys", (), None))
        keys = keys_from_jwks(published.body)
        return verify_receipt(request, answer, keys.get, now=int(time.time()))

    async def query(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await self.server.connect("migrator", self.database)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def footprint(self) -> dict[str, int]:
        """How many rows there are of everything that a request can leave."""
        # No request leaves a summary or a batch: a worker writes these of what it noted, in its time.
        tables = [
            "payments.payment", "payments.idempotency_key", "evidence.record where kind <> 'access-batch'",
            "payments.event",
            "registry.merchant_key", "registry.key_event", "registry.key_request",
            "audit.entry where kind <> 'summary'",
        ]  # fmt: skip
        counts = ", ".join(f'(select count(*) from {each}) as "{each.split()[0]}"' for each in tables)
        return dict((await self.query(f"select {counts}"))[0])


@asynccontextmanager
async def running_gateway(limits: LimitsConfig = RAISED_GATEWAY) -> AsyncIterator[Gateway]:
    home = Path(tempfile.mkdtemp(prefix="countermark-gateway-"))
    try:
        with running_postgres() as server, running_redis(server, home) as (redis, redis_config):
            server.pki.issue("gateway-sidecar", "edge", "payments-sidecar")
            database = await server.create_database("countermark", SCHEMAS)
            relay = Relay(server.port)
            await relay.mend()
            vault = VaultStack.create(home, server, database)
            gateway = _gateway(server, database, relay, redis, redis_config, home, vault, limits)
            gateway.start()
            try:
                async with vault.running():
                    await gateway.await_ready()
                    yield gateway
            finally:
                # In a thread, because the relay lives in this loop and the pool says good-bye through it.
                codes = await asyncio.to_thread(gateway.stop)
                await relay.cut()
            assert all(code == 0 for code in codes), gateway.log()[-3000:]
            # Whatever these tests were answered, the document has it.
            assert "an answer was not declared" not in gateway.log()
    finally:
        shutil.rmtree(home)


def _gateway(
    server: PostgresServer,
    database: str,
    relay: Relay,
    redis: Redis,
    redis_config: RedisConfig,
    home: Path,
    vault: VaultStack,
    limits: LimitsConfig,
) -> Gateway:
    receipt_file, jwks_file = home / "receipt.pem", home / "webhook.jwks"
    webhook_key, seal_key, seal_file = SigningKey.generate("ed25519"), new_seal_key(), home / "seal.pem"
    seal_file.write_bytes(SecretOpener(seal_key).public_pem())
    receipt_key, log_key = SigningKey.generate("ed25519"), SigningKey.generate("ed25519")
    receipt_file.write_bytes(receipt_key.to_pem())
    receipt_file.chmod(0o600)
    jwks_file.write_bytes(keys_to_jwks([webhook_key.verifying_key]))
    trust = TrustedKeys((receipt_key.verifying_key,), (NamedKey(LOG_NAME, log_key.verifying_key),))
    trust_file = home / "trust-keys.pem"
    trust_file.write_bytes(write_trust(trust))
    node: dict[str, Any] = {
        "cell": "eu",
        "trust_domain": TRUST_DOMAIN_DEFAULT,
        "state_dir": str(home),
        "connection_age_s_max": 300.0,
    }
    config = GatewayConfig(
        name="gateway",
        identity=str(server.pki.identity("gateway")),
        listen=ListenConfig("127.0.0.1", free_port(), [spiffe_id("gateway-sidecar", TRUST_DOMAIN_DEFAULT)]),
        postgres=msgspec.structs.replace(server.reach("gateway", database), port=relay.port),
        redis=redis_config,
        origins=[ORIGIN],
        receipt_key_file=str(receipt_file),
        webhook_jwks_file=str(jwks_file),
        webhook_seal_file=str(seal_file),
        trust_file=str(trust_file),
        vault=vault.egress,
        limits=limits,
        **node,
    )
    operator = OperatorConfig(
        name="operator",
        identity=str(server.pki.identity("operator")),
        postgres=server.reach("operator", database),
        **node,
    )
    operator_file = home / "operator.toml"
    operator_file.write_bytes(config_text(operator))
    return Gateway(
        server, database, relay, redis, config, operator_file, home, log_key, vault, webhook_key, seal_key
    )
