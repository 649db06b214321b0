"""The command that rotates a root out of a PKCS #11 token: its key is gone from there at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pkcs11
import pytest

from pki.certificate_files import CertificateTree
from pki.custody.envelope import envelope_kind
from pki.inventory import require_state
from tests.integration.pki.commanding import OFFLINE, Make, begin, end, leave_standing, pki, read_until
from tests.integration.pki.softhsm import MODULE, PIN, soft_hsm

TOKEN = {"--pin-fd": PIN.encode()}


def keys_in(label: str) -> list[Any]:
    """What a process of the tests' own sees, as a token's user."""
    with pkcs11.lib(MODULE).get_token(token_label=label).open(user_pin=PIN) as session:
        return list(session.get_objects())


def make_in_token(certs: Path, label: str) -> CertificateTree:
    made = pki("init", "--certs", certs, "--root-token", label, "--pkcs11-module", MODULE, secrets=TOKEN)
    issued = pki("issue", "gateway", "--certs", certs)
    assert (0, 0) == (made.returncode, issued.returncode), made.stderr + issued.stderr
    return CertificateTree(certs)


@pytest.mark.parametrize("killed_at", [None, "drain"], ids=["at once", "resumed"])
def test_a_root_that_leaves_its_token_is_destroyed_there_at_the_end(
    tmp_path: Path, killed_at: str | None
) -> None:
    soft_hsm()
    certs = tmp_path / "certs"
    tree = make_in_token(certs, "rotating")
    old = require_state(tree).trust[0]
    assert "pkcs11" == envelope_kind(tree.read_sealed_key(old))
    assert 2 == len(keys_in("rotating"))
    if killed_at is not None:
        leave_standing(certs, "root", killed_at)
    rotate: list[str | Path] = [
        "rotate",
        "root",
        *([] if killed_at is None else ["--resume"]),
        *OFFLINE,
        "--certs",
        certs,
    ]
    without = pki(*rotate)
    untouched = require_state(tree)
    rotated = pki(*rotate, "--pkcs11-module", MODULE, secrets=TOKEN)
    new = require_state(tree)
    status = pki("status", "--certs", certs, passphrase=None)

    assert 2 == without.returncode
    assert "give --pkcs11-module" in without.stderr
    assert old in untouched.trust
    assert (0, 0) == (rotated.returncode, status.returncode), rotated.stderr + status.stdout
    assert (None, False) == (new.rotation, old in new.trust)
    assert not tree.has_key(old)
    assert [] == keys_in("rotating")


def test_a_new_root_in_a_token_is_destroyed_there_when_the_rotation_goes_back(
    tmp_path: Path, make_authority: Make
) -> None:
    soft_hsm()
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    before = require_state(CertificateTree(certs))
    options = (*OFFLINE, "--certs", certs, "--pkcs11-module", MODULE)
    begun = begin("rotate", "root", "--root-token", "rolled-back", *options, secrets=TOKEN)
    read_until(begun, "trust-both")
    begun.kill()
    end(begun)
    assert 2 == len(keys_in("rolled-back"))
    back = pki("rotate", "root", "--rollback", *options, secrets=TOKEN)
    status = pki("status", "--certs", certs, passphrase=None)

    assert (0, 0) == (back.returncode, status.returncode), back.stderr + status.stdout
    assert before == require_state(CertificateTree(certs))
    assert [] == keys_in("rolled-back")
