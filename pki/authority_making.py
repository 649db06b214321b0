"""Making and opening authorities: a key, a certificate and a first revocation list, in the tree together.

Used by initialisation and by rotation, both with the tree's lock held. A CA that was made and is in no state
yet is trusted by nobody; an interrupted command leaves at most that, and the next one throws it away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from pki.crl import plan_list
from pki.custody.contract import open_key_of
from pki.inventory import load_certificate
from pki.issuance import authority_id, plan_below, plan_root
from pki.profiles import INTERMEDIATE

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from pki.certificate_files import CertificateTree
    from pki.custody.contract import Keeper
    from pki.issuance import CertificatePlan
    from pki.recorded_signing import RecordedSigning


@dataclass(frozen=True, slots=True)
class OpenAuthority:
    """A CA whose key can be used; drop it as soon as the signatures are made.

    Attributes:
        authority: its id.
        certificate: its own.
        key: its private key.
    """

    authority: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


def open_authority(tree: CertificateTree, authority: str, keeper: Keeper) -> OpenAuthority:
    """Open a CA's key; by a passphrase that takes about half a second by design.

    Raises:
        SealError: what was given does not open it, an altered file, or another CA's key.
        TreeError: its files cannot be read.
    """
    certificate = load_certificate(tree.read_authority(authority), authority)
    key = open_key_of(
        keeper,
        tree.read_sealed_key(authority),
        role=authority.partition("-")[0],
        public_key=certificate.public_key(),
        place=authority,
    )
    return OpenAuthority(authority, certificate, key)


def make_root(
    tree: CertificateTree, signing: RecordedSigning, *, trust_domain: str, keeper: Keeper, now: datetime
) -> OpenAuthority:
    """Make a root that signs itself."""
    plan = plan_root(trust_domain, now)
    key, envelope = keeper.make(plan.profile.role, now)
    certificate = signing.sign(plan, public_key=key.public_key(), issuer=None, issuer_key=key)
    return _store(tree, signing, plan, OpenAuthority("", certificate, key), envelope, now)


def make_intermediate(
    tree: CertificateTree,
    signing: RecordedSigning,
    *,
    trust_domain: str,
    root: OpenAuthority,
    keeper: Keeper,
    now: datetime,
) -> OpenAuthority:
    """Make an intermediate below a root that is open.

    Raises:
        AuthorityExpired: the root can sign nothing useful any more.
    """
    plan = plan_below(
        INTERMEDIATE,
        trust_domain=trust_domain,
        identity=None,
        issuer_not_before=root.certificate.not_valid_before_utc,
        issuer_not_after=root.certificate.not_valid_after_utc,
        now=now,
    )
    key, envelope = keeper.make(plan.profile.role, now)
    certificate = signing.sign(
        plan, public_key=key.public_key(), issuer=root.certificate, issuer_key=root.key
    )
    return _store(tree, signing, plan, OpenAuthority("", certificate, key), envelope, now)


def discard_unused(tree: CertificateTree, signing: RecordedSigning, keeper: Keeper | None) -> None:
    """Throw away what an interrupted command made and never put in force."""
    for authority in tree.unused_authorities(tree.read_state()):
        if keeper is not None:
            keeper.destroy(tree.read_sealed_key(authority))
        signing.record("authority-discarded", {"authority": authority})
        tree.discard_authority(authority)


def _store(
    tree: CertificateTree,
    signing: RecordedSigning,
    plan: CertificatePlan,
    made: OpenAuthority,
    envelope: bytes,
    now: datetime,
) -> OpenAuthority:
    authority = authority_id(plan, made.key.public_key())
    first = plan_list(authority, (), previous=0, not_after=made.certificate.not_valid_after_utc, now=now)
    crl = signing.sign_list(first, issuer=made.certificate, issuer_key=made.key)
    tree.write_authority(authority, made.certificate.public_bytes(Encoding.PEM), envelope, crl)
    return OpenAuthority(authority, made.certificate, made.key)
