"""Whether a secret in the certificate tree lies open: to other accounts, or in git's index.

Found before any key is unsealed, because a command that works on an exposed tree teaches nobody.
Source: PCI DSS 3.6.1.2 to 3.6.1.4.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from pki.errors import SecretExposed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECRET_NAMES = frozenset({"key.pem", "key.sealed", "ledger.jsonl", "state.json"})
# A sealed key, the ledger and the state are for one account; a live key also for its workload's group.
_OPEN_BITS = {"key.pem": 0o037}
_OPEN_BITS_DEFAULT = 0o077
# git answers in milliseconds; a repository on a dead network drive must not hang the command for ever.
_GIT_WAIT_S_MAX = 10


def require_private(certs: Path) -> None:
    """Refuse a tree whose secrets lie open.

    Raises:
        SecretExposed: naming every file, and what to do.
    """
    faults = [*_open_files(certs), *_tracked_files(certs)]
    if faults:
        raise SecretExposed("; ".join(faults))


def _open_files(certs: Path) -> Iterator[str]:
    for folder, _, files in os.walk(certs):
        for name in _SECRET_NAMES.intersection(files):
            path = f"{folder}/{name}"
            try:
                mode = os.lstat(path).st_mode & 0o777
            except FileNotFoundError:  # an old generation, dropped by a publication at this moment
                continue
            if mode & _OPEN_BITS.get(name, _OPEN_BITS_DEFAULT):
                yield f"{path} has mode {mode:04o}: make it private with chmod, then renew it"


def _tracked_files(certs: Path) -> Iterator[str]:
    git = shutil.which("git")
    if git is None or not certs.is_dir():
        return
    # safe.directory: as root in another account's checkout git would otherwise refuse to answer at all.
    # With that guard off, core.fsmonitor must be off, too: it names a program, which would run as us.
    guards = ["-c", "safe.directory=*", "-c", "core.fsmonitor=false"]
    command = [git, *guards, "-C", str(certs), "ls-files", "-z", "--", "."]
    answer = subprocess.run(command, capture_output=True, timeout=_GIT_WAIT_S_MAX, check=False)
    if answer.returncode != 0:  # 128: not inside a repository
        return
    for tracked in answer.stdout.decode(errors="replace").split("\0"):
        if tracked.rpartition("/")[2] in _SECRET_NAMES:
            yield f"{certs}/{tracked} is tracked by git: remove it from every commit, and renew it"
