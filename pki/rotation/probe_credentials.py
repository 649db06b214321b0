"""Credentials for probes: short leaves that exist in memory and on the ledger, and nowhere else.

To see that a listener trusts an issuer, somebody must come with a certificate of that issuer under a name
that the listener admits. The authority makes one, valid for minutes, and forgets its key with the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki.consumers.contract import Credential
from pki.identity import WorkloadIdentity
from pki.issuance import plan_below
from pki.profiles import PROBE
from pki.recorded_signing import SigningRequest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pki.authority_making import OpenAuthority
    from pki.recorded_signing import RecordedSigning


def make_credentials(
    signing: RecordedSigning,
    opened: OpenAuthority,
    peers: Iterable[str],
    *,
    trust_domain: str,
    now: datetime,
) -> dict[str, Credential]:
    """Issue one credential for each peer name, from one issuer.

    Raises:
        AuthorityExpired: the issuer can sign nothing any more.
    """
    plans = [
        plan_below(
            PROBE,
            trust_domain=trust_domain,
            identity=WorkloadIdentity(trust_domain, peer),
            issuer_not_before=opened.certificate.not_valid_before_utc,
            issuer_not_after=opened.certificate.not_valid_after_utc,
            now=now,
        )
        for peer in sorted(set(peers))
    ]
    if not plans:
        return {}
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in plans]
    requests = [SigningRequest.of(plan, key.public_key()) for plan, key in zip(plans, keys, strict=True)]
    leaves = signing.sign_all(requests, issuer=opened.certificate, issuer_key=opened.key)
    issuer = opened.certificate.public_bytes(Encoding.PEM)
    return {
        plan.identity.name: Credential(
            leaf.public_bytes(Encoding.PEM) + issuer,
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            f"{leaf.serial_number:x}",
        )
        for plan, leaf, key in zip(plans, leaves, keys, strict=True)
        if plan.identity is not None
    }
