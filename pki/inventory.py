"""What is really in the certificate tree: read from the files each time, never from a second list.

Each live leaf is held against its profile, its issuer, its own key, the trust bundle and its owner;
whatever does not fit is a fault, and a leaf with a fault is due. No key is unsealed.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pki.certificate_files import Owner
from pki.errors import LedgerError, NotInitialised, PKIError, TreeError
from pki.identity import WorkloadIdentity
from pki.ledger import VerifiedLedger, split_lines, verify_ledger
from pki.lint import lint
from pki.profiles import LEAF

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pki.authority_state import Rotation
    from pki.certificate_files import AuthorityState, CertificateTree, Generation

# A live chain is the leaf and its intermediate; the root is what the peer must already have.
CHAIN_LENGTH = 2


@dataclass(frozen=True, slots=True)
class AuthorityRecord:
    """One CA: its id, its certificate, and what it is used for now.

    Attributes:
        listed: peers must have its revocation list.
        crl: that list; None where it is missing or cannot be read.
    """

    authority: str
    certificate: x509.Certificate
    trusted: bool
    issuing: bool
    listed: bool
    crl: x509.CertificateRevocationList | None


@dataclass(frozen=True, slots=True)
class LeafRecord:
    """One workload's current leaf; no certificate means none could be read. Faults are sentences."""

    name: str
    certificate: x509.Certificate | None
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that `status` judges; the ledger is a fault's text where its chain does not verify."""

    trust_domain: str
    authorities: tuple[AuthorityRecord, ...]
    leaves: tuple[LeafRecord, ...]
    ledger: VerifiedLedger | str
    rotation: Rotation | None


def require_state(tree: CertificateTree) -> AuthorityState:
    """Return the tree's state.

    Raises:
        NotInitialised: there is none.
    """
    state = tree.read_state()
    if state is None:
        raise NotInitialised(f"there is no authority in {tree.root}: make one with `python -m pki init`")
    return state


def load_certificate(pem: bytes, place: str) -> x509.Certificate:
    """Parse one PEM certificate.

    Raises:
        TreeError: it is not one.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as fault:
        raise TreeError(f"{place} holds no certificate: restore it from a backup") from fault


def trust_bundle(tree: CertificateTree, state: AuthorityState) -> bytes:
    """Return the PEM bundle that every peer of this tree must have: roots only, in the state's order."""
    return b"".join(tree.read_authority(root) for root in state.trust)


def revocation_bundle(tree: CertificateTree, state: AuthorityState) -> bytes:
    """Return the PEM revocation lists that every peer of this tree must have: one of each CA in play.

    Raises:
        TreeError: a list is missing; without it PostgreSQL and Envoy would refuse everybody.
    """
    lists = {authority: tree.read_list(authority) for authority in state.listed}
    missing = [authority for authority, pem in lists.items() if pem is None]
    if missing:
        raise TreeError(f"{missing[0]} has no revocation list: sign one with `python -m pki crl`")
    return b"".join(pem for pem in lists.values() if pem is not None)


def read_leaves(
    tree: CertificateTree, names: Iterable[str], owners: Mapping[str, Owner | None] | None
) -> list[LeafRecord]:
    """Read and check the current leaf of each name.

    Args:
        tree: where.
        names: workloads; one without a leaf gets a record with that fault.
        owners: who should be able to read each key; None to not look at owners.

    Raises:
        NotInitialised: there is no authority.
    """
    state = require_state(tree)
    issuer = load_certificate(tree.read_authority(state.issuer), state.issuer)
    bundles = trust_bundle(tree, state), _present_lists(tree, state)
    records = []
    for name in names:
        identity = WorkloadIdentity(state.trust_domain, name)
        try:
            found = tree.read_current(name)
        except TreeError as fault:  # one workload's lost file must not hide all the others
            records.append(LeafRecord(name, None, (str(fault),)))
            continue
        if found is None:
            records.append(LeafRecord(name, None, ("there is no certificate yet",)))
            continue
        folder, generation = found
        certificate, faults = _check(generation, identity, issuer, bundles)
        if owners is not None:
            faults += tuple(_owner_faults(folder, owners.get(name)))
        records.append(LeafRecord(name, certificate, faults))
    return records


def present_owners(tree: CertificateTree, names: Iterable[str]) -> dict[str, Owner | None]:
    """Return who can read each current key now: None for the owner of the tree alone."""
    owners: dict[str, Owner | None] = {}
    for name in names:
        folder = tree.current(name)
        facts = (folder / "key.pem").stat() if folder is not None else None
        shared = facts is not None and facts.st_mode & stat.S_IRGRP
        owners[name] = Owner(facts.st_uid, facts.st_gid) if facts is not None and shared else None
    return owners


def take_inventory(tree: CertificateTree) -> Inventory:
    """Read everything.

    Raises:
        NotInitialised: there is no authority.
        TreeError: a CA's own certificate cannot be read.
    """
    state = require_state(tree)
    authorities = tuple(
        AuthorityRecord(
            authority,
            load_certificate(tree.read_authority(authority), authority),
            trusted=authority in state.trust,
            issuing=authority == state.issuer,
            listed=authority in state.listed,
            crl=_read_list(tree, authority),
        )
        for authority in tree.authorities()
    )
    leaves = tuple(read_leaves(tree, tree.live_names(), None))
    ledger: VerifiedLedger | str
    try:
        # A torn end is no break: the next signature cuts it off and records it.
        ledger = verify_ledger(split_lines(tree.read_ledger())[0])
    except LedgerError as fault:
        ledger = str(fault)
    return Inventory(state.trust_domain, authorities, leaves, ledger, state.rotation)


def _check(
    generation: Generation, identity: WorkloadIdentity, issuer: x509.Certificate, bundles: tuple[bytes, bytes]
) -> tuple[x509.Certificate | None, tuple[str, ...]]:
    try:
        chain = x509.load_pem_x509_certificates(generation.chain)
    except ValueError:
        return None, ("cert.pem holds no certificate",)
    faults = []
    if len(chain) != CHAIN_LENGTH or chain[1] != issuer:
        faults.append("the chain is not the leaf and the issuing CA of now")
    try:
        lint(chain[0], LEAF, trust_domain=identity.trust_domain, identity=identity, issuer=issuer)
        chain[0].verify_directly_issued_by(issuer)
    except (PKIError, InvalidSignature, ValueError, TypeError) as fault:
        faults.append(str(fault) or "the issuing CA of now did not sign it")
    try:
        if load_pem_private_key(generation.key, None).public_key() != chain[0].public_key():
            faults.append("key and certificate do not match")
    except (ValueError, TypeError):
        faults.append("key.pem holds no key")
    if generation.trust != bundles[0]:
        faults.append("the trust bundle is not the one of now")
    if generation.crl != bundles[1]:
        faults.append("the revocation lists are not those of now")
    return chain[0], tuple(faults)


def _read_list(tree: CertificateTree, authority: str) -> x509.CertificateRevocationList | None:
    pem = tree.read_list(authority)
    try:
        return None if pem is None else x509.load_pem_x509_crl(pem)
    except ValueError:
        return None


def _present_lists(tree: CertificateTree, state: AuthorityState) -> bytes:
    # A missing list is a fault of its authority, said once there; it must not hide what the leaves are like.
    return b"".join(tree.read_list(authority) or b"" for authority in state.listed)


def _owner_faults(folder: Path, owner: Owner | None) -> Iterator[str]:
    # Compared by group alone: that is what decides who can read a key that belongs to root.
    facts = (folder / "key.pem").stat()
    shared = bool(facts.st_mode & stat.S_IRGRP)
    if owner is None and shared:
        yield f"group {facts.st_gid} can read the key, and no owner was named"
    if owner is not None and facts.st_uid != owner.uid and not (shared and facts.st_gid == owner.gid):
        yield f"uid {owner.uid} cannot read the key"
