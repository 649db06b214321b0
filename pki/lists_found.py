"""Revocation lists found beside a backup: what they know and its ledger does not. Pure.

A restore must not bring a revoked certificate back, so whoever restores gives every list that is still to be
found. A certificate authority that forgets revocations with its database is a known fault of the field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.crl import REASONS, Revocation, list_number
from pki.errors import BackupError
from pki.tree_consistency import is_list_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pki.tree_consistency import ConsistentTree

_PEM = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_REASON_WORDS = {flag: word for word, flag in REASONS.items()}


@dataclass(frozen=True, slots=True)
class ListsFound:
    """What a number of revocation lists said.

    Attributes:
        unrecorded: revocations that the ledger does not know, by serial number. Of a certificate that was
            issued after the backup the subject is empty, and the end is that of its CA.
        newest: of each CA, by its id, the list with the highest number, PEM; only where that is higher than
            the backup's own. The next list must have a higher number still.
        foreign: names of issuers that are no CA here; nothing of theirs was taken, for nothing of theirs is
            trusted here.
    """

    unrecorded: tuple[Revocation, ...] = ()
    newest: Mapping[str, bytes] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()


def read_lists(pems: Iterable[bytes], tree: ConsistentTree) -> ListsFound:
    """Read revocation lists and compare them with a ledger.

    Args:
        pems: each with one list or more; an expired list counts like any other.
        tree: the authority whose ledger it is.

    Raises:
        BackupError: bytes without a list, or a list that names a CA that did not sign it.
    """
    found: dict[str, Revocation] = {}
    numbers = dict(tree.list_numbers)
    newest: dict[str, bytes] = {}
    foreign = set()
    intents = {str(e["serial"]): e for e in tree.ledger.entries if e["event"] == "intent" and "serial" in e}
    for place, pem in enumerate(pems, start=1):
        for revocation_list in _split(pem, place):
            authority = _issuer_of(revocation_list, tree)
            if authority is None:
                foreign.add(revocation_list.issuer.rfc4514_string())
                continue
            if list_number(revocation_list) > numbers[authority]:
                numbers[authority] = list_number(revocation_list)
                newest[authority] = revocation_list.public_bytes(Encoding.PEM)
            for entry in revocation_list:
                serial = f"{entry.serial_number:x}"
                if serial not in tree.ledger.revoked:
                    found[serial] = _revocation(entry, authority, intents.get(serial), tree)
    return ListsFound(tuple(found[serial] for serial in sorted(found)), newest, tuple(sorted(foreign)))


def _split(pem: bytes, place: int) -> list[x509.CertificateRevocationList]:
    try:
        lists = [x509.load_pem_x509_crl(block) for block in _PEM.findall(pem)]
    except ValueError as fault:
        raise BackupError(f"number {place} of the revocation lists given is damaged: leave it out") from fault
    if not lists:
        raise BackupError(f"number {place} of the revocation lists given holds none: leave it out")
    return lists


def _issuer_of(found: x509.CertificateRevocationList, tree: ConsistentTree) -> str | None:
    named = [authority for authority, issuer in tree.certificates.items() if issuer.subject == found.issuer]
    for authority in named:
        if is_list_of(found, tree.certificates[authority]):
            return authority
    if named:
        raise BackupError(
            f"a revocation list bears the name of {named[0]}, which did not sign it: find out who made it, "
            "and leave it out"
        )
    return None


def _revocation(
    entry: x509.RevokedCertificate,
    authority: str,
    intent: Mapping[str, str | int] | None,
    tree: ConsistentTree,
) -> Revocation:
    reason = "unspecified"
    try:
        flag = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        reason = _REASON_WORDS.get(flag, reason)
    except (x509.ExtensionNotFound, ValueError):
        pass
    end = tree.certificates[authority].not_valid_after_utc
    return Revocation(
        serial=f"{entry.serial_number:x}",
        issuer=authority,
        subject="" if intent is None else str(intent["subject"]),
        reason=reason,
        at=entry.revocation_date_utc,
        not_after=end if intent is None else datetime.fromisoformat(str(intent["not_after"])),
    )
