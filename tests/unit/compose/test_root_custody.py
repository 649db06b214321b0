"""The demonstration's root opens with any two of its three shares, its intermediate with the passphrase."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from compose.launcher.credentials import provide_certificates
from compose.launcher.layout import Layout
from compose.launcher.root_custody import RootKeeper, passphrase_file, provide_passphrase
from compose.mesh import read_mesh
from pki.authority import IssuingAuthority, Owner, initialise
from pki.custody.envelope import custody_of
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.shares_keeper import SharesKeeper
from pki.errors import SealError
from pki.share_exchange import share_from_text
from tests.unit.compose.deployment import MESH_FILE, Deployment, this_account

MESH = read_mesh(MESH_FILE)


def envelope(certs: Path, role: str) -> bytes:
    (file,) = certs.glob(f"ca/{role}-*/key.sealed")
    return file.read_bytes()


def shares_in(folder: Path) -> list[str]:
    return [share_from_text(file.read_bytes()) for file in sorted(folder.iterdir())]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "secrets").mkdir()
    return Layout(tmp_path)


def test_the_shares_are_for_the_launchers_account_alone_and_any_two_open_the_root(
    deployment: Deployment,
) -> None:
    folder, root = deployment.layout.secrets / "root-shares", envelope(deployment.layout.certs, "root")
    files = sorted(folder.iterdir())

    assert "2 of 3 shares" == custody_of(root)
    assert "passphrase" == custody_of(envelope(deployment.layout.certs, "intermediate"))
    assert ["share-1-of-3.txt", "share-2-of-3.txt", "share-3-of-3.txt"] == [file.name for file in files]
    assert {0o600} == {file.stat().st_mode & 0o777 for file in files}
    assert 0o700 == folder.stat().st_mode & 0o777
    for pair in combinations(shares_in(folder), 2):
        assert isinstance(SharesKeeper.joining(pair).open(root), ec.EllipticCurvePrivateKey)
    with pytest.raises(SealError):
        SharesKeeper.joining(shares_in(folder)[:1]).open(root)
    with pytest.raises(SealError, match="it needs the shares"):
        PassphraseKeeper(passphrase_file(deployment.layout).read_bytes()).open(root)


def test_a_data_directory_whose_root_is_sealed_by_the_passphrase_goes_on_working(layout: Layout) -> None:
    passphrase = provide_passphrase(layout, initialised=False)
    keeper = PassphraseKeeper(passphrase)
    now = datetime.now(UTC)
    initialise(layout.certs, trust_domain=MESH.trust_domain, root=keeper, issuing=keeper, now=now)

    assert MESH.workloads() == provide_certificates(MESH, layout, this_account(MESH))
    assert "passphrase" == custody_of(envelope(layout.certs, "root"))
    root = envelope(layout.certs, "root")
    assert keeper.open(root).public_key() == RootKeeper(layout.secrets, passphrase).open(root).public_key()
    assert not (layout.secrets / "root-shares").exists()


def test_shares_of_a_start_that_was_interrupted_are_set_aside_and_never_deleted(layout: Layout) -> None:
    keeper, now = RootKeeper(layout.secrets, b""), datetime.now(UTC)
    _, first = keeper.make("root", now)
    _, second = keeper.make("root", datetime.now(UTC))

    folders = sorted(layout.secrets.iterdir())
    assert 2 == len(folders)
    assert "root-shares" == folders[0].name
    assert [3, 3] == [len(list(folder.iterdir())) for folder in folders]
    assert keeper.open(first).public_key() != keeper.open(second).public_key()


def test_a_root_whose_custodians_took_their_shares_away_says_what_is_needed(layout: Layout) -> None:
    keeper = RootKeeper(layout.secrets, b"")
    key, sealed = keeper.make("root", datetime.now(UTC))
    (layout.secrets / "root-shares" / "share-1-of-3.txt").unlink()
    assert key.public_key() == keeper.open(sealed).public_key()

    (layout.secrets / "root-shares" / "share-3-of-3.txt").unlink()
    with pytest.raises(SealError, match="holds 1 shares of this root, 2 are needed"):
        keeper.open(sealed)


def test_the_passphrase_is_whole_or_not_there(layout: Layout) -> None:
    file = passphrase_file(layout)
    file.touch(mode=0o600)  # What a crash of an older launcher may have left.
    (layout.secrets / "authority.passphrase.new").write_text("half")
    made = provide_passphrase(layout, initialised=False)

    assert 64 == len(made)
    assert ([file], 0o600) == (list(layout.secrets.iterdir()), file.stat().st_mode & 0o777)
    assert (
        made == provide_passphrase(layout, initialised=False) == provide_passphrase(layout, initialised=True)
    )

    file.unlink()
    with pytest.raises(SealError, match="opens with nothing else"):
        provide_passphrase(layout, initialised=True)
    assert not file.exists()


def test_a_start_after_days_publishes_lists_that_are_good(
    layout: Layout,
) -> None:
    now = datetime.now(UTC)
    passphrase = provide_passphrase(layout, initialised=False)
    issuing, root = PassphraseKeeper(passphrase), RootKeeper(layout.secrets, passphrase)
    before = now - timedelta(hours=60)  # Lists live for 48 hours, leaves are renewed after 84.
    initialise(layout.certs, trust_domain=MESH.trust_domain, root=root, issuing=issuing, now=before)
    owners: dict[str, Owner | None] = {
        name: Owner(account.uid, account.gid) for name, account in this_account(MESH).items()
    }
    IssuingAuthority.open(layout.certs, issuing).issue(MESH.workloads(), owners=owners, now=before)
    current = layout.certs / "live" / "gateway" / "current"
    assert [] != [end for end in list_ends(current / "crl.pem") if end < now]

    provide_certificates(MESH, layout, this_account(MESH))
    assert [] == [end for end in list_ends(current / "crl.pem") if end < now]


def list_ends(file: Path) -> list[datetime]:
    blocks = file.read_text().split("-----END X509 CRL-----")[:-1]
    lists = [x509.load_pem_x509_crl(f"{block}-----END X509 CRL-----\n".encode()) for block in blocks]
    assert 2 == len(lists)  # Of the root and of the intermediate: Envoy and PostgreSQL ask for both.
    return [end for one in lists if (end := one.next_update_utc) is not None]
