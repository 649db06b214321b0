"""Killed anywhere, on a full disk, or with others at work since: a restore is whole or not there."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pki.authority import is_initialised, plan_authority
from pki.backup import backup, is_half_restored
from pki.certificate_files import CertificateTree
from pki.errors import AlreadyInitialised, BackupError
from pki.issuing import IssuingAuthority
from pki.ledger import split_lines, verify_ledger
from tests.integration.pki.backup.saved_authority import NOW, back, contents
from tests.integration.pki.conftest import CHEAP, PASSPHRASE

Make = Callable[..., IssuingAuthority]
ROOT = Path(__file__).parents[4]


def killed(action: str, source: Path, folder: Path, *tree: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.pki.backup.killed_backups", action, source, folder, *tree],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def interrupted(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Trees in which a restore was killed, the first before its first change, and so on."""
    folder = tmp_path_factory.mktemp("interrupted")
    return [folder / str(change) / "certs" for change in range(killed("restore", saved, folder))]


def half_restored(interrupted: list[Path]) -> list[Path]:
    """Those in which a restore was committed, and its pieces moved in part."""
    found = [tree for tree in interrupted if is_half_restored(tree)]
    assert len(found) >= 3
    return found


def test_a_backup_that_is_killed_anywhere_leaves_no_file_or_a_whole_one(certs: Path, tmp_path: Path) -> None:
    changes = killed("backup", certs, tmp_path)
    assert changes >= 2
    left = [file for file in tmp_path.glob("*/the.backup") if file.parent.name != str(changes)]

    for file in left:
        back(file, file.parent / "certs")


def test_a_restore_that_is_killed_anywhere_leaves_all_or_nothing_and_goes_on(
    certs: Path, saved: Path, interrupted: list[Path], tmp_path: Path
) -> None:
    assert len(interrupted) > 20
    for change, left in enumerate(interrupted):
        tree = tmp_path / str(change)
        if left.exists():  # not when it was killed before the folder was made
            shutil.copytree(left, tree)
        if not is_initialised(tree):
            back(saved, tree)
        assert contents(certs) == contents(tree), change
        assert verify_ledger(split_lines(CertificateTree(tree).read_ledger())[0]).head.seq > 1
        assert not is_half_restored(tree)


def test_going_on_can_be_killed_anywhere_too(
    certs: Path, saved: Path, interrupted: list[Path], tmp_path: Path
) -> None:
    # The last one has most to undo: everything but the state was moved.
    changes = killed("restore", saved, tmp_path, half_restored(interrupted)[-1])
    assert changes > 20
    for change in range(changes):
        tree = tmp_path / str(change) / "certs"
        if not is_initialised(tree):
            back(saved, tree)
        assert contents(certs) == contents(tree), change


def test_what_others_did_since_an_interrupted_restore_is_not_touched(
    make_authority: Make, interrupted: list[Path], tmp_path: Path
) -> None:
    make_authority(tmp_path / "other", age=timedelta(days=1))
    strange = backup(tmp_path / "other", tmp_path / "strange", PASSPHRASE, NOW, CHEAP).path
    moved = [tree for tree in half_restored(interrupted) if (tree / "ca").exists()]
    assert 2 == len(moved)
    for tree in moved:
        before = contents_below(tree)
        with pytest.raises(BackupError, match="another backup was interrupted"):
            back(strange, tree)
        assert before == contents_below(tree)


def contents_below(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


_LIMITED = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from pki.backup import backup, restore
from pki.errors import BackupError
from tests.integration.pki.conftest import CHEAP, PASSPHRASE
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    if sys.argv[2] == "backup":
        backup(Path(sys.argv[3]), Path(sys.argv[4]), PASSPHRASE, datetime.now(UTC), CHEAP)
    else:
        restore(Path(sys.argv[3]), Path(sys.argv[4]), PASSPHRASE, [], now=datetime.now(UTC))
except BackupError as fault:
    print(fault)
    sys.exit(7)
"""


@pytest.mark.parametrize("action", ["backup", "restore"])
@pytest.mark.parametrize("size", [0, 700, 3000])
def test_a_disk_that_is_full_leaves_nothing_half_written(
    certs: Path, saved: Path, tmp_path: Path, action: str, size: int
) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    source, target = (certs, tmp_path / "out") if action == "backup" else (saved, tmp_path / "certs")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(size), action, str(source), str(target)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert 7 == done.returncode, done.stderr
    assert "File too large" in done.stdout
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")}
    assert left <= {"certs", "certs/.lock"}
    if action == "restore":
        back(saved, target)


def test_no_authority_is_made_where_a_restore_was_interrupted(interrupted: list[Path]) -> None:
    for tree in half_restored(interrupted):
        with pytest.raises(AlreadyInitialised, match="pki restore"):
            plan_authority(tree, trust_domain="countermark.internal", now=NOW)
