"""More engines beside the first: who takes over when one dies or hangs, and several to kill at once."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from compose.derive.configuration import CONFIG_FILE
from compose.launcher.layout import own_folder, write_readable
from compose.launcher.ports import LOOPBACK
from compose.launcher.process_spec import plan_processes
from compose.launcher.readiness import answers_health
from compose.launcher.stack import Stack

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

    own_address = replace(address, host=LOOPBACK, port=port)
    places = replace(stack.places, addresses={**stack.places.addresses, f"{name}.app": own_address})
    specs = plan_processes(stack.mesh, stack.places, stack.release, stack.accounts)
    spec = next(spec for spec in specs if spec.name == ENGINE)
    ready = answers_health(stack.mesh, places, f"{name}.app", ENGINE)
    stack.supervisor.start([replace(spec, name=name, argv=[*spec.argv[:-1], str(file)], ready=ready)])
