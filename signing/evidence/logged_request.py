"""One request in a bundle: that its files, its signatures and its entry in the log belong together.

The request and its answer are put together again from the files and go through the very
checks that a gateway and a merchant make; the bases that come out must be the files', byte
for byte. Pure. Source: RFC 9421 §2.4 and §3.2, RFC 9162 §2.1.3.2.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from .. import profile
from ..errors import ReceiptRefused, RequestRefused
from ..message import Request, Response
from ..receipt import VerifiedReceipt, verify_receipt
from ..request_parsing import parse_for_origins
from ..request_verification import VerifiedRequest, verify_request
from .entry import Record, parse_entry
from .errors import CheckpointInvalid, EntryMismatch, ReceiptMismatch, RequestMismatch, TimesImplausible
from .layout import RECORD_FILES, STATEMENT_FILES, Proof, parse_proof
from .note_key import to_base64
from .tree import leaf_hash, verify_inclusion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..keys import VerifyingKey
    from .checkpoint import Checkpoint
    from .entry import Kind

DECISION_S_MAX: Final = 60  # between the check of a signature's times and the decision; a request's deadline
RECEIPT_S_MAX: Final = 300  # between the decision and the receipt, either way; both happen in one request
HEAD_FIELDS_MAX: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TARGET_LINE: Final = re.compile(r'"@target-uri": (https://[^/]+)(/.*)')
_STATUS_LINE: Final = re.compile(r'"@status": (2[0-9]{2})')
_CREATED: Final = re.compile(r";created=(0|[1-9][0-9]{0,14})(?=;|\Z)")
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): (.*)")


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request whose files hold together, and which the log holds. Made by `verify_logged_request`.

    Attributes:
        record: the request, its answer and both signatures.
        request: with the claims of its signature.
        receipt: the gateway's.
        proof: where the log holds it.
        decided_at: seconds since the epoch, as the gateway says.
    """

    record: Record
    request: VerifiedRequest
    receipt: VerifiedReceipt
    proof: Proof
    decided_at: int


def verify_logged_request(
    files: Mapping[str, bytes],
    folder: str,
    kind: Kind,
    key: VerifyingKey,
    gateway_keys: Mapping[str, VerifyingKey],
    checkpoint: Checkpoint,
) -> LoggedRequest:
    """Verify one folder of a bundle.

    Args:
        files: of the whole bundle, with all that there must be.
        folder: where this request's files are.
        kind: what the entry must be about.
        key: that must have signed the request.
        gateway_keys: trusted, by key id.
        checkpoint: whose root the entry must lead to.

    Raises:
        EvidenceRefused: the first thing that does not hold.
    """
    files = {
        name.removeprefix(f"{folder}/"): content
        for name, content in files.items()
        if name.startswith(f"{folder}/")
    }
    entry = parse_entry(files["entry"])
    parts = {part: files[name] for name, part in {**RECORD_FILES, **STATEMENT_FILES}.items() if name in files}
    record = Record(kind, entry.subject, entry.merchant_id, key.key_id, "accepted", entry.decided_at, **parts)
    # 1. The request: header, body, base and signature are of one request, and the key signed it.
    request = _verify_request(files, key)
    # 2. The answer: its receipt binds it to this request, and a trusted gateway key signed it.
    receipt = _verify_receipt(files, request, gateway_keys)
    # 3. The entry is about exactly these files.
    if record.entry() != files["entry"]:
        raise EntryMismatch(f"the log's entry is not that of a {kind} with these files, signed by this key")
    # 4. The times agree.
    decided_at = _seconds(entry.decided_at)
    earliest = request.created - profile.CLOCK_SKEW_S_MAX
    latest = request.expires + profile.CLOCK_SKEW_S_MAX + DECISION_S_MAX
    if not earliest <= decided_at <= latest:
        raise TimesImplausible("the decision was not made while the request's signature could be used")
    if abs(receipt.created - decided_at) > RECEIPT_S_MAX:
        raise TimesImplausible(f"receipt and decision are more than {RECEIPT_S_MAX} s apart")
    # 5. The log holds the entry.
    proof = parse_proof(files["proof"])
    if proof.size != checkpoint.size:
        raise CheckpointInvalid("the proof is for another size of the log than the checkpoint's")
    verify_inclusion(leaf_hash(files["entry"]), proof.index, proof.size, proof.path, checkpoint.root)
    return LoggedRequest(record, request, receipt, proof, decided_at)


def _verify_request(files: Mapping[str, bytes], key: VerifyingKey) -> VerifiedRequest:
    base = files["request.base"].decode("latin-1").split("\n")
    first, *lines = files["request.head"].decode("latin-1").split("\n")
    target = _TARGET_LINE.fullmatch(base[1]) if len(base) > 1 else None
    if target is None or not lines or lines.pop() or len(lines) > HEAD_FIELDS_MAX:
        raise RequestMismatch("the signature base has no target, or the header is not lines")
    method, _, path = first.partition(" ")
    if path != target[2]:
        raise RequestMismatch("the header's target is not the one that was signed")
    headers = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise RequestMismatch("a line of the header is not: name, colon, space, value")
        headers.append((field[1], field[2]))
    request = Request(method, target[1] + path, tuple(headers), files["request.body"])
    try:
        signed = parse_for_origins(request, None)
        # Whether the times fit the decision is asked later; here, the time is the signer's own.
        verified = verify_request(signed, key, now=signed.created)
    except RequestRefused as error:
        raise RequestMismatch(f"the request is refused ({error.code}): {error}") from error
    if signed.signature_base != files["request.base"] or signed.signature != files["request.sig"]:
        raise RequestMismatch("the header carries another signature than the one in the files")
    if method != "POST":
        raise RequestMismatch("payments and registrations are asked for with POST, whose body is signed")
    return verified


def _verify_receipt(
    files: Mapping[str, bytes], request: VerifiedRequest, gateway_keys: Mapping[str, VerifyingKey]
) -> VerifiedReceipt:
    lines = files["receipt.base"].decode("latin-1").split("\n")
    status = _STATUS_LINE.fullmatch(lines[0])
    created = _CREATED.search(lines[-1])
    prefixes = ('"content-type": ', '"content-digest": ', '"@signature-params": ')
    values = [
        line.removeprefix(prefix) for line, prefix in zip([*lines[1:3], lines[-1]], prefixes, strict=False)
    ]
    if status is None or created is None or len(values) != len(prefixes):
        raise ReceiptMismatch("the receipt's base has no final success status, no time, or too few lines")
    headers = (
        ("Content-Type", values[0]),
        ("Content-Digest", values[1]),
        ("Signature-Input", f"{profile.LABEL}={values[2]}"),
        ("Signature", f"{profile.LABEL}=:{to_base64(files['receipt.sig'])}:"),
    )
    response = Response(int(status[1]), headers, files["response.body"])
    try:
        receipt = verify_receipt(request.request, response, gateway_keys.get, now=int(created[1]))
    except ReceiptRefused as error:
        raise ReceiptMismatch(f"the receipt is refused ({error.code}): {error}") from error
    if receipt.signature_base != files["receipt.base"]:
        raise ReceiptMismatch("the receipt's base is not the one of this answer to this request")
    return receipt


def _seconds(decided_at: str) -> int:
    return (datetime.fromisoformat(decided_at) - _EPOCH) // timedelta(seconds=1)
