"""Revocations that lists know and a restored ledger does not: a restore must not make them forgotten. Pure.

Whoever restores gives every revocation list that is still to be found. Source: the restore of a database that
"un-revokes" is a known fault of certificate authorities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from pki.errors import BackupError
from pki.tree_consistency import list_number, list_signed_by

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pki.tree_consistency import ConsistentTree

_PEM = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class UnrecordedRevocation:
    """One certificate that a list names and the ledger does not know as revoked.

    Attributes:
        serial: hex, as in the ledger.
        authority: id of the CA whose list names it.
        subject: as in the ledger's intent; empty if it was issued after the backup.
        not_after: end of its validity, ISO 8601, from the ledger; empty if issued after the backup.
        reason: as in RFC 5280 §5.3.1 with hyphens, such as "key-compromise"; "unspecified" without one.
        at: when it was revoked, UTC.
    """

    serial: str
    authority: str
    subject: str
    not_after: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ListsRead:
    """What a number of revocation lists said.

    Attributes:
        unrecorded: by serial number.
        numbers: the highest number met of each CA, by its id: the next list must have a higher one.
        foreign: names of issuers that are no CA here; nothing of theirs was taken, for nothing of theirs is
            trusted here.
    """

    unrecorded: tuple[UnrecordedRevocation, ...]
    numbers: dict[str, int]
    foreign: tuple[str, ...]


def read_lists(pems: Iterable[bytes], tree: ConsistentTree) -> ListsRead:
    """Read revocation lists and compare them with a ledger.

    Args:
        pems: each with one list or more; an expired list counts like any other.
        tree: the authority whose ledger it is.

    Raises:
        BackupError: bytes without a list, or a list that names a CA that did not sign it.
    """
    found: dict[str, UnrecordedRevocation] = {}
    numbers = dict(tree.list_numbers)
    foreign = set()
    for place, pem in enumerate(pems, start=1):
        for revocation_list in _split(pem, place):
            authority = _issuer_of(revocation_list, tree)
            if authority is None:
                foreign.add(revocation_list.issuer.rfc4514_string())
                continue
            numbers[authority] = max(numbers.get(authority, 0), list_number(revocation_list))
            for entry in revocation_list:
                serial = f"{entry.serial_number:x}"
                if serial not in tree.recorded.revoked:
                    found[serial] = _unrecorded(serial, authority, entry, tree)
    return ListsRead(tuple(found[serial] for serial in sorted(found)), numbers, tuple(sorted(foreign)))


def _split(pem: bytes, place: int) -> list[x509.CertificateRevocationList]:
    blocks = _PEM.findall(pem)
    try:
        lists = [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError as fault:
        raise BackupError(f"revocation list {place} of those given is damaged: leave it out") from fault
    if not lists:
        raise BackupError(f"number {place} of the revocation lists given holds none: leave it out")
    return lists


def _issuer_of(found: x509.CertificateRevocationList, tree: ConsistentTree) -> str | None:
    named = [authority for authority, issuer in tree.certificates.items() if issuer.subject == found.issuer]
    for authority in named:
        if list_signed_by(found, tree.certificates[authority]):
            return authority
    if named:
        raise BackupError(
            f"a revocation list bears the name of {named[0]}, which did not sign it: find out who made it, "
            "and leave it out"
        )
    return None


def _unrecorded(
    serial: str, authority: str, entry: x509.RevokedCertificate, tree: ConsistentTree
) -> UnrecordedRevocation:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.name
    except (x509.ExtensionNotFound, ValueError):
        reason = "unspecified"
    intent = tree.recorded.intents.get(serial, {})
    return UnrecordedRevocation(
        serial,
        authority,
        str(intent.get("subject", "")),
        str(intent.get("not_after", "")),
        reason.replace("_", "-"),
        entry.revocation_date_utc,
    )
