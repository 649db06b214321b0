"""Back up or restore again and again, killed before the first change to a file, the second, and so on.

Run as `python -m tests.integration.pki.killed_backups backup|restore SOURCE FOLDER [TREE]`; each attempt has
a folder of its own below FOLDER, by its number, and begins with a copy of TREE. Prints how many were killed
before one came to its end.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from pki.backup import backup, restore
from tests.integration.pki.conftest import CHEAP, PASSPHRASE

_CHANGES = frozenset(
    {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.link", "shutil.rmtree"}
)

_WITH_TREE = 4


def die_before(change: int, folder: Path) -> None:
    """Kill this process before its nth change below the folder."""
    left = change

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if not writes and event not in _CHANGES:
            return
        if not str(arguments[0]).startswith(str(folder)):
            return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    sys.addaudithook(hook)


def main() -> None:
    """Take what to do, the tree or backup, and where."""
    action, source, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    for change in count():
        place = folder / str(change)
        place.mkdir()
        if len(sys.argv) > _WITH_TREE:
            shutil.copytree(sys.argv[_WITH_TREE], place / "certs", symlinks=True)
        child = os.fork()
        if child == 0:
            die_before(change, place)
            if action == "backup":
                backup(source, place / "the.backup", PASSPHRASE, datetime.now(UTC), CHEAP)
            else:
                restore(source, place / "certs", PASSPHRASE, [], now=datetime.now(UTC))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            print(change)
            return


if __name__ == "__main__":
    main()
