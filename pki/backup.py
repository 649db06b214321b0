"""Backup and restore of an authority: everything but the workloads' keys, which are made anew instead.

A backup is written aside and renamed; a restore is built and checked aside, committed by one rename, then
moved into place with the state last. Whoever is killed anywhere leaves either no authority or the whole one,
and the same command goes on. Keys in a token are not in a backup: it holds their references.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pki.backup_file import (
    AUTHORITY_FILES,
    BACKUP_BYTES_MAX,
    LEDGER_NAME,
    STATE_NAME,
    BackupHead,
    open_backup,
    seal_backup,
)
from pki.certificate_files import CertificateTree
from pki.durable_files import make_folder, read_file, sync_folder, write_new
from pki.errors import BackupError, TreeError
from pki.inventory import require_state
from pki.seal import DEFAULT_COST, NONCE_BYTES, SALT_BYTES, ScryptCost, require_passphrase
from pki.tree_consistency import ConsistentTree, require_consistent
from pki.unrecorded_revocations import ListsRead, read_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

_ASIDE = ".aside-"
_BUILDING = ".restore-building-"
# There only between the commit of a restore and its last move.
_COMMITTED = ".restore-committed"
# The state is last: what has no state is no authority.
_PIECES = ("ca", LEDGER_NAME, STATE_NAME)


@dataclass(frozen=True, slots=True)
class BackupWritten:
    """A backup that is on disk.

    Attributes:
        path: the file.
        sha256: of the file, hex.
        head: what it says of itself.
        custody: what opens each CA's key, in a few words, by its id; a backup is worth nothing without that.
    """

    path: Path
    sha256: str
    head: BackupHead
    custody: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Restored:
    """An authority that is in force again.

    Attributes:
        head: of the backup; everything signed after `created` is unknown to the ledger.
        lists: what the revocation lists given said; what was unrecorded is on the record now.
        custody: what opens each CA's key, in a few words, by its id.
    """

    head: BackupHead
    lists: ListsRead
    custody: Mapping[str, str]


def backup(
    certs: Path, out: Path, passphrase: bytes, now: datetime, cost: ScryptCost = DEFAULT_COST
) -> BackupWritten:
    """Write a backup of an authority that is whole.

    Args:
        certs: the tree.
        out: a file that does not exist yet; it becomes readable for our account alone.
        passphrase: of this backup, 12 to 1024 bytes; not necessarily the authority's.
        now: UTC.
        cost: of one guess at the passphrase.

    Raises:
        NotInitialised: there is no authority.
        LedgerError, SealError, TreeError: the authority is damaged; a backup of it could not be restored.
        BackupError: the file exists, cannot be written, or would be too large.
    """
    require_passphrase(passphrase)
    tree = CertificateTree(certs)
    require_state(tree)
    if out.exists():
        raise BackupError(f"{out} exists: a backup replaces nothing, name another file")
    with tree.lock():
        files = _read_tree(certs, tree)
        whole = require_consistent(files, require_state(tree))
    head = BackupHead(whole.trust_domain, now.isoformat(), whole.head.seq, whole.head.digest)
    data = seal_backup(
        files,
        head,
        passphrase,
        salt=secrets.token_bytes(SALT_BYTES),
        nonce=secrets.token_bytes(NONCE_BYTES),
        cost=cost,
    )
    aside = out.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
    try:
        try:
            write_new(aside, data, 0o600, None)
            # A disk that lies is found out now, not on the day of the restore.
            if aside.read_bytes() != data:
                raise BackupError(f"{out} reads back differently: the disk is faulty, use another")
            aside.rename(out)
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(out.parent)
    except OSError as fault:
        raise BackupError(f"{out} cannot be written ({fault.strerror}): nothing was kept of it") from fault
    return BackupWritten(out, hashlib.sha256(data).hexdigest(), head, whole.custody)


def restore(
    source: Path,
    certs: Path,
    passphrase: bytes,
    lists: Sequence[bytes],
    *,
    record: Callable[[CertificateTree, ListsRead], None],
) -> Restored:
    """Put the authority of a backup in force, in a tree that has none.

    Args:
        source: the file.
        certs: the tree; live generations may be there, but no state, ledger or CA.
        passphrase: of the backup.
        lists: every revocation list that is still to be found, PEM, one or more in each.
        record: gets the tree that is not in force yet, and puts each unrecorded revocation on its ledger as
            "revoked"; so there is no moment at which a revoked certificate counts as good.

    Raises:
        BackupError: see `open_backup`; the tree is not empty; it cannot be written; not all was recorded.
        LedgerError, SealError, TreeError: what is in the backup does not belong together.
    """
    require_passphrase(passphrase)
    _require_empty(certs)
    files, head = open_backup(_read_backup(source), passphrase)
    with _clear_faults(certs), CertificateTree(certs).lock():
        _undo_interrupted(certs, files)
        _require_empty(certs)
        building = certs / f"{_BUILDING}{secrets.token_hex(8)}"
        try:
            _write_tree(building, files)
            tree = CertificateTree(building)
            whole = require_consistent(files, require_state(tree))
            _require_head(whole, head)
            read = read_lists(lists, whole)
            record(tree, read)
            after = require_consistent(_read_tree(building, tree), require_state(tree))
            if {entry.serial for entry in read.unrecorded} - after.recorded.revoked:
                raise BackupError("revocations that the lists know were not recorded: nothing was restored")
            sync_folder(building)
            building.rename(certs / _COMMITTED)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        sync_folder(certs)
        for piece in _PIECES:
            (certs / _COMMITTED / piece).rename(certs / piece)
            sync_folder(certs)
        shutil.rmtree(certs / _COMMITTED)
    return Restored(head, read, after.custody)


def is_half_restored(certs: Path) -> bool:
    """Say whether a restore was interrupted here; the same command goes on, and nothing else should begin."""
    return (certs / _COMMITTED / STATE_NAME).exists() and not (certs / STATE_NAME).exists()


def _require_empty(certs: Path) -> None:
    if is_half_restored(certs):
        return
    ca = certs / "ca"
    present = [name for name in (STATE_NAME, LEDGER_NAME) if (certs / name).exists()]
    present += ["ca"] if ca.exists() and any(ca.iterdir()) else []
    if present:
        raise BackupError(
            f"{certs} already holds {', '.join(present)}: a restore replaces nothing; move these away, keep "
            "them as evidence, then restore again"
        )


def _undo_interrupted(certs: Path, files: Mapping[str, bytes]) -> None:
    committed = certs / _COMMITTED
    if is_half_restored(certs):
        # What is no longer in the committed folder was moved out of it, and nobody relied on it yet. Unless
        # other hands were here since: nothing of theirs is touched.
        moved = [piece for piece in _PIECES if not (committed / piece).exists()]
        if any(not _is_of_backup(certs / piece, files) for piece in moved):
            raise BackupError(
                f"a restore of another backup was interrupted in {certs}, or the folder was used since: move "
                f"{_COMMITTED}, {' and '.join(moved)} away, then restore again"
            )
        for piece in moved:
            (certs / piece).rename(committed / piece)
    if committed.exists():
        # By one rename, because half a committed folder would be taken for one that pieces were moved out of.
        committed.rename(certs / f"{_BUILDING}{secrets.token_hex(8)}")
    for left in certs.glob(f"{_BUILDING}*"):
        shutil.rmtree(left)


def _is_of_backup(path: Path, files: Mapping[str, bytes]) -> bool:
    if path.is_file():
        # A restore adds revocations to the ledger of the backup, and changes nothing in it.
        return path.read_bytes().startswith(files[LEDGER_NAME].rpartition(b"\n")[0])
    found = {f"ca/{file.relative_to(path)}": file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return found == {name: data for name, data in files.items() if name.startswith("ca/")}


def _read_tree(certs: Path, tree: CertificateTree) -> dict[str, bytes]:
    files = {STATE_NAME: read_file(certs / STATE_NAME), LEDGER_NAME: tree.read_ledger()}
    for authority in tree.authorities():
        for name in AUTHORITY_FILES:
            path = certs / "ca" / authority / name
            if path.exists():
                files[f"ca/{authority}/{name}"] = read_file(path)
    return files


def _write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    make_folder(folder, 0o700, None)
    make_folder(folder / "ca", 0o700, None)
    for name, data in files.items():
        path = folder / name
        if path.parent != folder:
            make_folder(path.parent, 0o700, None)
        write_new(path, data, 0o644 if path.name in ("cert.pem", "crl.pem") else 0o600, None)
    for inner in [*(folder / "ca").iterdir(), folder / "ca", folder]:
        sync_folder(inner)


def _read_backup(source: Path) -> bytes:
    try:
        with source.open("rb") as file:
            return file.read(BACKUP_BYTES_MAX + 1)
    except OSError as fault:
        raise BackupError(f"{source} cannot be read ({fault.strerror}): name another copy") from fault


def _require_head(whole: ConsistentTree, head: BackupHead) -> None:
    if (whole.trust_domain, whole.head.seq, whole.head.digest) != (
        head.trust_domain,
        head.ledger_lines,
        head.ledger_head,
    ):
        raise TreeError("the backup holds another ledger or authority than its first line says")


@contextmanager
def _clear_faults(certs: Path) -> Iterator[None]:
    """Say what a fault of the disk means for the restore."""
    try:
        yield
    except OSError as fault:
        place = fault.filename if isinstance(fault.filename, (str, os.PathLike)) else certs
        raise BackupError(
            f"{place}: {fault.strerror}; nothing was restored: make room or give access, then restore again"
        ) from fault
