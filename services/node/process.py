"""The life of one process: read the configuration, run until told to stop, say why it ended."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import NoReturn

import uvloop

from services.node import crash_points
from services.node.config_file import ConfigT, load_config
from services.node.errors import ConfigError
from services.node.logs import get_log, set_up_logs
from services.node.tracing import end_tracing, set_up_tracing

EXIT_CODES = "exit codes: 0 stopped as asked, 1 crashed, 2 wrong usage, 3 configuration cannot be used"

CANCEL_AGAIN_S = 0.5  # Longer than any loop's clean-up takes.

_stopped: asyncio.Event | None = None


def run(main: Callable[[ConfigT], Awaitable[None]], kind: type[ConfigT], module: str) -> NoReturn:
    """Run `main(config)` on uvloop until it returns; never returns itself.

    SIGTERM and SIGINT complete `until_stopped()`; `main` then closes what it opened and returns.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", epilog=EXIT_CODES)
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="TOML written for this process"
    )
    parser.add_argument("--check", action="store_true", help="read and check the configuration, then exit")
    arguments = parser.parse_args()
    config = load_or_exit(arguments.config, kind, module)
    if arguments.check:
        raise SystemExit(0)
    set_up_logs(config.name, config.log_level)
    try:
        set_up_tracing(config)
    except ConfigError as fault:
        print(f"{module}: {fault}", file=sys.stderr)
        raise SystemExit(3) from None
    crash_points.arm(Path(config.state_dir))
    try:
        uvloop.run(_live(main, config))
    except Exception:  # noqa: BLE001 - the last frame of the process: log it whole, then exit 1.
        get_log(module).exception("the process crashed")
        raise SystemExit(1) from None
    finally:
        end_tracing()
    raise SystemExit(0)


def load_or_exit(file: Path, kind: type[ConfigT], module: str) -> ConfigT:
    """Read a process's configuration; exit with 3, and the reason on standard error, if it cannot be used."""
    try:
        return load_config(file, kind)
    except ConfigError as fault:
        print(f"{module}: {fault}", file=sys.stderr)
        raise SystemExit(3) from None


async def until_stopped() -> None:
    """Complete when SIGTERM or SIGINT has arrived."""
    if _stopped is None:
        raise RuntimeError("until_stopped() needs services.node.process.run()")
    await _stopped.wait()


async def until_stopped_or_ended(loops: Collection[asyncio.Task[None]]) -> None:
    """Wait until told to stop, and end the loops.

    A loop ends by a fault alone: then the others are ended, too, and it is raised; the supervisor starts the
    process again.
    """
    stopped = asyncio.create_task(until_stopped())
    ended, _ = await asyncio.wait({*loops, stopped}, return_when=asyncio.FIRST_COMPLETED)
    await cancel_until_heard({*loops, stopped} - ended)
    for task in ended:
        task.result()


async def cancel_until_heard(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until each has ended; what they raised stays in them.

    Python 3.11's `wait_for`, which the bus's client uses, swallows a cancellation that comes in the same turn
    of the loop as its result (cpython issue 86296); such a task is told again.
    """
    pending: set[asyncio.Task[None]] = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


async def _live(main: Callable[[ConfigT], Awaitable[None]], config: ConfigT) -> None:
    global _stopped  # noqa: PLW0603 - signals belong to the process, of which there is one.
    _stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stopped.set)
    await main(config)
