"""Everything in a certificate tree that an inventory is made of: certificates, and who can read each key.

Read without a lock while publications go on, so a generation may vanish between two looks; it is then left
out. No private key is opened or read: its file's owner and mode are looked at, and a sealed key's envelope.
"""

from __future__ import annotations

import grp
import pwd
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from pki.custody.envelope import custody_of
from pki.errors import SealError, TreeError
from pki.inventory import AuthorityRecord, load_certificate, require_state
from pki.ledger import split_lines
from pki.ledger_history import LedgerHistory, read_history
from pki.seal import ENVELOPE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pki.certificate_files import CertificateTree

_GENERATION = re.compile(r"gen-\d{4,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Who can read a key's file; a name is None where this machine knows none for the number."""

    uid: int
    gid: int
    mode: int
    account: str | None
    group: str | None


@dataclass(frozen=True, slots=True)
class AuthorityMaterial:
    """One CA on disk.

    Attributes:
        record: id, certificate, what it is used for now.
        place: its folder, relative to the tree.
        key: its sealed key's file; None where there is none.
        custody: how the key is kept, as an operator says it; None where that is not known.
    """

    record: AuthorityRecord
    place: str
    key: KeyFile | None
    custody: str | None


@dataclass(frozen=True, slots=True)
class LeafMaterial:
    """One generation on disk; no certificate means that none could be read."""

    name: str
    place: str
    current: bool
    certificate: x509.Certificate | None
    key: KeyFile | None


@dataclass(frozen=True, slots=True)
class InventoryMaterial:
    """What an inventory is made of."""

    trust_domain: str
    authorities: tuple[AuthorityMaterial, ...]
    leaves: tuple[LeafMaterial, ...]
    history: LedgerHistory


def read_material(tree: CertificateTree, custody: Mapping[str, str] | None = None) -> InventoryMaterial:
    """Read everything.

    Args:
        tree: where.
        custody: id of a CA to how its key is kept, where the caller knows better than the file tells.

    Raises:
        NotInitialised: there is no authority.
        TreeError: a CA's own certificate cannot be read.
    """
    state = require_state(tree)
    authorities = []
    for authority in tree.authorities():
        record = AuthorityRecord(
            authority,
            load_certificate(tree.read_authority(authority), authority),
            trusted=authority in state.trust,
            issuing=authority == state.issuer,
            listed=authority in state.listed,
            crl=None,
        )
        sealed = tree.root / "ca" / authority / "key.sealed"
        said = (custody or {}).get(authority) or describe_custody(_read_start(sealed))
        authorities.append(AuthorityMaterial(record, f"ca/{authority}", _key_file(sealed), said))
    leaves = [leaf for name in tree.live_names() for leaf in _generations(tree, name)]
    history = read_history(split_lines(tree.read_ledger())[0])
    return InventoryMaterial(state.trust_domain, tuple(authorities), tuple(leaves), history)


def describe_custody(envelope: bytes | None) -> str | None:
    """Say how a CA's key is kept, from its envelope alone; None where that cannot be told. Pure.

    Args:
        envelope: the sealed key's file; None where there is none.
    """
    try:
        return custody_of(envelope) if envelope is not None else None
    except SealError:
        return None


def _generations(tree: CertificateTree, name: str) -> Iterator[LeafMaterial]:
    current = tree.current(name)
    for folder in sorted((tree.root / "live" / name).iterdir()):
        if _GENERATION.fullmatch(folder.name) is None:
            continue
        certificate = None
        try:
            certificate = load_certificate((folder / "cert.pem").read_bytes(), str(folder))
        except (FileNotFoundError, NotADirectoryError):
            if not folder.is_dir():
                continue
        except (OSError, TreeError):
            pass
        here = current is not None and folder.name == current.name
        yield LeafMaterial(
            name, f"live/{name}/{folder.name}", here, certificate, _key_file(folder / "key.pem")
        )


def _key_file(path: Path) -> KeyFile | None:
    try:
        facts = path.stat(follow_symlinks=False)
    except OSError:
        return None
    try:
        account = pwd.getpwuid(facts.st_uid).pw_name
    except KeyError:
        account = None
    try:
        group = grp.getgrgid(facts.st_gid).gr_name
    except KeyError:
        group = None
    return KeyFile(facts.st_uid, facts.st_gid, facts.st_mode & 0o7777, account, group)


def _read_start(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(ENVELOPE_BYTES_MAX + 1)  # one more than any of ours has
    except OSError:
        return None
