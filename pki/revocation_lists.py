"""Revocations and the lists that carry them: read from the ledger, which never forgets.

The ledger's `revoked` lines are the only record. A list is made from them each time, so that a restored tree
or a lost file cannot bring a revoked certificate back.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

from pki.crl import Revocation, list_is_due, list_number, plan_list
from pki.errors import TreeError
from pki.inventory import load_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pki.authority_making import OpenAuthority
    from pki.authority_state import AuthorityState, Rotation
    from pki.certificate_files import CertificateTree
    from pki.ledger import VerifiedLedger
    from pki.recorded_signing import RecordedSigning


def recorded_revocations(ledger: VerifiedLedger) -> list[Revocation]:
    """Return every revocation on the record, oldest first; recorded twice, it counts from the first."""
    found: dict[str, Revocation] = {}
    for entry in ledger.entries:
        if entry["event"] != "revoked":
            continue
        revocation = Revocation(
            serial=str(entry["serial"]),
            issuer=str(entry["issuer"]),
            subject=str(entry["subject"]),
            reason=str(entry["reason"]),
            at=datetime.fromisoformat(str(entry["ts"])),
            not_after=datetime.fromisoformat(str(entry["not_after"])),
        )
        found.setdefault(revocation.serial, revocation)
    return list(found.values())


def record_revocations(signing: RecordedSigning, revocations: Iterable[Revocation]) -> None:
    """Put revocations on the record; the lists follow by `renew_list`."""
    signing.record_all(
        [
            (
                "revoked",
                {
                    "serial": entry.serial,
                    "issuer": entry.issuer,
                    "subject": entry.subject,
                    "reason": entry.reason,
                    "not_after": entry.not_after.isoformat(),
                },
            )
            for entry in revocations
        ]
    )


def load_list(pem: bytes, place: str) -> x509.CertificateRevocationList:
    """Parse one PEM revocation list.

    Raises:
        TreeError: it is not one.
    """
    try:
        return x509.load_pem_x509_crl(pem)
    except ValueError as fault:
        raise TreeError(f"{place} holds no revocation list: sign it anew with `python -m pki crl`") from fault


def lists_due(tree: CertificateTree, state: AuthorityState, now: datetime) -> list[str]:
    """Return the authorities in play whose list is missing, unreadable or must be signed anew."""
    due = []
    for authority in state.listed:
        pem = tree.read_list(authority)
        try:
            fine = pem is not None and not list_is_due(load_list(pem, authority), authority, now)
        except TreeError:
            fine = False
        if not fine:
            due.append(authority)
    return due


def list_in_force(tree: CertificateTree, authority: str, now: datetime) -> bool:
    """Say whether a CA's list is one that peers accept now."""
    pem = tree.read_list(authority)
    try:
        end = None if pem is None else load_list(pem, authority).next_update_utc
    except TreeError:
        return False
    return end is not None and now < end


def sign_next_list(
    tree: CertificateTree,
    signing: RecordedSigning,
    opened: OpenAuthority,
    revocations: Iterable[Revocation],
    now: datetime,
    *,
    above: int = 0,
) -> bytes:
    """Sign the list after an authority's newest one and after number `above`; the caller puts it in place."""
    numbers = [above]
    for pem in (tree.read_list(opened.authority), tree.read_prepared_list(opened.authority)):
        try:
            numbers.append(list_number(load_list(pem, opened.authority)) if pem is not None else 0)
        except TreeError:
            continue
    # A list that was lost or torn has had a number, too: the ledger knows the highest.
    numbers += [
        int(str(entry["list"]).partition(" ")[2])
        for entry in signing.ledger.entries
        if str(entry.get("list", "")).partition(" ")[0] == opened.authority
    ]
    plan = plan_list(
        opened.authority,
        revocations,
        previous=max(numbers),
        not_after=opened.certificate.not_valid_after_utc,
        now=now,
    )
    return signing.sign_list(plan, issuer=opened.certificate, issuer_key=opened.key)


def renew_list(
    tree: CertificateTree,
    signing: RecordedSigning,
    opened: OpenAuthority,
    revocations: Iterable[Revocation],
    now: datetime,
) -> None:
    """Sign an authority's next list and put it in its place.

    A list that waits for the end of a rotation follows it: left as it was, it would replace a newer one then,
    with a lower number, an earlier end, and without what was revoked meanwhile.
    """
    known = list(revocations)
    current = sign_next_list(tree, signing, opened, known, now)
    state = tree.read_state()
    rotation = None if state is None else state.rotation
    waits = tree.read_prepared_list(opened.authority) is not None
    if waits and rotation is not None and rotation.kind == "intermediate" and not rotation.reverting:
        known.append(superseded(tree, rotation, now))
        above = list_number(load_list(current, opened.authority))
        prepared = sign_next_list(tree, signing, opened, known, now, above=above)
        tree.write_prepared_list(opened.authority, prepared)  # first: killed here, it is the newer one still
    tree.write_list(opened.authority, current)


def superseded(tree: CertificateTree, rotation: Rotation, now: datetime) -> Revocation:
    """Return the revocation of the intermediate that a rotation leaves: on its way back the new one."""
    left, reason = rotation.old_issuer, "superseded"
    if rotation.reverting:
        left, reason = rotation.new_issuer, "cessation-of-operation"
    ended = load_certificate(tree.read_authority(left), left)
    serial, end = f"{ended.serial_number:x}", ended.not_valid_after_utc
    return Revocation(serial, rotation.old_root, left, reason, now, end)
