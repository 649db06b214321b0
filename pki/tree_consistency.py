"""Whether the files of an authority belong together: state, ledger, certificates, sealed keys, lists. Pure.

Asked before a backup is sealed and again before one is put in place, so what cannot be restored is found
while there is still something to do about it. No key is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki.authority_state import AuthorityState, parse_state
from pki.backup_file import LEDGER_NAME, STATE_NAME
from pki.crl import list_number
from pki.custody.envelope import custody_of, sealed_subject
from pki.errors import TreeError
from pki.issuance import spki_sha256
from pki.ledger import VerifiedLedger, split_lines, verify_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class ConsistentTree:
    """What files that belong together say.

    Attributes:
        state: of the authority.
        ledger: of the authority; a torn last line does not count.
        certificates: of each CA, by its id.
        custody: what opens each CA's key, in a few words, by its id; retired CAs are not in here.
        list_numbers: highest number of a revocation list of each CA, by its id.
    """

    state: AuthorityState
    ledger: VerifiedLedger
    certificates: Mapping[str, x509.Certificate]
    custody: Mapping[str, str]
    list_numbers: Mapping[str, int]


def require_consistent(files: Mapping[str, bytes]) -> ConsistentTree:
    """Check that an authority's files belong together.

    Args:
        files: contents by name, as in a backup.

    Raises:
        LedgerError: the ledger's chain is broken.
        SealError: a sealed key is not one.
        TreeError: naming the first file that is damaged or does not belong to the others.
    """
    state = parse_state(files[STATE_NAME], STATE_NAME)
    ledger = verify_ledger(split_lines(files[LEDGER_NAME])[0])
    fingerprints = {
        str(entry["serial"]): str(entry.get("certificate_sha256"))
        for entry in ledger.entries
        if entry["event"] == "issued" and "serial" in entry
    }
    ids = sorted({name.split("/")[1] for name in files if name.startswith("ca/")})
    certificates = {authority: _certificate(files, authority) for authority in ids}
    for authority in (state.issuer, *state.listed):
        if authority not in certificates:
            raise TreeError(f"the state names {authority}, and there is no such CA: restore it from a backup")
    if f"ca/{state.issuer}/key.sealed" not in files:
        raise TreeError(
            f"{state.issuer} signs leaves, and its sealed key is missing: restore it from a backup"
        )
    custody, numbers = {}, {}
    for authority, certificate in certificates.items():
        if (
            fingerprints.get(f"{certificate.serial_number:x}")
            != certificate.fingerprint(hashes.SHA256()).hex()
        ):
            raise TreeError(f"the ledger does not know the certificate of {authority}")
        _require_issued_here(authority, certificate, certificates)
        sealed = files.get(f"ca/{authority}/key.sealed")
        if sealed is not None:
            custody[authority] = _require_own_key(authority, certificate, sealed)
        numbers[authority] = max(_list_numbers(files, authority, certificate), default=0)
    return ConsistentTree(state, ledger, certificates, custody, numbers)


def is_list_of(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    """Say whether a revocation list is this CA's own."""
    key = issuer.public_key()
    if found.issuer != issuer.subject or not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        return found.is_signature_valid(key)
    except (InvalidSignature, TypeError, ValueError):
        return False


def _certificate(files: Mapping[str, bytes], authority: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(files[f"ca/{authority}/cert.pem"])
    except (KeyError, ValueError) as fault:
        raise TreeError(f"{authority} has no certificate that can be read") from fault
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TreeError(f"the certificate of {authority} has a key that is not P-256")
    role = authority.partition("-")[0]
    if authority != f"{role}-{certificate.not_valid_before_utc:%Y%m%d}-{spki_sha256(key)[:8]}":
        raise TreeError(f"the certificate of {authority} is another CA's")
    return certificate


def _require_issued_here(
    authority: str, certificate: x509.Certificate, certificates: Mapping[str, x509.Certificate]
) -> None:
    roots = [other for other in certificates if other.startswith("root-")]
    for issuer in [authority] if authority in roots else roots:
        try:
            certificate.verify_directly_issued_by(certificates[issuer])
        except (InvalidSignature, ValueError, TypeError):
            continue
        return
    raise TreeError(f"no root that is here signed the certificate of {authority}")


def _require_own_key(authority: str, certificate: x509.Certificate, sealed: bytes) -> str:
    subject, key = sealed_subject(sealed), certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    if (subject.role, subject.spki_sha256) != (authority.partition("-")[0], spki_sha256(key)):
        raise TreeError(f"the sealed key of {authority} is another CA's")
    return custody_of(sealed)


def _list_numbers(files: Mapping[str, bytes], authority: str, certificate: x509.Certificate) -> Iterator[int]:
    for file in ("crl.pem", "crl-prepared.pem"):
        pem = files.get(f"ca/{authority}/{file}")
        if pem is None:
            continue
        try:
            found = x509.load_pem_x509_crl(pem)
        except ValueError as fault:
            raise TreeError(f"{file} of {authority} holds no revocation list") from fault
        if not is_list_of(found, certificate):
            raise TreeError(f"{file} of {authority} is another CA's")
        yield list_number(found)
