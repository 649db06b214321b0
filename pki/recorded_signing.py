"""Signing that cannot happen off the record: intent, signature, result, each synced before going on.

The ledger's chain is verified before a line is added to it, so nobody builds on a broken one. A line torn by
a power cut is cut off and its digest recorded. Several certificates share one intent commit and one result
commit. Call with the tree's lock held.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pki.crl import sign_list
from pki.errors import ClockFault, PKIError
from pki.issuance import Signer, Subject, serial_number, spki_bytes, spki_sha256
from pki.ledger import Attribution, VerifiedLedger, ledger_line, split_lines, verify_ledger
from pki.profiles import SERIAL_RANDOM_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    from pki.certificate_files import CertificateTree
    from pki.crl import ListPlan
    from pki.issuance import CertificatePlan

# The same five minutes by which certificates are backdated: what a clock may be slow by without harm.
CLOCK_BEHIND_MAX = timedelta(minutes=5)


def attribution(command: str = "library call", policy: str = "none") -> Attribution:
    """Return who this process acts for."""
    return Attribution(f"uid {os.getuid()}", command, policy)


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """One certificate to sign: the plan, the subject, and the name of its key."""

    plan: CertificatePlan
    subject: Subject
    spki_sha256: str

    @classmethod
    def of(cls, plan: CertificatePlan, public_key: ec.EllipticCurvePublicKey) -> SigningRequest:
        """Ask for a plan to be carried out for a key, under a new serial number."""
        spki = spki_bytes(public_key)
        serial = serial_number(secrets.randbits(SERIAL_RANDOM_BITS))
        return cls(plan, Subject(public_key, serial, spki), hashlib.sha256(spki).hexdigest())


class RecordedSigning:
    """The one way in which this package uses a CA key."""

    def __init__(self, tree: CertificateTree, now: datetime, by: Attribution | None = None) -> None:
        """Verify the ledger so far.

        Raises:
            LedgerError: its chain is broken; nothing may be signed on top.
            ClockFault: its last line is from the future.
        """
        self._tree = tree
        self._now = now
        self._opened_at = time.monotonic()
        self._by = by or attribution()
        raw = tree.read_ledger()
        lines, torn = split_lines(raw)
        self.ledger: VerifiedLedger = verify_ledger(lines)
        self._head = self.ledger.head
        self._length = len(raw) - len(torn)
        self._require_clock()
        if torn:
            self.record("tail-discarded", {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()})

    def _require_clock(self) -> None:
        last = self.ledger.last_at
        if last is not None and self._now < last - CLOCK_BEHIND_MAX:
            raise ClockFault(
                f"this machine's clock says {self._now:%Y-%m-%d %H:%M}Z, and the ledger's last line is from "
                f"{last:%Y-%m-%d %H:%M}Z: set the clock right, then run this again"
            )

    def record(self, event: str, fields: Mapping[str, str | int]) -> None:
        """Add one line and sync it."""
        self.record_all([(event, fields)])

    def record_all(self, events: Sequence[tuple[str, Mapping[str, str | int]]]) -> None:
        """Add lines and sync them together."""
        lines, head = [], self._head
        # A rotation takes minutes: its lines are as far apart as what they record.
        at = self._now + timedelta(seconds=time.monotonic() - self._opened_at)
        for event, fields in events:
            line, head = ledger_line(head, event=event, by=self._by, now=at, fields=fields)
            lines.append(line)
        data = "".join(f"{line}\n" for line in lines).encode()
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
        return self.sign_all([SigningRequest.of(plan, public_key)], issuer=issuer, issuer_key=issuer_key)[0]

    def sign_all(
        self,
        requests: Sequence[SigningRequest],
        *,
        issuer: x509.Certificate | None,
        issuer_key: ec.EllipticCurvePrivateKey,
    ) -> list[x509.Certificate]:
        """Carry out plans on the record, in their order.

        Raises:
            ProfileError: see `sign_certificate`; what was signed before it is on the record, and so is it.
        """
        key_name = spki_sha256(issuer_key.public_key())
        self.record_all([("intent", _intent(request, key_name)) for request in requests])
        signer = Signer(issuer, issuer_key)
        signed: list[x509.Certificate] = []
        results: list[tuple[str, Mapping[str, str | int]]] = []
        try:
            for request in requests:
                certificate = signer.sign(request.plan, request.subject)
                signed.append(certificate)
                fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
                serial = f"{request.subject.serial:x}"
                results.append(("issued", {"serial": serial, "certificate_sha256": fingerprint}))
        except PKIError as fault:
            results += [
                ("refused", {"serial": f"{request.subject.serial:x}", "reason": fault.code})
                for request in requests[len(signed) :]
            ]
            raise
        finally:
            self.record_all(results)
        return signed

    def sign_list(
        self, plan: ListPlan, *, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
    ) -> bytes:
        """Sign a revocation list on the record; return it as PEM.

        Raises:
            ProfileError: see `pki.crl.sign_list`.
        """
        document: dict[str, str | int] = {"list": f"{plan.authority} {plan.number}"}
        end = plan.next_update.isoformat()
        self.record("intent", {**document, "entries": len(plan.entries), "next_update": end})
        try:
            signed = sign_list(plan, issuer=issuer, issuer_key=issuer_key)
        except PKIError as fault:
            self.record("refused", {**document, "reason": fault.code})
            raise
        self.record("issued", {**document, "list_sha256": signed.fingerprint(hashes.SHA256()).hex()})
        return signed.public_bytes(Encoding.PEM)


def _intent(request: SigningRequest, signer: str) -> dict[str, str | int]:
    plan = request.plan
    return {
        "serial": f"{request.subject.serial:x}",
        "role": plan.profile.role,
        "subject": str(plan.identity or plan.trust_domain),
        "spki_sha256": request.spki_sha256,
        "issuer_spki_sha256": signer,
        "not_before": plan.not_before.isoformat(),
        "not_after": plan.not_after.isoformat(),
    }
