"""Files that survive a crash: written aside by the caller, synced, and never half there.

Folders and files are created closed and opened to a group last. Source: fsync(2), syncfs(2), rename(2).
"""
# pathlib costs more than the system calls it makes, and these are made thousands of times a second.
# ruff: noqa: PTH116

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from pki.errors import TreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# From here on one syncfs is quicker than an fsync for each (128 leaves: about 30 ms against 400 ms). Below, a
# renewal of a few leaves must not wait for whatever a database has left unwritten on the same filesystem.
SYNC_EACH_MAX: Final = 64


class Disk:
    """Makes durable what was written without syncing: the point at which a batch may be relied upon."""

    def settle(self, paths: Sequence[str]) -> None:
        """Return when files and folders, contents and names, would survive a power cut.

        Args:
            paths: every file that was written and every folder whose entries changed.

        Raises:
            OSError: the disk failed, or is full.
        """
        if len(paths) <= SYNC_EACH_MAX or _SYNCFS is None:
            for path in paths:
                _sync(path, os.fsync)
            return
        # A workload's folder may be a mount of its own.
        filesystems = {os.stat(path).st_dev: path for path in paths}
        for path in filesystems.values():
            _sync(path, _sync_filesystem)


def _find_syncfs() -> Callable[[int], int] | None:
    # Source: syncfs(2): only since Linux 5.8 it reports writes that failed.
    if tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2]) < (5, 8):
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    except AttributeError:  # a C library without it
        return None
    return found


_SYNCFS = _find_syncfs()


def _sync_filesystem(descriptor: int) -> None:
    if _SYNCFS is None or _SYNCFS(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _sync(path: str, how: Callable[[int], None]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        how(descriptor)
    finally:
        os.close(descriptor)


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


def write_unsynced(path: str, data: bytes, mode: int, group: int | None) -> None:
    """Write a file that does not exist yet; it is durable after `Disk.settle`."""
    descriptor = _create(path)
    try:
        _fill(descriptor, data, mode, group)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes, mode: int, group: int | None) -> None:
    """Write and sync a file that does not exist yet."""
    descriptor = _create(path)
    try:
        _fill(descriptor, data, mode, group)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: str | Path) -> int:
    # Created closed and opened to others last: there is no moment at which a stranger can read a key.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _fill(descriptor: int, data: bytes, mode: int, group: int | None) -> None:
    written = 0
    while written < len(data):
        written += os.write(descriptor, data[written:] if written else data)
    if group is not None:
        os.fchown(descriptor, -1, group)
    os.fchmod(descriptor, mode)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
