"""Files that survive a crash: written aside by the caller, synced, and never half there.

Folders and files are created closed and opened to a group last. Source: fsync(2), rename(2).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pki.errors import TreeError

if TYPE_CHECKING:
    from pathlib import Path


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        TreeError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as fault:
        raise TreeError(f"{path} cannot be read ({fault.strerror}): restore it from a backup") from fault


def make_folder(path: Path, mode: int, group: int | None) -> None:
    """Make sure that a folder is there with this mode, and this group unless None."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if group is not None:
        os.chown(path, -1, group)
    path.chmod(mode)


def write_new(path: Path, data: bytes, mode: int, group: int | None) -> None:
    """Write and sync a file that does not exist yet."""
    # Created closed and opened to others last: there is no moment at which a stranger can read a key.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        if group is not None:
            os.fchown(file.fileno(), -1, group)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
