"""Signing that cannot happen off the record: intent, signature, result, each line synced before going on.

The ledger's chain is verified before a line is added to it, so nobody builds on a broken one. A line torn
by a power cut is cut off and its digest recorded. Call with the tree's lock held.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from pki.errors import PKIError
from pki.issuance import serial_number, sign_certificate, spki_sha256
from pki.ledger import ledger_line, split_lines, verify_ledger
from pki.profiles import SERIAL_RANDOM_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from pki.certificate_files import CertificateTree
    from pki.issuance import CertificatePlan


class RecordedSigning:
    """The one way in which this package uses a CA key."""

    def __init__(self, tree: CertificateTree, now: datetime) -> None:
        """Verify the ledger so far.

        Raises:
            LedgerError: its chain is broken; nothing may be signed on top.
        """
        self._tree = tree
        self._now = now
        self._actor = f"uid {os.getuid()}"
        raw = tree.read_ledger()
        lines, torn = split_lines(raw)
        self._head = verify_ledger(lines).head
        self._length = len(raw) - len(torn)
        if torn:
            self.record("tail-discarded", {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()})

    def record(self, event: str, fields: Mapping[str, str | int]) -> None:
        """Add one line and sync it."""
        line, head = ledger_line(self._head, event=event, actor=self._actor, now=self._now, fields=fields)
        data = line.encode() + b"\n"
        self._tree.append_ledger(data, keep_bytes=self._length)
        self._head = head
        self._length += len(data)

    def sign(
        self,
        plan: CertificatePlan,
        *,
        public_key: ec.EllipticCurvePublicKey,
        issuer: x509.Certificate | None,
        issuer_key: ec.EllipticCurvePrivateKey,
    ) -> x509.Certificate:
        """Carry out one plan on the record.

        Raises:
            ProfileError: see `sign_certificate`; the refusal is on the record too.
        """
        number = serial_number(secrets.randbits(SERIAL_RANDOM_BITS))
        serial = f"{number:x}"
        self.record(
            "intent",
            {
                "serial": serial,
                "role": plan.profile.role,
                "subject": str(plan.identity or plan.trust_domain),
                "spki_sha256": spki_sha256(public_key),
                "issuer_spki_sha256": spki_sha256(issuer_key.public_key()),
                "not_before": plan.not_before.isoformat(),
                "not_after": plan.not_after.isoformat(),
            },
        )
        try:
            certificate = sign_certificate(
                plan, public_key=public_key, serial=number, issuer=issuer, issuer_key=issuer_key
            )
        except PKIError as fault:
            self.record("refused", {"serial": serial, "reason": fault.code})
            raise
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        self.record("issued", {"serial": serial, "certificate_sha256": fingerprint})
        return certificate
