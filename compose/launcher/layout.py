"""The data directory of one stack: paths, modes, and the lock that keeps a second launcher out.

certs/  the authority and the leaves         secrets/<workload>/  what one workload alone may read
run/    generated configuration, addresses   state/<workload>/    what one workload alone may write
log/    one file per process                 release/             the code as the services see it (root only)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from compose.derive.deployment import PROCESSES_FILE
from compose.derive.places import ADMIN_SOCKET
from compose.launcher.accounts import Account
from compose.launcher.errors import StartError

SOCKET_PATH_BYTES_MAX = 107  # The kernel's: sun_path of unix(7) holds 108 with the zero at its end.


@dataclass(frozen=True)
class Layout:
    """Paths below one data directory."""

    root: Path

    @property
    def certs(self) -> Path:
        """The tree kept by `python -m pki`."""
        return self.root / "certs"

    @property
    def run(self) -> Path:
        """Generated configuration; made anew by every start."""
        return self.root / "run"

    @property
    def state(self) -> Path:
        """Databases and other state; survives."""
        return self.root / "state"

    @property
    def secrets(self) -> Path:
        """Keys and passwords; survives."""
        return self.root / "secrets"

    @property
    def log(self) -> Path:
        """One file per process."""
        return self.root / "log"

    @property
    def processes_file(self) -> Path:
        """What a launcher that died had started."""
        return self.run / PROCESSES_FILE

    @property
    def addresses_file(self) -> Path:
        """Where every listener of mesh.toml ended up."""
        return self.run / "addresses.json"

    @property
    def deployment_file(self) -> Path:
        """Where every certificate is used, and how each user is asked; for `python -m pki`."""
        return self.run / "deployment.json"


def default_data_dir(checkout: Path) -> Path:
    """Where a stack lives if nobody says: in the checkout, or for root outside anybody's home.

    Root's services have accounts of their own, which could not enter a home directory.
    """
    if os.geteuid() != 0:
        return checkout / ".data"
    return Path("/var/lib/countermark") / hashlib.sha256(str(checkout).encode()).hexdigest()[:12]


def require_short(layout: Layout, envoys: list[str]) -> None:
    """Check that every Envoy's admin socket has a path that the kernel takes.

    Raises:
        StartError: The data directory's own path is too long; the message says how long it may be.
    """
    longest = max((layout.state / name / ADMIN_SOCKET for name in envoys), key=lambda path: len(bytes(path)))
    excess = len(bytes(longest)) - SOCKET_PATH_BYTES_MAX
    if excess > 0:
        length = len(bytes(layout.root))
        raise StartError(
            f"the path of the data directory {layout.root} is {length} bytes long and may be "
            f"{length - excess}, since sockets lie below it: give a shorter one with --data-dir"
        )


def prepare(layout: Layout) -> int:
    """Make the directories, take the lock and return its file descriptor (held until the process ends).

    Raises:
        StartError: The place cannot be written, or another launcher holds it.
    """
    try:
        _take(layout.root)
        for folder in (layout.run, layout.state, layout.secrets, layout.log):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        layout.log.chmod(0o700)  # The launcher opens the files; who may read logs is the operator's choice.
        descriptor = os.open(layout.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise StartError(
            f"cannot write the data directory {layout.root} ({fault.strerror}): "
            "give another with --data-dir, or mend its owner and mode"
        ) from fault
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        raise StartError(
            f"the data directory {layout.root} is in use by another ./start: "
            "stop that one with Ctrl-C, or give another with --data-dir"
        ) from fault
    return descriptor


def _take(root: Path) -> None:
    """Make the folder, or go on using one of ours; somebody else's is left as it is, its mode included."""
    if not root.exists():
        root.mkdir(parents=True)
        root.chmod(0o755)
    elif any(root.iterdir()) and not (root / "lock").exists():
        raise StartError(f"{root} holds other things already: give an empty or a new folder with --data-dir")


def own_folder(path: Path, account: Account, *, writable: bool) -> None:
    """Make a folder that one workload alone may enter.

    Args:
        writable: True: the workload owns it (0700). False: it may read, the launcher writes (0750).
    """
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(path, account.uid if writable else 0, account.gid)
    path.chmod(0o700 if writable or os.geteuid() != 0 else 0o750)


def write_readable(path: Path, text: str | bytes, account: Account) -> None:
    """Write a file that one workload alone may read: aside first, then renamed over."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), 0, account.gid)
            os.fchmod(file.fileno(), 0o640)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)


def write_public(path: Path, text: str | bytes) -> None:
    """Write a file that everybody may read: aside first, then renamed over."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    with aside.open("xb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        os.fchmod(file.fileno(), 0o644)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
