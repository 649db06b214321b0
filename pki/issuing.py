"""Leaves: which are due, what would be signed, and issuing them from an open intermediate.

What a dry run prints is the plan that the run carries out. A generation is what the tree's state says: leaf
and chain, the roots that are trusted now, and a revocation list of each CA that may be met.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki.authority_making import OpenAuthority, open_authority
from pki.certificate_files import AuthorityState, CertificateTree, Generation, Owner
from pki.errors import TreeError
from pki.exposure import require_private
from pki.identity import WorkloadIdentity
from pki.inventory import load_certificate, read_leaves, require_state, revocation_bundle, trust_bundle
from pki.issuance import plan_leaf
from pki.live_files import group_of
from pki.recorded_signing import RecordedSigning, SigningRequest
from pki.status import Level, leaf_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from cryptography import x509

    from pki.custody.contract import Keeper
    from pki.issuance import CertificatePlan
    from pki.ledger import Attribution

# One commit of the ledger and of the disk for this many leaves: more would only lengthen what a kill repeats.
LEAVES_PER_COMMIT_MAX = 128


@dataclass(frozen=True, slots=True)
class IssuedLeaf:
    """One leaf that is now current.

    Attributes:
        identity: whose.
        serial: hex, as in the ledger.
        not_after: UTC.
        generation: its folder.
    """

    identity: WorkloadIdentity
    serial: str
    not_after: datetime
    generation: Path


def leaves_due(
    certs: Path,
    names: Iterable[str],
    now: datetime,
    owners: Mapping[str, Owner | None] | None = None,
) -> list[str]:
    """Return the names whose leaf is missing, past half of its life, or does not fit; unseals nothing.

    Args:
        certs: the tree.
        names: workloads to look at, answered in this order, without repeats.
        now: UTC.
        owners: if given, a key that its owner cannot read makes the leaf due too.

    Raises:
        NotInitialised: there is no authority.
        IdentityError: not a workload name.
    """
    records = read_leaves(CertificateTree(certs), dict.fromkeys(names), owners)
    return [record.name for record in records if leaf_verdict(record, utc(now))[0] is not Level.FINE]


def plan_leaves(certs: Path, names: Iterable[str], now: datetime) -> list[CertificatePlan]:
    """Plan one leaf for each name, in this order, without repeats.

    Raises:
        NotInitialised: there is no authority.
        IdentityError: not a workload name.
        AuthorityExpired: the intermediate can sign nothing any more.
    """
    tree = CertificateTree(certs)
    state = require_state(tree)
    issuer = load_certificate(tree.read_authority(state.issuer), state.issuer)
    return _plan(state.trust_domain, names, issuer, now)


class IssuingAuthority:
    """An open intermediate; drop it as soon as the leaves are issued."""

    def __init__(self, tree: CertificateTree, state: AuthorityState, opened: OpenAuthority) -> None:
        self._tree = tree
        self._state = state
        self._opened = opened

    @classmethod
    def open(cls, certs: Path, keeper: Keeper) -> IssuingAuthority:
        """Open the intermediate; by a passphrase that takes about half a second by design.

        Raises:
            NotInitialised: there is no authority.
            SecretExposed: secrets in the folder lie open.
            SealError: what was given does not open it, an altered file, or another CA's key.
        """
        require_private(certs)
        tree = CertificateTree(certs)
        state = require_state(tree)
        return cls(tree, state, open_authority(tree, state.issuer, keeper))

    def issue(
        self,
        names: Iterable[str],
        *,
        owners: Mapping[str, Owner | None],
        now: datetime,
        by: Attribution | None = None,
    ) -> list[IssuedLeaf]:
        """Issue and publish a new leaf, with a new key, for each name.

        Args:
            names: workloads, carried out in this order, without repeats.
            owners: who may read each key; a name that is absent or None stays with the current user.
            now: UTC.
            by: who asks, under which policy.

        Raises:
            IdentityError: not a workload name; found before anything is signed.
            AuthorityExpired: the intermediate can sign nothing any more.
            LedgerError: the ledger's chain is broken; nothing was signed.
            ClockFault: the clock is behind the record; nothing was signed.
            TreeBusy: another command is at work.
            TreeError: the authority changed since it was opened, or an owner cannot be given the key.
        """
        with self._tree.lock(by.command if by is not None else "an issuance"):
            if require_state(self._tree).issuer != self._state.issuer:
                raise TreeError("the authority changed since it was opened: open it again")
            signing = RecordedSigning(self._tree, utc(now), by)
            return issue_leaves(self._tree, signing, self._opened, list(names), owners=owners, now=now)


def issue_leaves(
    tree: CertificateTree,
    signing: RecordedSigning,
    opened: OpenAuthority,
    names: Sequence[str],
    *,
    owners: Mapping[str, Owner | None],
    now: datetime,
) -> list[IssuedLeaf]:
    """Issue and publish with the tree's lock held; see `IssuingAuthority.issue`."""
    state = require_state(tree)
    bundles = _Bundles(trust_bundle(tree, state), revocation_bundle(tree, state), state.trust)
    plans = _plan(state.trust_domain, names, opened.certificate, now)
    for plan in plans:
        if plan.identity is not None:
            group_of(owners.get(plan.identity.name))
    issued: list[IssuedLeaf] = []
    # While the disk works on one batch the next is signed; two are in hand, so a fault wastes one at most.
    with ThreadPoolExecutor(max_workers=1) as disk:
        publishing: Future[list[IssuedLeaf]] | None = None
        for start in range(0, len(plans), LEAVES_PER_COMMIT_MAX):
            signed = _sign(signing, opened, bundles, plans[start : start + LEAVES_PER_COMMIT_MAX])
            if publishing is not None:
                issued += publishing.result()
            publishing = disk.submit(_publish, tree, signed, owners)
        if publishing is not None:
            issued += publishing.result()
    return issued


def _sign(
    signing: RecordedSigning, opened: OpenAuthority, bundles: _Bundles, plans: Sequence[CertificatePlan]
) -> list[tuple[WorkloadIdentity, Generation, datetime]]:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in plans]
    requests = [SigningRequest.of(plan, key.public_key()) for plan, key in zip(plans, keys, strict=True)]
    leaves = signing.sign_all(requests, issuer=opened.certificate, issuer_key=opened.key)
    issuer = opened.certificate.public_bytes(Encoding.PEM)
    return [
        (
            request.plan.identity,
            _generation(bundles, opened.authority, request, leaf.public_bytes(Encoding.PEM) + issuer, key),
            request.plan.not_after,
        )
        for request, leaf, key in zip(requests, leaves, keys, strict=True)
        if request.plan.identity is not None
    ]


def _publish(
    tree: CertificateTree,
    signed: Sequence[tuple[WorkloadIdentity, Generation, datetime]],
    owners: Mapping[str, Owner | None],
) -> list[IssuedLeaf]:
    folders = tree.publish_all(
        [(identity.name, generation, owners.get(identity.name)) for identity, generation, _ in signed]
    )
    return [
        IssuedLeaf(identity, str(generation.meta["serial"]), not_after, folder)
        for (identity, generation, not_after), folder in zip(signed, folders, strict=True)
    ]


def refresh_bundles(
    tree: CertificateTree, names: Iterable[str], owners: Mapping[str, Owner | None]
) -> list[str]:
    """Publish trust and revocation lists of now beside the leaf of before, where they differ.

    Returns:
        The names that got a new generation.
    """
    state = require_state(tree)
    trust, crl = trust_bundle(tree, state), revocation_bundle(tree, state)
    stale = []
    for name in names:
        found = tree.read_current(name)
        if found is None or (found[1].trust, found[1].crl) == (trust, crl):
            continue
        folder, before = found
        meta = {**tree.read_meta(folder), "trust": list(state.trust)}
        stale.append((name, Generation(before.chain, before.key, trust, crl, meta), owners.get(name)))
    tree.publish_all(stale)
    return [name for name, _, _ in stale]


def utc(now: datetime) -> datetime:
    """Return the instant in UTC; one without a zone is a programmer's mistake."""
    if now.tzinfo is None:
        raise ValueError("a time without a zone would be read as this machine's local time")
    return now.astimezone(UTC)


def _plan(
    trust_domain: str, names: Iterable[str], issuer: x509.Certificate, now: datetime
) -> list[CertificatePlan]:
    return [
        plan_leaf(WorkloadIdentity(trust_domain, name), issuer, utc(now)) for name in dict.fromkeys(names)
    ]


@dataclass(frozen=True, slots=True)
class _Bundles:
    trust: bytes
    crl: bytes
    roots: tuple[str, ...]


def _generation(
    bundles: _Bundles,
    authority: str,
    request: SigningRequest,
    chain: bytes,
    key: ec.EllipticCurvePrivateKey,
) -> Generation:
    plan = request.plan
    return Generation(
        chain=chain,
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        trust=bundles.trust,
        crl=bundles.crl,
        meta={
            "spiffe_id": str(plan.identity),
            "dns_name": plan.identity.dns_name if plan.identity is not None else "",
            "serial": f"{request.subject.serial:x}",
            "spki_sha256": request.spki_sha256,
            "not_before": plan.not_before.isoformat(),
            "not_after": plan.not_after.isoformat(),
            "issuer": authority,
            "trust": list(bundles.roots),
        },
    )
