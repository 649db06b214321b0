"""The operating-system account of each workload: its own when started as root, else the caller's.

An account is `cm-<workload>`, without a home or a shell; it owns its state and reads its own key, nothing
else.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from compose.derive.policy_file import account_name
from compose.launcher.errors import StartError

SECRET_DESCRIPTOR = 3  # The first after the standard three.


@dataclass(frozen=True)
class Account:
    """Who a process runs as; `drop` says whether the launcher must change to it first."""

    name: str
    uid: int
    gid: int
    drop: bool


def account_for(workload: str) -> Account:
    """Find the workload's account, making it if the launcher runs as root.

    Raises:
        StartError: useradd is missing or refused.
    """
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), drop=False)
    name = account_name(workload)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        entry = _make(name)
    return Account(name, entry.pw_uid, entry.pw_gid, drop=True)


def _make(name: str) -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
               "--shell", "/usr/sbin/nologin", name]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError as fault:
        raise StartError("useradd is missing: install the package 'passwd'") from fault
    except subprocess.CalledProcessError as fault:
        reason = fault.stderr.decode(errors="replace").strip()
        raise StartError(
            f"cannot make the account {name} ({reason}): make it by hand, then start again"
        ) from fault
    return pwd.getpwnam(name)


def command_as(account: Account, argv: list[str], *, parent_death_signal: str) -> list[str]:
    """Prefix a command so that it runs as the account, without privileges, and dies with the launcher."""
    drop = []
    if account.drop:
        drop = [
            f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups",
            "--inh-caps=-all", "--bounding-set=-all",
        ]  # fmt: skip
    return ["setpriv", *drop, "--no-new-privs", f"--pdeathsig={parent_death_signal}", "--", *argv]


def with_secret(file: Path, argv: list[str]) -> list[str]:
    """Prefix a command so that it finds a file open for reading as `SECRET_DESCRIPTOR`.

    Goes around `command_as`, so that the file is opened before the account changes. The name of the file is
    an argument; what is in it is in no argument and no environment. If it cannot be opened, nothing is run.
    """
    # A descriptor's number cannot be chosen without a step between fork and exec; the shell is that step.
    return ["/bin/sh", "-c", f'exec {SECRET_DESCRIPTOR}<"$0" && exec "$@"', str(file), *argv]
