"""The command behind `./start`.

Talk goes to standard error with `--json`, else to standard output; `--json` prints one object on standard
output.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from compose.launcher.copy_paste import environment_text, how_to_text, read_environment
from compose.launcher.demonstration import Demonstration
from compose.launcher.errors import EXIT_FAILED, EXIT_PREREQUISITE, StartError
from compose.launcher.layout import default_data_dir
from compose.launcher.release import checkout_root
from compose.launcher.stack import Stack, StackOptions
from compose.launcher.story import Story, facts_as_json
from compose.mesh import MeshError
from pki.errors import PKIError

EXIT_INTERRUPTED = 130  # What a shell reports for Ctrl-C.
_EPILOG = (
    "Exit codes: 0 every step held (or stopped as asked), 1 a step did not hold, 2 wrong usage, "
    "3 something is missing or in use, 130 interrupted while starting."
)


@click.command(epilog=_EPILOG)
@click.option("--once", is_flag=True, help="Show one payment going through, then stop everything.")
@click.option("--json", "as_json", is_flag=True, help="The facts as one JSON object on standard output.")
@click.option(
    "--port", "edge_port", type=click.IntRange(1, 65535), help="Port for merchants; else one that is free."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where databases, keys and logs live.")
@click.option("--no-demo", is_flag=True, help="Start the stack without the demonstration merchant.")
@click.option("--env", "print_env", is_flag=True, help="Print the running stack's shell variables, for eval.")
def start(
    *, once: bool, as_json: bool, edge_port: int | None, data_dir: Path | None, no_demo: bool, print_env: bool
) -> None:
    """Start Countermark on this machine and show a signed payment going through it."""
    data = data_dir or default_data_dir(checkout_root())
    if print_env:
        try:
            click.echo(read_environment(data))
        except StartError as fault:
            _fail(str(fault), fault.exit_code)
        return
    options = StackOptions(data, edge_port or 0)
    story = Story(sys.stderr if as_json else sys.stdout)
    try:
        asyncio.run(_interruptible(_session(options, story, once=once, as_json=as_json, demo=not no_demo)))
    except StartError as fault:
        _fail(str(fault), fault.exit_code)
    except (MeshError, PKIError) as fault:
        _fail(str(fault), EXIT_FAILED)
    except PermissionError as fault:
        _fail(f"{fault.filename} may not be used by this account: mend its owner and mode, or use --data-dir",
              EXIT_PREREQUISITE)  # fmt: skip
    except BrokenPipeError:
        # Whoever read our output has gone; what was started is stopped, and nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_FAILED) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        _fail("interrupted; everything that was started is stopped", EXIT_INTERRUPTED)


def _fail(message: str, exit_code: int) -> None:
    click.echo(f"start: {message}", err=True)
    raise SystemExit(exit_code)


async def _interruptible(work: Coroutine[Any, Any, None]) -> None:
    """Turn SIGINT and SIGTERM into a cancellation, so that every `finally` runs."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    await task


async def _session(options: StackOptions, story: Story, *, once: bool, as_json: bool, demo: bool) -> None:
    began = time.monotonic()
    story.title("Countermark: starting the stack")
    stack = await Stack.start(options, story.step)
    seconds = time.monotonic() - began
    demonstration = Demonstration(stack, story.fact)
    try:
        story.step("the stack", f"is ready after {seconds:.1f} s, every hop on mutual TLS 1.3")
        if demo:
            story.title("A merchant pays")
            await demonstration.run(stay=not once)
            await asyncio.to_thread(_write_environment, stack)
        story.title("Where everything is")
        await asyncio.to_thread(story.summary, stack)
        if as_json:
            click.echo(facts_as_json(stack, demonstration.facts, seconds=seconds))
        if not once:
            story.text(how_to_text(stack))
            await _until_stopped(story)
    finally:
        await demonstration.close()
        await stack.stop()
        story.step("the stack", "is stopped; nothing is left running")


def _write_environment(stack: Stack) -> None:
    file = stack.layout.root / "demo.env"
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(environment_text(stack), encoding="utf-8")


async def _until_stopped(story: Story) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()  # Being told to stop is how this ends well.
        story.title("Stopping")


if __name__ == "__main__":
    start()
