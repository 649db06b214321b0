"""One run of verify.sh on a folder, with a PATH that leads to openssl and to parts of coreutils alone."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signing.evidence import TrustedKeys, fingerprint, verify_bundle
from signing.evidence.errors import EvidenceRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

SHELLS = ["dash", "bash"]
# All that the script calls, and all of it but the first is in coreutils.
PROGRAMS = (
    "openssl", "basenc", "cat", "cut", "date", "head", "mktemp", "od", "paste", "rm", "sha256sum", "sort",
    "tail", "tr", "wc",
)  # fmt: skip


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of links to the permitted programs."""
    folder = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder


def write_folder(files: Mapping[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def arguments(trust: TrustedKeys) -> list[str]:
    return [
        ",".join(map(fingerprint, trust.gateways)) or "none",
        ",".join(fingerprint(log.key) for log in trust.logs) or "none",
        *(fingerprint(witness.key) for witness in trust.witnesses),
    ]


def run(shell: str, folder: Path, programs: Path, *words: str) -> Ran:
    """Run the folder's script, with its own empty place for temporary files, which must be empty again."""
    found = shutil.which(shell)
    assert found is not None, shell
    temporary = folder.parent / f"{folder.name}.tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [found, "verify.sh", *words],
        cwd=folder,
        env={"PATH": str(programs), "TMPDIR": str(temporary)},
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert [] == list(temporary.iterdir())
    return Ran(done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1"))


def both_refuse(
    files: Mapping[str, bytes], trust: TrustedKeys, folder: Path, programs: Path, shell: str
) -> str:
    """Assert that neither verifier accepts; return the code of the refusal and the script's word."""
    with pytest.raises(EvidenceRefused) as refusal:
        verify_bundle(files, trust)
    ran = run(shell, write_folder(files, folder), programs, *arguments(trust))

    lines = ran.out.splitlines()
    assert 1 == ran.code, ran
    assert lines[-1].startswith("FAILED: "), ran
    assert not any(line.startswith("FAILED") for line in lines[:-1])
    return f"{refusal.value.code} {lines[-1]}"
