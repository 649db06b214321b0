"""An authority comes back from its backup whole or not at all, and forgets no revocation."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki.authority import IssuingAuthority, initialise, is_initialised
from pki.backup import backup, restore
from pki.certificate_files import CertificateTree
from pki.crl import ListPlan, Revocation, list_number, sign_list
from pki.custody.contract import open_key_of
from pki.custody.shares_keeper import SharesKeeper
from pki.errors import BackupError, LedgerError, NotInitialised, PKIError, SealError, TreeError
from pki.inventory import require_state
from pki.ledger import split_lines, verify_ledger
from tests.integration.pki.backup.saved_authority import NOW, back, contents, names_in
from tests.integration.pki.conftest import CHEAP, KEEPER, PASSPHRASE

Make = Callable[..., IssuingAuthority]
ROOT = Path(__file__).parents[3]


def revocation_list(certs: Path, serials: Iterable[str], *, number: int = 9, name: str = "") -> bytes:
    """A list that the issuing CA signed and that no ledger here knows of; or somebody else in its name."""
    tree = CertificateTree(certs)
    issuer = require_state(tree).issuer
    certificate = x509.load_pem_x509_certificate(tree.read_authority(issuer))
    moment = NOW.replace(microsecond=0)
    if name:
        subject = certificate.subject if name == "ours" else x509.Name.from_rfc4514_string(name)
        builder = x509.CertificateRevocationListBuilder(subject, moment, moment + timedelta(days=1))
        signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        return signed.public_bytes(Encoding.PEM)
    entries = [
        Revocation(serial, issuer, "", "key-compromise", moment, moment + timedelta(days=9))
        for serial in serials
    ]
    plan = ListPlan(issuer, number, moment, moment + timedelta(days=1), tuple(entries))
    key = KEEPER.open(tree.read_sealed_key(issuer))
    return sign_list(plan, issuer=certificate, issuer_key=key).public_bytes(Encoding.PEM)


def serial_of(certs: Path, name: str) -> str:
    found = CertificateTree(certs).read_current(name)
    assert found is not None
    return f"{x509.load_pem_x509_certificate(found[1].chain).serial_number:x}"


def test_a_restored_authority_is_the_one_that_was_backed_up_and_issues(
    certs: Path, saved: Path, tmp_path: Path
) -> None:
    found = back(saved, tmp_path / "certs")
    tree = CertificateTree(tmp_path / "certs")
    before, after = CertificateTree(certs).read_ledger(), tree.read_ledger()
    issued = IssuingAuthority.open(tree.root, KEEPER).issue(["gateway"], owners={}, now=datetime.now(UTC))

    assert contents(certs) == contents(tree.root)
    assert after.startswith(before)
    assert ["restored"] == [json.loads(line)["event"] for line in after[len(before) :].splitlines()]
    assert ["gateway"] == [leaf.identity.name for leaf in issued]
    assert {"passphrase"} == set(found.custody.values())
    assert verify_ledger(split_lines(before)[0]).head.digest == found.head.ledger_head
    assert [".lock", "ca", "ledger.jsonl", "live", "state.json"] == names_in(tree.root)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tree.root.rglob("key.sealed")}
    assert {0o600} == modes | {
        stat.S_IMODE((tree.root / name).stat().st_mode) for name in ("state.json", "ledger.jsonl")
    }


def test_a_backup_is_private_sealed_and_holds_no_live_key(certs: Path, saved: Path) -> None:
    data = saved.read_bytes()
    head, _, sealed = data.partition(b"\n")

    assert 0o600 == stat.S_IMODE(saved.stat().st_mode)
    assert "countermark.internal" == json.loads(head)["trust_domain"]
    for secret in (b"PRIVATE KEY", b"countermark-sealed-key", b"issued", b"CERTIFICATE"):
        assert secret not in sealed
    # Live keys would be sealed, too, and unseen: what it holds is as long as what is not live.
    expected = sum(map(len, contents(certs).values())) + len(CertificateTree(certs).read_ledger())
    assert expected < len(sealed) < expected + 1500


def test_a_restore_forgets_no_revocation(certs: Path, saved: Path, tmp_path: Path) -> None:
    known, later = serial_of(certs, "gateway"), "5" + "0" * 39
    older = revocation_list(certs, [known], number=7)
    newest = revocation_list(certs, [known, later], number=9)
    foreign = revocation_list(certs, [], name="CN=another authority")
    found = back(saved, tmp_path / "certs", [older + foreign, b"text before\n" + newest, older])
    tree = CertificateTree(tmp_path / "certs")
    issuer = require_state(tree).issuer
    ledger = verify_ledger(split_lines(tree.read_ledger())[0])
    kept = tree.read_list(issuer)

    assert {known, later} == ledger.revoked == {entry.serial for entry in found.lists.unrecorded}
    assert {"spiffe://countermark.internal/gateway", ""} == {
        entry.subject for entry in found.lists.unrecorded
    }
    assert {"key-compromise"} == {entry.reason for entry in found.lists.unrecorded}
    assert kept is not None
    assert 9 == list_number(x509.load_pem_x509_crl(kept))
    assert ("CN=another authority",) == found.lists.foreign

    again = backup(tree.root, tmp_path / "again", PASSPHRASE, NOW, CHEAP).path
    assert () == back(again, tmp_path / "second", [newest]).lists.unrecorded


@pytest.mark.parametrize("kind", ["forged", "damaged", "none"])
def test_a_list_that_is_none_of_ours_stops_the_restore(
    certs: Path, saved: Path, tmp_path: Path, kind: str
) -> None:
    given = {
        "forged": revocation_list(certs, [], name="ours"),
        "damaged": revocation_list(certs, []).replace(b"MII", b"MIJ", 1),
        "none": b"no list",
    }[kind]
    reason = {"forged": "did not sign it", "damaged": "is damaged|did not sign", "none": "holds none"}[kind]

    with pytest.raises(BackupError, match=reason):
        back(saved, tmp_path / "certs", [given])
    assert not (tmp_path / "certs").exists()


@pytest.mark.parametrize("piece", ["state.json", "ledger.jsonl", "ca"])
def test_a_restore_replaces_nothing(saved: Path, tmp_path: Path, piece: str) -> None:
    (tmp_path / "README.md").write_text("may stay")
    (tmp_path / "live" / "gateway").mkdir(parents=True)
    place = tmp_path / piece
    if piece == "ca":
        (place / "anything").mkdir(parents=True)
    else:
        place.write_text("of another authority")
    with pytest.raises(
        BackupError, match=f"already holds {piece}: a restore replaces nothing; move these away"
    ):
        back(saved, tmp_path)
    shutil.rmtree(place) if piece == "ca" else place.unlink()
    back(saved, tmp_path)

    assert (tmp_path / "README.md").exists()
    assert is_initialised(tmp_path)


def test_only_the_right_passphrase_and_every_byte_open_it(saved: Path, tmp_path: Path) -> None:
    data = saved.read_bytes()
    end = data.index(b"\n")
    copies = {
        "cut": data[:-1],
        "cut in the first line": data[: end // 2],
        "empty": b"",
        "longer": data + b"\n",
        "byte": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        "date": data.replace(b'"created": "20', b'"created": "21', 1),
        "another version": data.replace(b'"version": 1', b'"version": 2', 1),
        "a text": b"-----BEGIN CERTIFICATE-----\n" * 9,
    }
    reasons = {
        "cut": "is cut",
        "another version": "of version 2",
        "byte": "did not open",
        "date": "did not open",
    }
    for name, copy in copies.items():
        file = tmp_path / name
        file.write_bytes(copy)
        with pytest.raises(BackupError, match=reasons.get(name, "not a backup of ours|did not open")):
            back(file, tmp_path / "certs")
    with pytest.raises(BackupError, match="passphrase is wrong"):
        restore(saved, tmp_path / "certs", PASSPHRASE + b"!", [], now=NOW)
    with pytest.raises(SealError, match="12 to 1024"):
        restore(saved, tmp_path / "certs", b"short", [], now=NOW)
    with pytest.raises(BackupError, match="nowhere cannot be read"):
        back(tmp_path / "nowhere", tmp_path / "certs")

    assert not (tmp_path / "certs").exists()


def damaged(certs: Path, damage: str) -> type[PKIError]:
    tree = CertificateTree(certs)
    state = require_state(tree)
    root, issuer = (certs / "ca" / authority for authority in (state.trust[0], state.issuer))
    if damage == "ledger":
        ledger = certs / "ledger.jsonl"
        ledger.write_bytes(ledger.read_bytes().replace(b'"issued"', b'"Issued"', 1))
        return LedgerError
    if damage == "ledger cut":
        ledger = certs / "ledger.jsonl"
        ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:1]))
    elif damage == "key missing":
        (issuer / "key.sealed").unlink()
    elif damage == "keys swapped":
        shutil.copy(root / "key.sealed", issuer / "key.sealed")
    elif damage == "key damaged":
        (root / "key.sealed").write_text("{}")
        return SealError
    elif damage == "lists swapped":
        shutil.copy(root / "crl.pem", issuer / "crl.pem")
    elif damage == "certificates swapped":
        shutil.copy(root / "cert.pem", issuer / "cert.pem")
    elif damage == "root missing":
        shutil.rmtree(root)
    else:
        (certs / "state.json").write_text("{}")
    return TreeError


@pytest.mark.parametrize(
    "damage",
    ["ledger", "ledger cut", "key missing", "keys swapped", "key damaged", "lists swapped",
     "certificates swapped", "root missing", "state"],
)  # fmt: skip
def test_a_damaged_authority_is_not_backed_up(certs: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(certs, tmp_path / "certs", symlinks=True)
    fault = damaged(tmp_path / "certs", damage)

    with pytest.raises(fault):
        backup(tmp_path / "certs", tmp_path / "out", PASSPHRASE, NOW, CHEAP)
    assert ["certs"] == names_in(tmp_path)


def test_a_backup_needs_an_authority_and_a_new_file(certs: Path, saved: Path, tmp_path: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(NotInitialised):
        backup(tmp_path / "nowhere", tmp_path / "out", PASSPHRASE, NOW, CHEAP)
    with pytest.raises(BackupError, match="exists: a backup replaces nothing"):
        backup(certs, saved, PASSPHRASE, NOW, CHEAP)
    with pytest.raises(BackupError, match="nothing was kept of"):
        backup(certs, tmp_path / "no folder" / "out", PASSPHRASE, NOW, CHEAP)

    assert before == saved.read_bytes()
    assert [] == names_in(tmp_path)


def test_a_root_in_shares_comes_back_and_opens_with_them(tmp_path: Path) -> None:
    shares: list[str] = []
    dealing = SharesKeeper.dealing(2, 3, shares.extend)
    initialise(tmp_path / "certs", trust_domain="countermark.internal", root=dealing, issuing=KEEPER, now=NOW)
    written = backup(tmp_path / "certs", tmp_path / "out", PASSPHRASE, NOW, CHEAP)
    back(written.path, tmp_path / "back")
    tree = CertificateTree(tmp_path / "back")
    root = require_state(tree).trust[0]
    certificate = x509.load_pem_x509_certificate(tree.read_authority(root))
    joined = SharesKeeper.joining(shares[1:])
    key = open_key_of(
        joined, tree.read_sealed_key(root), role="root", public_key=certificate.public_key(), place=root
    )

    assert certificate.public_key() == key.public_key()
    assert {"2 of 3 shares", "passphrase"} == set(written.custody.values())
