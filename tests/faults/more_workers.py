"""More engines beside the first: who takes over when one dies or hangs, and several to kill at once."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Final

from compose.derive.configuration import CONFIG_FILE
from compose.launcher.layout import own_folder, write_readable
from compose.launcher.ports import LOOPBACK
from compose.launcher.process_spec import plan_processes
from compose.launcher.readiness import PROBE_S_MAX
from compose.launcher.stack import Stack
from pki.errors import PKIError
from pki.tls import client_context
from services.node.peers import XFCC_HEADER

ENGINE: Final = "payments"


def worker_names(count: int) -> list[str]:
    """What this many engines are called; the first is the stack's own."""
    return [ENGINE, *(f"{ENGINE}-{number}" for number in range(2, count + 1))]


def service_of(process: str) -> str:
    """The service that a process is of, as in mesh.toml: a further engine is one of `payments`."""
    return ENGINE if process.startswith(f"{ENGINE}-") else process


async def start_workers(stack: Stack, count: int) -> list[str]:
    """Start what is missing of so many engines; return all their names when each of them is ready."""
    names = worker_names(count)
    for name in names[1:]:
        if name not in stack.supervisor.restarts():
            _start(stack, name)
    await stack.supervisor.wait_ready(names)
    return names


def _start(stack: Stack, name: str) -> None:
    """The same account, identity and configuration; port and state directory of its own.

    The port is given back with the stack's.
    """
    account, address = stack.accounts[ENGINE], stack.places.addresses[f"{ENGINE}.app"]
    port, state = stack._reservation.reserve(name), stack.layout.state / name
    own_folder(state, account, writable=True)
    folder = stack.layout.run / ENGINE
    text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
    for line, own in (
        (f"port = {address.port}", f"port = {port}"),
        (f'state_dir = "{stack.layout.state / ENGINE}"', f'state_dir = "{state}"'),
    ):
        text, changed = re.subn(rf"(?m)^{re.escape(line)}$", own, text)
        assert changed == 1, (line, text)
    file = folder / f"{name}.toml"
    write_readable(file, text, account)

    async def ready() -> bool:
        try:
            async with asyncio.timeout(PROBE_S_MAX):
                return b" 200 " in await _health(stack, port)
        except (OSError, TimeoutError, PKIError):
            return False

    specs = plan_processes(stack.mesh, stack.places, stack.release, stack.accounts)
    spec = next(spec for spec in specs if spec.name == ENGINE)
    stack.supervisor.start([replace(spec, name=name, argv=[*spec.argv[:-1], str(file)], ready=ready)])


async def _health(stack: Stack, port: int) -> bytes:
    """The first line of its answer, asked as the sidecar, whom alone it admits."""
    sidecar = stack.mesh.services[ENGINE].sidecar_name
    context = client_context(stack.places.identity(sidecar), expect=frozenset({stack.mesh.spiffe(ENGINE)}))
    reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context)
    try:
        caller = f"{XFCC_HEADER}: URI={stack.mesh.spiffe('supervisor')}"
        writer.write(f"GET /healthz HTTP/1.1\r\nhost: health\r\n{caller}\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.close()
