"""`python -m pki backup` and `restore`, as operators run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pki.certificate_files import CertificateTree
from pki.ledger import split_lines, verify_ledger
from tests.integration.pki.backup.saved_authority import contents

ROOT = Path(__file__).parents[4]
PASSPHRASE = b"a passphrase of this backup\n"


def pki(*arguments: str | Path, passphrase: bytes | None = PASSPHRASE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pki", *map(str, arguments)]
    reader, writer = os.pipe()
    os.write(writer, passphrase or b"")
    os.close(writer)
    if passphrase is not None:
        command += ["--passphrase-fd", str(reader)]
    try:
        return subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            pass_fds=(reader,), timeout=60,
        )  # fmt: skip
    finally:
        os.close(reader)


def test_an_operator_backs_up_loses_everything_and_restores(certs: Path, tmp_path: Path) -> None:
    tree = tmp_path / "certs"
    shutil.copytree(certs, tree, symlinks=True)
    before = contents(tree)
    written = pki("backup", tmp_path / "the.backup", "--certs", tree)
    for name in ("state.json", "ledger.jsonl"):
        (tree / name).unlink()
    shutil.rmtree(tree / "ca")
    restored = pki("restore", tmp_path / "the.backup", "--certs", tree, "--json")
    status = pki("status", "--certs", tree, passphrase=None)

    assert (0, 0, 0) == (written.returncode, restored.returncode, status.returncode), restored.stderr
    assert "opens with: passphrase, which is not in the file" in written.stdout
    assert before == contents(tree)
    said = json.loads(restored.stdout)
    assert said["ledger_head"] in written.stdout
    # The lists of the live generations were found and read.
    assert {"gateway", "edge"} == {Path(path).parts[-3] for path in said["lists_read"]}
    assert ([], []) == (said["revocations_recorded"], said["foreign_lists"])
    last = verify_ledger(split_lines(CertificateTree(tree).read_ledger())[0]).entries[-1]
    assert "restored" == last["event"]
    assert str(last["command"]).startswith(f"restore {tmp_path}")


def test_without_any_list_it_must_be_said(certs: Path, tmp_path: Path) -> None:
    written = pki("backup", tmp_path / "the.backup", "--certs", certs, "--json")
    refused = pki("restore", tmp_path / "the.backup", "--certs", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    restored = pki("restore", tmp_path / "the.backup", "--certs", tmp_path / "new", "--no-lists")

    assert (0, 2, 0) == (written.returncode, refused.returncode, restored.returncode), restored.stderr
    assert "give each that is left with --crl" in " ".join(refused.stderr.split())
    assert (
        f"the ledger's head in the backup was {json.loads(written.stdout)['ledger_head']}" in restored.stdout
    )


@pytest.mark.parametrize("passphrase", [b"another passphrase\n", b"short\n", None])
def test_a_wrong_passphrase_is_a_refusal_of_one_sentence(
    certs: Path, tmp_path: Path, passphrase: bytes | None
) -> None:
    pki("backup", tmp_path / "the.backup", "--certs", certs)
    refused = pki(
        "restore", tmp_path / "the.backup", "--certs", tmp_path / "new", "--no-lists", passphrase=passphrase
    )

    assert (2 if passphrase is None else 1) == refused.returncode
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "new").exists()
