"""Verify a bundle: what it proves, by whose signature and when, and what it does not prove.

Nothing but the trusted keys is taken for granted. The first thing that does not hold ends
the verification; findings that nothing proves are returned beside those that are proven,
for an arbiter must know both. Pure. Source: ISO/IEC 13888 for what evidence is about.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

import hashlib
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Final

from ..errors import KeyRefused, SignatureInvalid
from ..keys import VerifyingKey
from .checkpoint import Checkpoint, parse_checkpoint_body
from .errors import (
    FilesDiffer,
    KeyUntrusted,
    ManifestInvalid,
    ScriptUnknown,
    TimesImplausible,
)
from .finding import Finding, utc_second
from .key_chain import verify_key_chain
from .layout import (
    MANIFEST,
    MANIFEST_SIGNATURE,
    MANIFEST_TITLE,
    SCRIPT,
    WITNESS_FILE_PREFIX,
    count_of,
    gateway_key_file,
    manifest_of,
    merchant_key_file,
    why_not_complete,
    witness_key_file,
)
from .logged_request import verify_logged_request
from .note import parse_note, verify_cosignature, verify_log_signature
from .script import SCRIPTS_SHA256
from .trust import NamedKey, TrustedKeys, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .logged_request import LoggedRequest
    from .note import Note

# How much earlier than the decision a witness's clock may have been when it saw the entry that the decision
# is in; two clocks that are further apart prove nothing about each other.
WITNESS_S_MAX: Final = 300
_TIME_S_MAX: Final = 253402300799  # the last second of the year 9999
_SEAL: Final = object()  # held by this module alone, so that no other can make the type


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle that holds. Made by `verify_bundle` alone.

    Attributes:
        subject: the payment's id.
        merchant_id: whose it is, as the gateway says.
        key_id: the merchant's key that signed the payment.
        findings: what is proven and what is not, in the order of the checks.
    """

    subject: str
    merchant_id: str
    key_id: str
    findings: tuple[Finding, ...]
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a VerifiedBundle is made by verify_bundle alone")


def verify_bundle(files: Mapping[str, bytes], trust: TrustedKeys) -> VerifiedBundle:
    """Verify the files of a bundle.

    Args:
        files: content by path below the bundle's folder, from `unpack` or from a folder.
        trust: the keys that the verifier has from elsewhere.

    Raises:
        EvidenceRefused: one of its classes, at the first thing that does not hold; none but these,
            whatever the input.
    """
    # 1. The files are those that the gateway put together, no more and no less.
    fault = why_not_complete(files)
    if fault is not None:
        raise FilesDiffer(fault)
    gateways = _trusted_gateways(files, trust)
    manifest_key = _verify_manifest(files, gateways)
    findings = [Finding(True, "the gateway put together exactly these files", _gateway(manifest_key))]
    # 2. The checkpoint is the trusted log's.
    note = parse_note(files["checkpoint"])
    checkpoint = parse_checkpoint_body(note.body)
    log_key = _verify_log(files, note, checkpoint, trust)
    # 3. The payment: request, answer, entry, place in the log.
    count = count_of(files, "keys/merchant.pem", "keys/merchant-{}.pem")
    keys = [_load(files, merchant_key_file(position)) for position in range(1, count + 1)]
    by_id = {key.key_id: key for key in gateways}
    payment = verify_logged_request(files, "payment", "payment", keys[0], by_id, checkpoint)
    findings += _findings_of_payment(payment, checkpoint, by_id[payment.receipt.key_id], log_key)
    # 4. The key: registered before, vouched for back to a first key, and not revoked before.
    findings += verify_key_chain(files, keys, payment, by_id, checkpoint)
    # 5. The witnesses, whose clocks are not the gateway's.
    findings += _verify_witnesses(files, note, payment, trust)
    merchant_id = payment.record.merchant_id
    findings += [
        Finding(False, f"which company or person stands behind merchant {merchant_id}"),
        Finding(False, "what a bank or card network did afterwards"),
    ]
    return VerifiedBundle(
        payment.record.subject, merchant_id, payment.record.key_id, tuple(findings), seal=_SEAL
    )


def _trusted_gateways(files: Mapping[str, bytes], trust: TrustedKeys) -> list[VerifyingKey]:
    count = count_of(files, "keys/gateway.pem", "keys/gateway-{}.pem")
    names = [gateway_key_file(position) for position in range(1, count + 1)]
    keys = [_load(files, name) for name in names]
    for name, key in zip(names, keys, strict=True):
        if key not in trust.gateways:
            raise KeyUntrusted(f"{name}, {fingerprint(key)}, is not among the trusted gateway keys")
    return keys


def _verify_manifest(files: Mapping[str, bytes], gateways: list[VerifyingKey]) -> VerifyingKey:
    try:
        gateways[0].verify(files[MANIFEST_SIGNATURE], MANIFEST_TITLE + files[MANIFEST])
    except SignatureInvalid as error:
        raise ManifestInvalid(f"the gateway did not sign this manifest: {error}") from error
    if manifest_of(files) != files[MANIFEST]:
        raise FilesDiffer("a file is not the one that the manifest lists")
    if hashlib.sha256(files[SCRIPT]).hexdigest() not in SCRIPTS_SHA256:
        raise ScriptUnknown("verify.sh is not a script of this package, whatever it prints")
    return gateways[0]


def _verify_log(
    files: Mapping[str, bytes], note: Note, checkpoint: Checkpoint, trust: TrustedKeys
) -> VerifyingKey:
    key = _load(files, "keys/log.pem")
    if NamedKey(checkpoint.origin, key) not in trust.logs:
        raise KeyUntrusted(
            f"keys/log.pem, {fingerprint(key)}, is not trusted as the key of a log named {checkpoint.origin}"
        )
    verify_log_signature(note, checkpoint.origin, key)
    return key


def _findings_of_payment(
    payment: LoggedRequest, checkpoint: Checkpoint, gateway: VerifyingKey, log_key: VerifyingKey
) -> list[Finding]:
    request, record = payment.request, payment.record
    return [
        Finding(
            True,
            f"the request in payment/ was signed: {request.request.method} {request.request.target_uri}",
            f"merchant key {record.key_id}",
            f"{utc_second(request.created)} by the merchant's clock",
        ),
        Finding(
            True,
            f"the gateway answered it with status {payment.receipt.status} and payment/response.body",
            _gateway(gateway),
            f"{utc_second(payment.receipt.created)} by the gateway's clock",
        ),
        Finding(
            True,
            f"payment {record.subject} was accepted for merchant {record.merchant_id}, as entry "
            f"{payment.proof.index} of {checkpoint.size} in the log {checkpoint.origin}",
            f"log key {fingerprint(log_key)}",
            f"{record.decided_at} by the gateway's clock",
        ),
    ]


def _verify_witnesses(
    files: Mapping[str, bytes], note: Note, payment: LoggedRequest, trust: TrustedKeys
) -> list[Finding]:
    findings = []
    for name in files:
        if name.startswith(WITNESS_FILE_PREFIX):
            _load(files, name)
    for witness in trust.witnesses:
        seen_by = fingerprint(witness.key)
        if files.get(witness_key_file(witness.name)) != witness.key.to_spki_pem():
            findings.append(Finding(False, f"that the witness with key {seen_by} saw this log"))
            continue
        time = verify_cosignature(note, witness.name, witness.key)
        if not payment.decided_at - WITNESS_S_MAX <= time <= _TIME_S_MAX:
            raise TimesImplausible("a witness says that it saw the log before the payment was decided")
        findings.append(
            Finding(
                True,
                "the log with these entries existed",
                f"witness {witness.name}, key {seen_by}",
                f"{utc_second(time)} by the witness's clock",
            )
        )
    if not trust.witnesses:
        findings.append(Finding(False, "that anybody but the gateway saw this log: no witness is trusted"))
    return findings


def _gateway(key: VerifyingKey) -> str:
    return f"gateway key {fingerprint(key)}"


def _load(files: Mapping[str, bytes], name: str) -> VerifyingKey:
    try:
        key = VerifyingKey.from_spki_pem(files[name])
    except KeyRefused as error:
        raise KeyUntrusted(f"{name} is refused: {error}") from error
    if key.to_spki_pem() != files[name]:
        raise KeyUntrusted(f"{name} holds something beside its key")
    return key
