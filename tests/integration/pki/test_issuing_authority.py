"""The authority on disk: made once, opened with its passphrase, and every signature on the record."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki.authority import IssuingAuthority, is_initialised, leaves_due, plan_leaves
from pki.certificate_files import CertificateTree, Owner
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.errors import (
    AlreadyInitialised,
    AuthorityExpired,
    IdentityError,
    LedgerError,
    NotInitialised,
    SealError,
    TreeError,
)
from pki.inventory import take_inventory
from pki.ledger import split_lines, verify_ledger
from pki.seal import ScryptCost
from pki.status import Level, judge, worst

Make = Callable[..., IssuingAuthority]
PASSPHRASE = b"a passphrase of the tests"
CHEAP = ScryptCost(n=2**14)
KEEPER = PassphraseKeeper(PASSPHRASE, CHEAP)
# A certificate and a first revocation list, for a root and for an intermediate.
MADE = ["intent", "issued"] * 4


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    return tmp_path / "certs"


def now() -> datetime:
    return datetime.now(UTC)


def events(certs: Path) -> list[str]:
    lines, _ = split_lines((certs / "ledger.jsonl").read_bytes())
    verify_ledger(lines)
    return [line.split('"event":"')[1].split('"')[0] for line in lines]


def test_openssl_accepts_the_chain_strictly_in_both_roles(certs: Path, make_authority: Make) -> None:
    make_authority(certs, "gateway")
    folder = certs / "live/gateway/current"
    for purpose in ("sslserver", "sslclient"):
        command: list[str | Path] = ["openssl", "verify", "-x509_strict", "-purpose", purpose]
        command += ["-verify_hostname", "gateway.countermark.internal", "-no-CApath", "-no-CAstore"]
        command += ["-CAfile", folder / "trust.pem", "-untrusted", folder / "cert.pem", folder / "cert.pem"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)

        assert (answer.returncode, answer.stdout.strip()[-2:]) == (0, "OK"), answer.stderr


def test_the_files_of_a_generation_are_what_they_say(certs: Path, make_authority: Make) -> None:
    make_authority(certs, "gateway")
    folder = certs / "live/gateway/current"
    leaf, issuer = x509.load_pem_x509_certificates((folder / "cert.pem").read_bytes())
    [root] = x509.load_pem_x509_certificates((folder / "trust.pem").read_bytes())

    leaf.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert [name.value for name in names] == [
        "spiffe://countermark.internal/gateway",
        "gateway.countermark.internal",
    ]
    assert leaf.subject.rfc4514_string() == "CN=gateway"


def test_every_signature_has_an_intent_and_a_result(certs: Path, make_authority: Make) -> None:
    make_authority(certs, "gateway", "edge")

    assert events(certs) == [*MADE, "intent", "intent", "issued", "issued"]


def test_an_authority_is_made_once(certs: Path, make_authority: Make) -> None:
    assert not is_initialised(certs)
    make_authority(certs, "gateway")
    assert is_initialised(certs)
    state = (certs / "state.json").read_bytes()

    with pytest.raises(AlreadyInitialised, match="move the folder away"):
        make_authority(certs)
    assert state == (certs / "state.json").read_bytes()


def test_a_lost_state_does_not_make_a_second_authority_over_living_leaves(
    certs: Path, make_authority: Make
) -> None:
    make_authority(certs, "gateway")
    (certs / "state.json").unlink()

    with pytest.raises(AlreadyInitialised):
        make_authority(certs)


def test_an_interrupted_initialisation_begins_again_and_says_so(certs: Path, make_authority: Make) -> None:
    make_authority(certs)
    (certs / "state.json").unlink()
    make_authority(certs, "gateway")

    assert len(CertificateTree(certs).authorities()) == 2
    assert events(certs) == [*MADE, *["authority-discarded"] * 2, *MADE, "intent", "issued"]
    assert worst(judge(take_inventory(CertificateTree(certs)), now())) == Level.FINE


@pytest.mark.parametrize("passphrase", [b"another passphrase", b""])
def test_another_passphrase_does_not_open_it(certs: Path, make_authority: Make, passphrase: bytes) -> None:
    make_authority(certs)

    with pytest.raises(SealError):
        IssuingAuthority.open(certs, PassphraseKeeper(passphrase))


def test_the_roots_sealed_key_does_not_pass_for_the_intermediates(certs: Path, make_authority: Make) -> None:
    make_authority(certs)
    intermediate, root = CertificateTree(certs).authorities()
    shutil.copy(certs / "ca" / root / "key.sealed", certs / "ca" / intermediate / "key.sealed")

    with pytest.raises(SealError, match="not that of intermediate"):
        IssuingAuthority.open(certs, KEEPER)


def test_without_an_authority_nothing_opens(certs: Path) -> None:
    with pytest.raises(NotInitialised, match="pki init"):
        IssuingAuthority.open(certs, KEEPER)
    with pytest.raises(NotInitialised):
        leaves_due(certs, ["gateway"], now())


def test_a_short_passphrase_makes_nothing(certs: Path) -> None:
    with pytest.raises(SealError):
        PassphraseKeeper(b"short")
    assert not certs.exists()


def test_a_bad_name_is_found_before_anything_is_signed(certs: Path, make_authority: Make) -> None:
    authority = make_authority(certs)

    with pytest.raises(IdentityError):
        authority.issue(["gateway", "Gateway"], owners={}, now=now())
    assert events(certs) == MADE


def test_a_broken_ledger_stops_the_signing(certs: Path, make_authority: Make) -> None:
    authority = make_authority(certs, "gateway")
    ledger = certs / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b"uid", b"gid", 1))
    before = (certs / "live/gateway/current").readlink()

    with pytest.raises(LedgerError, match="line 1"):
        authority.issue(["gateway"], owners={}, now=now())
    assert before == (certs / "live/gateway/current").readlink()


def test_a_torn_last_line_is_cut_off_and_recorded(certs: Path, make_authority: Make) -> None:
    authority = make_authority(certs)
    with (certs / "ledger.jsonl").open("ab") as ledger:
        ledger.write(b'{"actor":"uid 0","ev')
    authority.issue(["gateway"], owners={}, now=now())

    assert events(certs)[len(MADE) :] == ["tail-discarded", "intent", "issued"]


def test_an_authority_that_was_replaced_meanwhile_signs_nothing(certs: Path, make_authority: Make) -> None:
    authority = make_authority(certs)
    shutil.rmtree(certs)
    make_authority(certs, age=timedelta(hours=1))

    with pytest.raises(TreeError, match="open it again"):
        authority.issue(["gateway"], owners={}, now=now())


def test_an_expired_intermediate_signs_nothing(certs: Path, make_authority: Make) -> None:
    make_authority(certs)

    with pytest.raises(AuthorityExpired):
        plan_leaves(certs, ["gateway"], now() + timedelta(days=180))


def test_a_fresh_leaf_is_not_due_and_an_old_or_missing_one_is(certs: Path, make_authority: Make) -> None:
    make_authority(certs, "gateway", "edge")
    names = ["edge", "gateway", "payments", "edge"]

    assert leaves_due(certs, names, now()) == ["payments"]
    assert leaves_due(certs, names, now() + timedelta(days=3, hours=13)) == ["edge", "gateway", "payments"]
    assert leaves_due(certs, names, now() - timedelta(days=1)) == ["edge", "gateway", "payments"]


@pytest.mark.parametrize("file", ["cert.pem", "key.pem", "trust.pem"])
def test_a_leaf_whose_files_do_not_fit_is_due(certs: Path, make_authority: Make, file: str) -> None:
    make_authority(certs, "gateway", "edge")
    # Replaced and not overwritten: leaves of one batch share what is the same.
    (certs / "live/gateway/current" / file).unlink()
    shutil.copy(certs / "live/edge/current/cert.pem", certs / "live/gateway/current" / file)

    assert leaves_due(certs, ["edge", "gateway"], now()) == ["gateway"]


def test_a_leaf_of_another_name_is_due(certs: Path, make_authority: Make) -> None:
    make_authority(certs, "gateway", "edge")
    for file in ("cert.pem", "key.pem"):
        shutil.copy(certs / "live/edge/current" / file, certs / "live/gateway/current" / file)

    assert leaves_due(certs, ["edge", "gateway"], now()) == ["gateway"]


def test_a_key_that_its_owner_cannot_read_is_due(certs: Path, make_authority: Make) -> None:
    make_authority(certs, "gateway", "edge")

    assert leaves_due(certs, ["edge", "gateway"], now(), {"gateway": Owner(54321, 54322)}) == ["gateway"]


def test_a_leaf_off_the_record_is_critical(certs: Path, make_authority: Make) -> None:
    make_authority(certs, "gateway")
    lines = (certs / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (certs / "ledger.jsonl").write_bytes(b"".join(lines[:-2]))
    verdicts = judge(take_inventory(CertificateTree(certs)), now())

    assert worst(verdicts) == Level.CRITICAL
    assert "not in the ledger" in verdicts[-1].advice


@pytest.mark.parametrize("file", ["key.pem", "cert.pem", "trust.pem", "crl.pem"])
def test_a_lost_file_of_one_workload_hides_no_other(certs: Path, make_authority: Make, file: str) -> None:
    authority = make_authority(certs, "edge", "gateway")
    (certs / "live/gateway/current" / file).unlink()
    (certs / "live/Not A Name").mkdir()

    leaves = {leaf.name: leaf for leaf in take_inventory(CertificateTree(certs)).leaves}
    assert (("edge", "gateway"), ()) == (tuple(leaves), leaves["edge"].faults)
    assert leaves["gateway"].faults
    assert ["gateway"] == leaves_due(certs, ["edge", "gateway"], now())

    authority.issue(["gateway"], owners={}, now=now())
    assert [] == leaves_due(certs, ["edge", "gateway"], now())
