"""Log files that do not grow without end: a full one is moved aside while its process goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path

LOG_BYTES_MAX = 20 * 1024 * 1024  # A line a request: 80 s of 1,000 requests/s, and as much again moved aside.
LOOK_EVERY_S = 5.0  # At that load a file is 6 % larger than its bound when it is looked at.


def bound_log(path: Path, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Copy a file that is larger aside and empty it; say whether it was.

    Its process appends, so it goes on at the new end. A line written in between is lost, as lines may be.

    Raises:
        OSError: there is no room, or no such file.
    """
    if path.stat().st_size <= bytes_max:
        return False
    shutil.copyfile(path, path.with_suffix(".log.1"))
    os.truncate(path, 0)
    return True


async def bound_logs(folder: Path) -> None:
    """Look at all logs of a folder again and again until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for path in folder.glob("*.log"):
            with suppress(OSError):  # A full disk: what is there stays there, and is looked at again.
                await asyncio.to_thread(bound_log, path)
