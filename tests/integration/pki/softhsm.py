"""A SoftHSM2 of the tests' own: tokens in a folder, in this process alone."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "1357-2468"
# One token for each group of tests, and one that is another than the right one.
LABELS = ("countermark-roots", "another", "ceremony", "leaving", "rotating", "rolled-back")
_CONFIGURATION = """\
directories.tokendir = {tokens}
objectstore.backend = file
log.level = ERROR
slots.removable = false
"""


@dataclass(frozen=True)
class SoftHSM:
    """Where the tokens are; `configuration` is for other processes that shall see the same.

    A process that has loaded the library sees the tokens that were there then: all are made before.
    """

    folder: Path
    configuration: Path

    def _initialise(self, label: str) -> None:
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", PIN]
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            env=os.environ | {"SOFTHSM2_CONF": str(self.configuration)},
        )


@cache
def soft_hsm() -> SoftHSM:
    """Return the one of this process: SoftHSM reads where it is once, when it is loaded."""
    folder = Path(mkdtemp(prefix="countermark-tokens-"))
    configuration = folder / "softhsm2.conf"
    atexit.register(shutil.rmtree, folder)
    (folder / "tokens").mkdir(mode=0o700)
    configuration.write_text(_CONFIGURATION.format(tokens=folder / "tokens"), encoding="utf-8")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    hsm = SoftHSM(folder, configuration)
    for label in LABELS:
        hsm._initialise(label)
    return hsm
