"""The service as a process of its own, so that it can be killed."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.tls import client_context
from tests.integration.notifications.stack import POLL_S, WAIT_S_MAX, Stack
from tests.integration.notifications.webhook_receiver import Receiver


def write_config(stack: Stack, *receivers: Receiver) -> tuple[Path, int]:
    """Write what the process is started with; return it, and the port that it listens at."""
    allowed = ", ".join(f'"{receiver.address}"' for receiver in receivers)
    key_file = stack.folder / "webhook_key.pem"
    key_file.touch(0o600)
    key_file.write_bytes(stack.key.to_pem())
    seal_file = stack.folder / "webhook_seal.pem"
    seal_file.touch(0o600)
    seal_file.write_bytes(stack.seal_key)
    port = _free_port()
    node, bus = stack.node("notifications"), stack.bus.reach()
    reach = stack.postgres.reach("notifications", stack.database)
    sidecar = spiffe_id("notifications-sidecar", TRUST_DOMAIN_DEFAULT)
    config = stack.folder / "notifications.toml"
    config.write_text(
        f"""
name = "notifications"
cell = "eu"
trust_domain = "{node.trust_domain}"
identity = "{node.identity}"
state_dir = "{node.state_dir}"
connection_age_s_max = 10.0
webhook_key_file = "{key_file}"
webhook_seal_key_file = "{seal_file}"
webhook_allowed_addresses = [{allowed}]
webhook_trust_file = "{stack.trust_file}"
[listen]
host = "127.0.0.1"
port = {port}
admit = ["{sidecar}"]
[postgres]
host = "{reach.host}"
port = {reach.port}
database = "{reach.database}"
user = "notifications"
expect = "{reach.expect}"
[nats]
host = "{bus.host}"
port = {bus.port}
expect = "{bus.expect}"
"""
    )
    return config, port


@asynccontextmanager
async def running_process(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the service as the supervisor does; what still runs at the end is killed."""
    with (config.parent / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.notifications", "--config", config, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_healthy(stack: Stack, port: int) -> None:
    """Ask as the sidecar does on behalf of the supervisor, until the answer is 200."""
    expect = frozenset({spiffe_id("notifications", TRUST_DOMAIN_DEFAULT)})
    context = client_context(stack.postgres.pki.identity("notifications-sidecar"), expect=expect)
    supervisor = {"x-forwarded-client-cert": f"URI={spiffe_id('supervisor', TRUST_DOMAIN_DEFAULT)}"}
    async with asyncio.timeout(WAIT_S_MAX), aiohttp.ClientSession() as session:
        while True:
            try:
                url = f"https://127.0.0.1:{port}/healthz"
                async with session.get(url, ssl=context, headers=supervisor) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(POLL_S)
