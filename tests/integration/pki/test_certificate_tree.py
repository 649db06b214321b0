"""Generations change by one rename, whoever is killed where, and keys are readable by whom they must be."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pki.authority import IssuingAuthority
from pki.certificate_files import CertificateTree, Generation, Owner
from pki.durable_files import Disk
from pki.errors import IdentityError, SecretExposed, TreeError
from pki.exposure import require_private

Make = Callable[..., IssuingAuthority]
OLD = Generation(b"old chain", b"old key", b"old trust", b"old lists", {"serial": "1"})
NEW = Generation(b"new chain", b"new key", b"new trust", b"new lists", {"serial": "2"})
# An account and group that certainly are not ours; chown does not ask whether they exist.
STRANGER = Owner(uid=54321, gid=54322)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another group")


@pytest.fixture
def tree(tmp_path: Path) -> CertificateTree:
    return CertificateTree(tmp_path / "certs")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_publication_becomes_current_as_a_whole(tree: CertificateTree) -> None:
    tree.publish("gateway", OLD, None)
    folder = tree.publish("gateway", NEW, None)
    found = tree.read_current("gateway")

    assert found is not None
    assert (folder, b"new chain", b"new key", b"new trust") == (
        found[0],
        found[1].chain,
        found[1].key,
        found[1].trust,
    )
    assert folder.name == "gen-0002"
    assert (folder.parent / "current").readlink() == Path("gen-0002")


class KilledDisk(Disk):
    """Ends the command at its n-th commit: what was written before is there, nothing follows."""

    def __init__(self, number: int) -> None:
        self.left = number

    def settle(self, paths: Sequence[str]) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        super().settle(paths)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("names", [("gateway",), tuple(f"gateway-{number}" for number in range(80))])
def test_a_kill_between_the_steps_leaves_the_old_generations_current(
    tree: CertificateTree, steps: int, names: tuple[str, ...]
) -> None:
    folders = tree.publish_all([(name, OLD, None) for name in names])
    with pytest.raises(KeyboardInterrupt):
        CertificateTree(tree.root, KilledDisk(steps)).publish_all([(name, NEW, None) for name in names])

    assert folders == [tree.current(name) for name in names]

    # What the interrupted run left does not disturb the next one, and does not stay.
    newest = tree.publish_all([(name, NEW, None) for name in names])

    assert newest == [tree.current(name) for name in names]
    for old, new in zip(folders, newest, strict=True):
        assert {"current", old.name, new.name} == {entry.name for entry in new.parent.iterdir()}


def test_workloads_of_one_publication_share_what_is_the_same_and_no_key(tree: CertificateTree) -> None:
    first, second = tree.publish_all([("gateway", OLD, None), ("payments", OLD, None)])

    assert (first / "trust.pem").samefile(second / "trust.pem")
    assert (first / "crl.pem").samefile(second / "crl.pem")
    assert not (first / "key.pem").samefile(second / "key.pem")
    assert b"old lists" == (second / "crl.pem").read_bytes()


def test_only_the_previous_generation_is_kept(tree: CertificateTree) -> None:
    folders = [tree.publish("gateway", OLD, None) for _ in range(4)]

    assert {"current", "gen-0003", "gen-0004"} == {entry.name for entry in folders[0].parent.iterdir()}


def test_a_reader_never_sees_a_mixed_pair_while_generations_change(tree: CertificateTree) -> None:
    tree.publish("gateway", OLD, None)
    done = threading.Event()
    mixed: list[tuple[bytes, bytes]] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            # The way `pki.tls` reads: resolve once, then open both files.
            folder = (tree.root / "live/gateway/current").resolve()
            try:
                pair = (folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes()
            except FileNotFoundError:  # two generations went by: this one is gone, whole
                continue
            reads += 1
            if pair[0].split()[0] != pair[1].split()[0]:
                mixed.append(pair)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        tree.publish("gateway", (OLD, NEW)[number % 2], None)
    done.set()
    reader.join()

    assert mixed == []
    assert reads > 0


def test_without_an_owner_only_our_own_account_reads(tree: CertificateTree) -> None:
    folder = tree.publish("gateway", OLD, None)

    assert (mode(folder / "key.pem"), mode(folder), mode(folder.parent)) == (0o600, 0o700, 0o700)


@as_root
def test_as_root_the_workloads_group_reads_and_nobody_else(tree: CertificateTree) -> None:
    folder = tree.publish("postgres", OLD, STRANGER)
    key = (folder / "key.pem").stat()

    assert (key.st_uid, key.st_gid, mode(folder / "key.pem")) == (0, 54322, 0o640)
    assert (mode(folder), mode(folder.parent), folder.parent.stat().st_gid) == (0o750, 0o750, 54322)
    probe = (
        "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(54321); "
        "open(sys.argv[1]).read()"
    )
    for path in (tree.root.parent, tree.root.parent.parent, tree.root.parent.parent.parent):
        path.chmod(mode(path) | 0o011)
    answers = [
        subprocess.run(
            [sys.executable, "-c", probe, folder / "key.pem", group], check=False, capture_output=True
        ).returncode
        for group in ("54322", "54323")
    ]

    assert answers == [0, 1]


def test_another_account_cannot_be_given_a_key_without_being_root(
    tree: CertificateTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(TreeError, match="only root"):
        tree.publish("gateway", OLD, STRANGER)
    assert tree.current("gateway") is None


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ""])
def test_a_name_cannot_leave_the_tree(tree: CertificateTree, name: str) -> None:
    with pytest.raises(IdentityError):
        tree.publish(name, OLD, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"version":2}',
        '{"version":1,"trust_domain":"a.b","issuer":"../x","trust":[]}',
        '{"version":1,"trust_domain":"a.b","issuer":1,"trust":[]}',
    ],
)
def test_a_damaged_state_is_refused(tree: CertificateTree, text: str) -> None:
    tree.root.mkdir()
    (tree.root / "state.json").write_text(text)

    with pytest.raises(TreeError):
        tree.read_state()


@pytest.mark.parametrize(
    ("file", "bits"),
    [
        ("live/gateway/current/key.pem", 0o604),
        ("live/gateway/current/key.pem", 0o660),
        ("ledger.jsonl", 0o640),
        ("state.json", 0o644),
    ],
)
def test_a_secret_that_others_can_read_stops_everything(
    tmp_path: Path, make_authority: Make, file: str, bits: int
) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    require_private(certs)
    (certs / file).chmod(bits)

    with pytest.raises(SecretExposed, match="make it private"):
        require_private(certs)


@pytest.mark.skipif(shutil.which("git") is None, reason="nothing can be tracked where there is no git")
def test_a_secret_that_git_tracks_stops_everything(tmp_path: Path, make_authority: Make) -> None:
    certs = tmp_path / "certs"
    make_authority(certs, "gateway")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    require_private(certs)
    subprocess.run(["git", "-C", tmp_path, "add", "certs"], check=True)

    with pytest.raises(SecretExposed, match="tracked by git"):
        require_private(certs)
