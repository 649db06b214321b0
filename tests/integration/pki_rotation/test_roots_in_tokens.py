"""A root in a token is rotated by the commands, and its key ends in the token, not only in our files."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pki.authority import IssuingAuthority, initialise
from pki.certificate_files import CertificateTree
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.pkcs11_keeper import Pkcs11Keeper
from pki.errors import SealError
from pki.inventory import require_state
from pki.seal import ScryptCost
from tests.integration.pki.softhsm import MODULE, PIN, soft_hsm

ROOT = Path(__file__).parents[3]
PASSPHRASE = b"a passphrase of the tests"
KEEPER = PassphraseKeeper(PASSPHRASE, ScryptCost(n=2**14))


def rotate_root(certs: Path, *arguments: str, pin: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pki", "rotate", "root", *arguments, "--certs", str(certs)]
    command += ["--offline", "nothing runs in this test"]
    given = {"--passphrase-fd": PASSPHRASE} | ({"--pin-fd": PIN.encode()} if pin else {})
    command += ["--pkcs11-module", MODULE] if pin else []
    readers = []
    for option, secret in given.items():
        reader, writer = os.pipe()
        os.write(writer, secret)
        os.close(writer)
        readers.append(reader)
        command += [option, str(reader)]
    try:
        return subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            pass_fds=readers, timeout=60,
        )  # fmt: skip
    finally:
        for reader in readers:
            os.close(reader)


def test_a_root_that_leaves_its_token_is_destroyed_there_by_the_command(tmp_path: Path) -> None:
    soft_hsm()
    token, certs, now = Pkcs11Keeper(MODULE, "rotating", PIN), tmp_path / "certs", datetime.now(UTC)
    initialise(certs, trust_domain="countermark.internal", root=token, issuing=KEEPER, now=now)
    IssuingAuthority.open(certs, KEEPER).issue(["edge", "gateway"], owners={}, now=now)
    tree = CertificateTree(certs)
    before = require_state(tree)
    envelope = tree.read_sealed_key(before.trust[0])
    without = rotate_root(certs, pin=False)
    unchanged = require_state(tree)
    done = rotate_root(certs)

    assert (2, before) == (without.returncode, unchanged)
    assert "give --pkcs11-module" in without.stderr
    assert (0, False) == (done.returncode, tree.has_key(before.trust[0])), done.stderr
    with pytest.raises(SealError, match="does not hold this key"):
        token.open(envelope)
