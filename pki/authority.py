"""The authority's operations: make it, see which leaves are due, issue them.

The command line and the single-machine launcher both come through here. What a dry run prints is the plan
that the run carries out. Keys are unsealed in memory for one command; on disk they exist sealed, or as the
one file of the workload they belong to. Source: reference layout in `certificate_files`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from pki.certificate_files import AuthorityState, CertificateTree, Generation, Owner
from pki.errors import AlreadyInitialised, SealError, TreeError
from pki.exposure import require_private
from pki.identity import WorkloadIdentity, require_trust_domain
from pki.inventory import load_certificate, read_leaves, require_state, trust_bundle
from pki.issuance import CertificatePlan, authority_id, plan_intermediate, plan_leaf, plan_root, spki_sha256
from pki.recorded_signing import RecordedSigning
from pki.seal import (
    DEFAULT_COST,
    NONCE_BYTES,
    SALT_BYTES,
    ScryptCost,
    SealedSubject,
    require_passphrase,
    seal,
    unseal,
)
from pki.status import Level, leaf_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

__all__ = [
    "IssuedLeaf",
    "IssuingAuthority",
    "Owner",
    "initialise",
    "is_initialised",
    "leaves_due",
    "plan_authority",
    "plan_leaves",
]


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


def is_initialised(certs: Path) -> bool:
    """Say whether there is an authority in this folder."""
    return CertificateTree(certs).read_state() is not None


def plan_authority(certs: Path, *, trust_domain: str, now: datetime) -> list[CertificatePlan]:
    """Plan a root and its intermediate.

    Raises:
        AlreadyInitialised: there is an authority, or leaves of one, here.
        IdentityError: not a trust domain.
    """
    tree = CertificateTree(certs)
    if tree.read_state() is not None or any(tree.current(name) for name in tree.live_names()):
        raise AlreadyInitialised(
            f"{certs} already holds an authority or its leaves: to begin anew, move the folder away first"
        )
    root = plan_root(require_trust_domain(trust_domain), _utc(now))
    return [root, plan_intermediate(trust_domain, root, _utc(now))]


def initialise(
    certs: Path, *, trust_domain: str, passphrase: bytes, now: datetime, cost: ScryptCost = DEFAULT_COST
) -> None:
    """Make a root and an intermediate, sealed under the passphrase.

    Killed anywhere, the next call begins again: until the last step nothing counts as initialised.

    Raises:
        AlreadyInitialised: there is an authority, or leaves of one, here.
        IdentityError: not a trust domain.
        SealError: the passphrase is too short or too long.
        SecretExposed: secrets in the folder lie open.
    """
    require_passphrase(passphrase)
    require_private(certs)
    tree = CertificateTree(certs)
    with tree.lock():
        root_plan, intermediate_plan = plan_authority(certs, trust_domain=trust_domain, now=now)
        signing = RecordedSigning(tree, _utc(now))
        for authority in tree.discard_authorities():
            signing.record("authority-discarded", {"authority": authority})

        root_key = ec.generate_private_key(ec.SECP256R1())
        root = signing.sign(root_plan, public_key=root_key.public_key(), issuer=None, issuer_key=root_key)
        root_id = _store_authority(tree, root_plan, root, root_key, passphrase=passphrase, cost=cost)

        key = ec.generate_private_key(ec.SECP256R1())
        intermediate = signing.sign(
            intermediate_plan, public_key=key.public_key(), issuer=root, issuer_key=root_key
        )
        issuer_id = _store_authority(
            tree, intermediate_plan, intermediate, key, passphrase=passphrase, cost=cost
        )
        tree.write_state(AuthorityState(trust_domain, issuer=issuer_id, trust=(root_id,)))


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
    return [record.name for record in records if leaf_verdict(record, _utc(now))[0] is not Level.FINE]


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
    return [
        plan_leaf(WorkloadIdentity(state.trust_domain, name), issuer, _utc(now))
        for name in dict.fromkeys(names)
    ]


class IssuingAuthority:
    """An unsealed intermediate; drop it as soon as the leaves are issued."""

    def __init__(
        self, certs: Path, state: AuthorityState, issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        self._certs = certs
        self._state = state
        self._issuer = issuer
        self._key = key

    @classmethod
    def open(cls, certs: Path, passphrase: bytes) -> IssuingAuthority:
        """Unseal the intermediate; takes about half a second by design.

        Raises:
            NotInitialised: there is no authority.
            SecretExposed: secrets in the folder lie open.
            SealError: wrong passphrase, an altered file, or another CA's key.
        """
        require_private(certs)
        tree = CertificateTree(certs)
        state = require_state(tree)
        issuer = load_certificate(tree.read_authority(state.issuer), state.issuer)
        plaintext, subject = unseal(tree.read_sealed_key(state.issuer), passphrase)
        key = load_der_private_key(plaintext, None)
        matches = (
            isinstance(key, ec.EllipticCurvePrivateKey)
            and key.public_key() == issuer.public_key()
            and (subject.role, subject.spki_sha256) == ("intermediate", spki_sha256(key.public_key()))
        )
        if not matches or not isinstance(key, ec.EllipticCurvePrivateKey):
            raise SealError(f"the sealed key is not that of {state.issuer}: restore it from a backup")
        return cls(certs, state, issuer, key)

    def issue(
        self, names: Iterable[str], *, owners: Mapping[str, Owner | None], now: datetime
    ) -> list[IssuedLeaf]:
        """Issue and publish a new leaf, with a new key, for each name.

        Args:
            names: workloads, carried out in this order, without repeats.
            owners: who may read each key; a name that is absent or None stays with the current user.
            now: UTC.

        Raises:
            IdentityError: not a workload name; found before anything is signed.
            AuthorityExpired: the intermediate can sign nothing any more.
            LedgerError: the ledger's chain is broken; nothing was signed.
            TreeError: the authority changed since it was opened, or an owner cannot be given the key.
        """
        tree = CertificateTree(self._certs)
        with tree.lock():
            if require_state(tree) != self._state:
                raise TreeError("the authority changed since it was opened: open it again")
            plans = plan_leaves(self._certs, names, now)
            signing = RecordedSigning(tree, _utc(now))
            return [
                self._issue_one(tree, signing, plan, plan.identity, owners)
                for plan in plans
                if plan.identity is not None
            ]

    def _issue_one(
        self,
        tree: CertificateTree,
        signing: RecordedSigning,
        plan: CertificatePlan,
        identity: WorkloadIdentity,
        owners: Mapping[str, Owner | None],
    ) -> IssuedLeaf:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = signing.sign(plan, public_key=key.public_key(), issuer=self._issuer, issuer_key=self._key)
        serial = f"{leaf.serial_number:x}"
        generation = Generation(
            chain=leaf.public_bytes(Encoding.PEM) + self._issuer.public_bytes(Encoding.PEM),
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            trust=trust_bundle(tree, self._state),
            meta={
                "spiffe_id": str(identity),
                "dns_name": identity.dns_name,
                "serial": serial,
                "spki_sha256": spki_sha256(key.public_key()),
                "not_before": plan.not_before.isoformat(),
                "not_after": plan.not_after.isoformat(),
                "issuer": self._state.issuer,
                "trust": list(self._state.trust),
            },
        )
        folder = tree.publish(identity.name, generation, owners.get(identity.name))
        return IssuedLeaf(identity, serial, plan.not_after, folder)


def _store_authority(
    tree: CertificateTree,
    plan: CertificatePlan,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    *,
    passphrase: bytes,
    cost: ScryptCost,
) -> str:
    authority = authority_id(plan, key.public_key())
    subject = SealedSubject(plan.profile.role, spki_sha256(key.public_key()), plan.not_before.isoformat())
    sealed = seal(
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        passphrase,
        subject,
        salt=secrets.token_bytes(SALT_BYTES),
        nonce=secrets.token_bytes(NONCE_BYTES),
        cost=cost,
    )
    tree.write_authority(authority, certificate.public_bytes(Encoding.PEM), sealed)
    return authority


def _utc(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise ValueError("a time without a zone would be read as this machine's local time")
    return now.astimezone(UTC)
