"""Rotations that stand still while the authority goes on: revocation lists, and what the record says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from pki.authority import IssuingAuthority, initialise
from pki.certificate_files import CertificateTree
from pki.crl import list_number
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.errors import SealError
from pki.inventory import load_certificate, require_state
from pki.recorded_signing import attribution
from pki.rotation.engine import RotationSetting, Rotator
from pki.rotation.maintenance import Maintenance
from pki.rotation.offline_fleet import OfflineFleet
from pki.seal import ScryptCost

KEEPER = PassphraseKeeper(b"a passphrase of the tests", ScryptCost(n=2**14))
ROOT = Path(__file__).parents[3]
REASON = "nothing runs in this test"


class Stopped(Exception):
    """Raised where a rotation is to be left standing."""


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    certs = tmp_path / "certs"
    initialise(certs, trust_domain="countermark.internal", root=KEEPER, issuing=KEEPER, now=datetime.now(UTC))
    IssuingAuthority.open(certs, KEEPER).issue(["edge", "gateway"], owners={}, now=datetime.now(UTC))
    return certs


def setting(certs: Path) -> RotationSetting:
    return RotationSetting(
        certs,
        KEEPER,
        OfflineFleet(REASON),
        owners=lambda _: {},
        clock=lambda: datetime.now(UTC),
        by=attribution("a rotation of the tests"),
    )


def ledger(certs: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (certs / "ledger.jsonl").read_text().splitlines()]


def stand_at(certs: Path, stage: str) -> None:
    def stop(reached: str, _: str) -> None:
        if reached == stage:
            raise Stopped

    with pytest.raises(Stopped):
        Rotator(replace(setting(certs), tell=stop)).rotate_intermediate(KEEPER)


def test_a_root_list_signed_while_a_rotation_stands_is_never_replaced_by_an_older_one(certs: Path) -> None:
    tree = CertificateTree(certs)
    state = require_state(tree)
    root, old = state.trust[0], load_certificate(tree.read_authority(state.issuer), state.issuer)
    stand_at(certs, "drain")
    Maintenance(setting(certs)).publish_lists(root=KEEPER)
    during = x509.load_pem_x509_crl(tree.read_list(root) or b"")
    Rotator(setting(certs)).resume()

    after = x509.load_pem_x509_crl(tree.read_list(root) or b"")
    assert list_number(during) + 1 == list_number(after)
    assert during.next_update_utc is not None
    assert after.next_update_utc is not None
    assert during.next_update_utc <= after.next_update_utc
    assert (0, [old.serial_number]) == (len(during), [entry.serial_number for entry in after])


def test_the_intermediate_of_a_rolled_back_rotation_is_in_the_next_list_of_the_root(certs: Path) -> None:
    tree = CertificateTree(certs)
    stand_at(certs, "drain")
    issuer = require_state(tree).issuer
    new = load_certificate(tree.read_authority(issuer), issuer)
    Rotator(setting(certs)).roll_back()
    Maintenance(setting(certs)).publish_lists(root=KEEPER)

    listed = x509.load_pem_x509_crl(tree.read_list(require_state(tree).trust[0]) or b"")
    assert [new.serial_number] == [entry.serial_number for entry in listed]


def test_each_root_of_a_standing_rotation_signs_its_list_by_its_own_keeper(certs: Path) -> None:
    other = PassphraseKeeper(b"what opens the new root", ScryptCost(n=2**14))

    def stop(reached: str, _: str) -> None:
        if reached == "drain":
            raise Stopped

    with pytest.raises(Stopped):
        Rotator(replace(setting(certs), tell=stop)).rotate_root(other)
    state = require_state(CertificateTree(certs))
    old, new = state.trust
    nobody = PassphraseKeeper(b"what opens no root at all", ScryptCost(n=2**14))

    assert [new, *state.intermediates] == Maintenance(setting(certs)).publish_lists(root=other)
    assert [old, *state.intermediates] == Maintenance(setting(certs)).publish_lists(root=KEEPER)
    with pytest.raises(SealError):
        Maintenance(setting(certs)).publish_lists(root=nobody)


def test_the_record_calls_no_stage_confirmed_at_which_nobody_looked(certs: Path) -> None:
    Rotator(setting(certs)).rotate_leaves(["edge"])

    stages = [entry for entry in ledger(certs) if entry["event"] == "rotation-stage"]
    assert [("issue-new", "unobserved", REASON), ("retire", "done", None)] == [
        (entry["stage"], entry["outcome"], entry.get("reason")) for entry in stages
    ]


def test_a_key_that_was_destroyed_without_a_line_gets_its_line(certs: Path) -> None:
    tree = CertificateTree(certs)
    old = require_state(tree).issuer
    stand_at(certs, "retire")
    tree.destroy_key(old)  # and killed here
    Rotator(setting(certs)).resume()

    assert [old] == [entry["authority"] for entry in ledger(certs) if entry["event"] == "key-destroyed"]


def rotate(certs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pki", "rotate", *arguments, "--certs", str(certs)]
    reader, writer = os.pipe()
    os.write(writer, KEEPER.passphrase)
    os.close(writer)
    try:
        return subprocess.run(
            [*command, "--offline", REASON, "--passphrase-fd", str(reader)],
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            pass_fds=(reader,), timeout=60,
        )  # fmt: skip
    finally:
        os.close(reader)


def test_what_is_left_of_a_removed_workload_blocks_no_rotation(certs: Path) -> None:
    IssuingAuthority.open(certs, KEEPER).issue(["removed-long-ago"], owners={}, now=datetime.now(UTC))
    before = (certs / "live" / "removed-long-ago" / "current").readlink()
    done = rotate(certs, "intermediate")

    assert 0 == done.returncode, done.stderr
    assert f"removed-long-ago is in no policy any more: remove {certs}/live/removed-long-ago" in done.stderr
    assert before == (certs / "live" / "removed-long-ago" / "current").readlink()
    assert ["removed-long-ago"] == [e["left_out"] for e in ledger(certs) if e["event"] == "rotation-began"]


def test_a_rotation_that_the_policy_would_never_let_end_does_not_begin(certs: Path) -> None:
    IssuingAuthority.open(certs, KEEPER).issue(["removed-long-ago"], owners={}, now=datetime.now(UTC))
    refused = rotate(certs, "leaf", "removed-long-ago")

    assert (1, None) == (refused.returncode, require_state(CertificateTree(certs)).rotation)
    assert "lists no workload" in refused.stderr
    assert 0 == rotate(certs, "leaf", "edge").returncode
