"""Stop a process for a while, so that it runs on even if whoever stopped it does not live to say so."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# Waits for its input to end, which it does with its owner's death, too. A signal that came meanwhile, such as
# the one that ends every process of a stack whose launcher has died, is then heard.
_GUARD = 'read -r _; kill -CONT "$0" 2>/dev/null'


@asynccontextmanager
async def stopped(pid: int) -> AsyncIterator[None]:
    """SIGSTOP around the block."""
    guard = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", _GUARD, str(pid), stdin=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        assert guard.stdin is not None
        guard.stdin.close()
        await guard.wait()
