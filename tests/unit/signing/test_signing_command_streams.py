"""The command whose streams, files and descriptors are not what it hopes for: a sentence, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.signing import signing_samples as samples

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(samples.MERCHANT_ED25519.to_pem())
    return path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    python = f"PYTHONPATH={ROOT} {sys.executable} -m signing"
    return subprocess.run(
        ["sh", "-c", command.replace("COMMAND", python)],
        cwd=folder, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("COMMAND evidence script-hash >&-", "standard output is closed"),
        ("COMMAND evidence script-hash >/dev/full", "No space left"),
        ("COMMAND sign --key key.pem --url https://a.example/v1/b --body - <&-", "standard input is closed"),
        ("COMMAND sign --key . --url https://a.example/v1/b", "Is a directory"),
        ("COMMAND keygen --out .", "name a new file in it"),
        ("COMMAND keygen --out new.pem --passphrase-fd 77", "--passphrase-fd 77"),
        ("COMMAND keygen --out new.pem --passphrase-fd 99999999999", "a file descriptor"),
        ("COMMAND evidence verify missing.tar.gz --trust missing.pem", "missing.pem"),
    ],
    ids=lambda value: value.partition("COMMAND ")[2] or None,
)  # fmt: skip
def test_what_cannot_be_used_is_said_and_leaves_no_traceback(
    command: str, said: str, key: Path, tmp_path: Path
) -> None:
    done = shell(command, tmp_path)

    assert key.exists()
    assert 2 == done.returncode, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_reader_that_leaves_is_no_traceback(key: Path, tmp_path: Path) -> None:
    done = shell("COMMAND sign --key key.pem --url https://a.example/v1/b --json | head -c 1", tmp_path)

    assert key.exists()
    assert "{" == done.stdout
    assert "Traceback" not in done.stderr
