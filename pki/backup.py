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
from pki.lists_found import ListsFound, read_lists
from pki.recorded_signing import RecordedSigning
from pki.revocation_lists import record_revocations
from pki.seal import DEFAULT_COST, NONCE_BYTES, SALT_BYTES, ScryptCost, require_passphrase
from pki.tree_consistency import ConsistentTree, require_consistent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pki.ledger import Attribution

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
        lists: what the revocation lists given said; what was unrecorded is on the record now. The next lists
            must be signed at once, if anything was.
        custody: what opens each CA's key, in a few words, by its id.
    """

    head: BackupHead
    lists: ListsFound
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
    with _clear_faults(out, f"nothing was kept of {out}"):
        with tree.lock("backup"):
            files = _read_tree(certs)
        whole = require_consistent(files)
        head = BackupHead(
            whole.state.trust_domain, now.isoformat(), whole.ledger.head.seq, whole.ledger.head.digest
        )
        data = seal_backup(
            files,
            head,
            passphrase,
            salt=secrets.token_bytes(SALT_BYTES),
            nonce=secrets.token_bytes(NONCE_BYTES),
            cost=cost,
        )
        _write_backup(out, data)
    return BackupWritten(out, hashlib.sha256(data).hexdigest(), head, whole.custody)


def restore(
    source: Path,
    certs: Path,
    passphrase: bytes,
    lists: Sequence[bytes],
    *,
    now: datetime,
    by: Attribution | None = None,
) -> Restored:
    """Put the authority of a backup in force, in a tree that has none.

    What the lists know as revoked and the ledger does not is put on the record before anything is in force,
    and so is the restore itself; newer lists take the place of the backup's.

    Args:
        source: the file.
        certs: the tree; live generations may be there, but no state, ledger or CA.
        passphrase: of the backup.
        lists: every revocation list that is still to be found, PEM, one or more in each.
        now: UTC.
        by: who restores, for the ledger.

    Raises:
        BackupError: see `open_backup` and `read_lists`; the tree is not empty, or cannot be written.
        ClockFault: the clock is behind the backup.
        LedgerError, SealError, TreeError: what is in the backup does not belong together.
    """
    require_passphrase(passphrase)
    _require_empty(certs)
    data = _read_backup(source)
    files, head = open_backup(data, passphrase)
    whole = require_consistent(files)
    _require_head(whole, head)
    found = read_lists(lists, whole)
    newest = {f"ca/{authority}/crl.pem": pem for authority, pem in found.newest.items()}
    with _clear_faults(certs, "nothing was restored"), CertificateTree(certs).lock("restore"):
        _undo_interrupted(certs, files)
        _require_empty(certs)
        building = certs / f"{_BUILDING}{secrets.token_hex(8)}"
        try:
            _write_tree(building, files | newest)
            signing = RecordedSigning(CertificateTree(building), now, by)
            record_revocations(signing, found.unrecorded)
            signing.record(
                "restored", {"backup_sha256": hashlib.sha256(data).hexdigest(), "head": head.ledger_head}
            )
            require_consistent(_read_tree(building))
            sync_folder(building)
            building.rename(certs / _COMMITTED)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        sync_folder(certs)
        for piece in _PIECES:
            (certs / _COMMITTED / piece).rename(certs / piece)
            sync_folder(certs)
        shutil.rmtree(certs / _COMMITTED)
    return Restored(head, found, whole.custody)


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
    # Lists may differ: whoever goes on may have found newer ones.
    found = {f"ca/{f.relative_to(path)}": f.read_bytes() for f in path.glob("*/*") if f.name != "crl.pem"}
    wanted = {name for name in files if name.startswith("ca/") and not name.endswith("/crl.pem")}
    return found == {name: files[name] for name in wanted}


def _read_tree(certs: Path) -> dict[str, bytes]:
    tree = CertificateTree(certs)
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
    if (whole.state.trust_domain, whole.ledger.head.seq, whole.ledger.head.digest) != (
        head.trust_domain,
        head.ledger_lines,
        head.ledger_head,
    ):
        raise TreeError("the backup holds another ledger or authority than its first line says")


def _write_backup(out: Path, data: bytes) -> None:
    aside = out.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
    try:
        write_new(aside, data, 0o600, None)
        # A disk that lies is found out now, not on the day of the restore.
        if aside.read_bytes() != data:
            raise BackupError(f"{out} reads back differently: the disk is faulty, use another")
        aside.rename(out)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(out.parent)


@contextmanager
def _clear_faults(place: Path, outcome: str) -> Iterator[None]:
    """Say what a fault of the disk means."""
    try:
        yield
    except OSError as fault:
        where = fault.filename if isinstance(fault.filename, (str, os.PathLike)) else place
        raise BackupError(
            f"{where}: {fault.strerror}; {outcome}: make room or give access, then run this again"
        ) from fault
