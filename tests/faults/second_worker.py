"""A second engine beside the first: who takes over when the first one hangs."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Final

from compose.derive.configuration import CONFIG_FILE
from compose.launcher.layout import write_readable
from compose.launcher.ports import LOOPBACK
from compose.launcher.process_spec import plan_processes
from compose.launcher.stack import Stack

NAME: Final = "payments-2"
_FIRST: Final = "payments"
_CONFIG_FILE: Final = "second.toml"


async def start_second_worker(stack: Stack) -> None:
    """Start it if it does not run, and wait until it listens.

    The same account, identity and configuration; a port of its own, given back with the stack's.
    """
    if NAME in stack.supervisor.pids():
        return
    port = stack._reservation.reserve(NAME)
    folder = stack.layout.run / _FIRST
    first = (folder / CONFIG_FILE).read_text(encoding="utf-8")
    own = str(stack.ports[f"{_FIRST}.app"])
    text, changed = re.subn(rf"(?m)^port = {own}$", f"port = {port}", first)
    assert changed == 1, first
    write_readable(folder / _CONFIG_FILE, text, stack.accounts[_FIRST])

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            return False
        writer.close()
        return True

    specs = plan_processes(stack.mesh, stack.places, stack.release, stack.accounts)
    spec = next(spec for spec in specs if spec.name == _FIRST)
    argv = [*spec.argv[:-1], str(folder / _CONFIG_FILE)]
    stack.supervisor.start([replace(spec, name=NAME, argv=argv, ready=listens)])
    await stack.supervisor.wait_ready([NAME])
