"""`python -m tests.fuzz TARGET --seconds N`, or `--all`: fuzz parsers, each in a process of its own.

Prints one line for each target. A find ends with code 1 and prints the input as Python bytes; put it into the
target's folder in `tests/fuzz/corpus/`, fix the parser, and it is a test from then on.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TARGET_NAMES: Final = sorted(
    folder.name for folder in Path(__file__).with_name("corpus").iterdir() if folder.is_dir()
)
_ROOT = Path(__file__).resolve().parents[2]
_CORPUS = Path(__file__).with_name("corpus")
_INPUT_BYTES_MAX = 4096  # every grammar here fits; longer inputs only lower the rate
_ONE_INPUT_S_MAX = 5  # the slowest honest input takes milliseconds: a slower one is a find
_GRACE_S = 60  # starting and instrumenting on a busy machine
_EXECUTIONS = re.compile(r"Done ([0-9]+) runs in")


@dataclass(frozen=True)
class FuzzRun:
    """What became of one target.

    Attributes:
        target: its name.
        executions: how many inputs were tried; 0 if the fuzzer died before it could say.
        finds: the inputs that crashed it, hung it, or broke what must hold.
        log: libFuzzer's last words.
    """

    target: str
    executions: int
    finds: tuple[bytes, ...]
    log: str

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.executions} executions, {len(self.finds)} finds"]
        lines += [
            f"  reproduce with tests.fuzz.targets.TARGETS[{self.target!r}]({find!r})" for find in self.finds
        ]
        return "\n".join([*lines, self.log] if self.finds else lines)


def can_fuzz() -> bool:
    """Tell whether atheris is installed; it has no wheel for every machine."""
    return importlib.util.find_spec("atheris") is not None


def fuzz(target: str, seconds: int) -> FuzzRun:
    """Fuzz one target.

    Args:
        target: one of `TARGET_NAMES`.
        seconds: how long to look, after all seeds were tried.
    """
    with tempfile.TemporaryDirectory(prefix="countermark-fuzz-") as scratch:
        grown, found = Path(scratch) / "corpus", Path(scratch) / "found"
        grown.mkdir()
        found.mkdir()
        command = [
            sys.executable, "-m", "tests.fuzz.one_target", target, f"-max_total_time={seconds}",
            f"-max_len={_INPUT_BYTES_MAX}", f"-timeout={_ONE_INPUT_S_MAX}", f"-artifact_prefix={found}/",
            "-print_final_stats=0", str(grown), str(_CORPUS / target),
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, check=False, errors="replace",
            timeout=seconds + _GRACE_S,
        )  # fmt: skip
        finds = tuple(file.read_bytes() for file in sorted(found.iterdir()))
        runs = _EXECUTIONS.search(done.stderr)
        executions = int(runs[1]) if runs is not None else 0
        if done.returncode != 0 and not finds:
            raise RuntimeError(f"the fuzzer of {target} did not run: {done.stderr[-2000:]}")
        return FuzzRun(target, executions, finds, done.stdout[-4000:] + done.stderr[-2000:])


def main() -> int:
    """Run what the arguments ask for; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "target", nargs="?", choices=TARGET_NAMES, metavar="TARGET", help=", ".join(TARGET_NAMES)
    )
    parser.add_argument("--all", action="store_true", help="every target, one after another")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    options = parser.parse_args()
    if options.all == (options.target is not None):
        parser.error("give one TARGET or --all")
    if not can_fuzz():
        parser.error("atheris is not installed: it has wheels for x86-64 Linux up to Python 3.13")
    found = 0
    for target in TARGET_NAMES if options.all else [options.target]:
        run = fuzz(target, options.seconds)
        print(run, flush=True)
        found += len(run.finds)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
