"""One leaf of the log: what was decided about one request, and the hashes of all that proves it.

An entry is text that a person and a shell script can read; whoever has the record can
build it again, byte for byte. It has one spelling: parsing what was written and writing
what was parsed change nothing. Source: RFC 9162 §2.1 for what a leaf is.
"""

# ruff: noqa: TID252 - the wheel ships this package under another name: its imports stay relative

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, cast, get_args

from .. import profile
from ..keys import SIGNATURE_BYTES
from .errors import EntryMalformed, RecordUnfit

Kind = Literal[
    "payment", "command", "refusal", "key-registration", "key-revocation", "ledger-head", "access-batch"
]  # fmt: skip

TITLE: Final = "countermark-evidence-v1"
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ENTRY_BYTES_MAX: Final = 2048  # an entry has 1,200; tlog-tiles allows 65,535
# The parts of a record that an entry holds the SHA-256 of, in the entry's order.
HASHED: Final = (
    "request_head",
    "request_body",
    "request_base",
    "request_signature",
    "response_body",
    "receipt_base",
    "receipt_signature",
    "statement",
    "statement_signature",
)
_SIGNATURES: Final = ("request", "receipt", "statement")
# Our own statements, which no merchant's key signs.
_OWN_STATEMENTS: Final = frozenset({"key-revocation", "ledger-head", "access-batch"})
NOBODY: Final = "-"  # in place of merchant and key where a record is of none
# Of what is of no merchant: the form of its subject, and what that is in words.
_OF_NOBODY: Final = {
    "ledger-head": (re.compile(r"ledger-[1-9][0-9]{0,18}"), "ledger- and a number"),
    "access-batch": (
        re.compile(r"acc_[a-z]{2,8}_[0-9a-z]{26}-[1-9][0-9]{0,17}"),
        "the id of its writer and a number",
    ),
}
_DIGEST = r"-|[0-9a-f]{64}"
_ENTRY: Final = re.compile(
    rf"{TITLE}\n"
    rf"kind: (?P<kind>{'|'.join(KINDS)})\n"
    r"subject: (?P<subject>[A-Za-z0-9_-]{1,64})\n"
    r"merchant: (?P<merchant>[A-Za-z0-9_-]{1,64})\n"
    rf"key-id: (?P<key_id>{NOBODY}|{profile.KEY_ID.pattern})\n"
    r"decision: (?P<decision>accepted|refused:[a-z_]{1,64})\n"
    r"decided-at: (?P<decided_at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)\n"
    + "".join(rf"{name.replace('_', '-')}-sha256: (?P<{name}>{_DIGEST})\n" for name in HASHED)
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says.

    Attributes:
        kind: what was decided about.
        subject: the payment's id, the refused request's id, the key id, or what `_OF_NOBODY` says.
        merchant_id: whose it is; `NOBODY` for a ledger's head and for accesses.
        key_id: the key that signed the request; for a revocation the revoked key; `NOBODY` for the same.
        decision: `accepted`, or `refused:` and the code of the problem.
        decided_at: RFC 3339 in UTC, with six digits of a second and Z.
        digests: SHA-256 in lower-case hexadecimal of each part of `HASHED`, in that order; None where the
            record has no such part.
    """

    kind: Kind
    subject: str
    merchant_id: str
    key_id: str
    decision: str
    decided_at: str
    digests: tuple[str | None, ...]

    def serialise(self) -> bytes:
        """Return the entry's one form.

        Raises:
            RecordUnfit: a value is not of its form.
        """
        lines = [
            TITLE,
            f"kind: {self.kind}",
            f"subject: {self.subject}",
            f"merchant: {self.merchant_id}",
            f"key-id: {self.key_id}",
            f"decision: {self.decision}",
            f"decided-at: {self.decided_at}",
        ]
        if len(self.digests) != len(HASHED):
            raise RecordUnfit(f"an entry has {len(HASHED)} digests")
        for name, digest in zip(HASHED, self.digests, strict=True):
            lines.append(f"{name.replace('_', '-')}-sha256: {'-' if digest is None else digest}")
        text = "\n".join(lines) + "\n"
        match = _ENTRY.fullmatch(text)
        # A value with line breaks could take the place of other lines: then the values differ.
        if match is None or _from_match(match) != self:
            raise RecordUnfit("a value of the record is not of its form")
        fault = _contradiction(self)
        if fault is not None:
            raise RecordUnfit(fault)
        return text.encode("ascii")


@dataclass(frozen=True, slots=True)
class Record:
    """One decision with all that proves it, as it is kept.

    Attributes:
        kind: what was decided about.
        subject: the payment's id `pay_…`, the refused request's id `req_…`, the key id, or `ledger-` and a
            sequence number.
        merchant_id: whose it is; `NOBODY` for a ledger's head and for accesses.
        key_id: the key that signed the request; for a revocation the revoked key; `NOBODY` for the same.
        decision: `accepted`, or `refused:` and the code of the problem, for a refusal alone.
        decided_at: RFC 3339 in UTC, with six digits of a second and Z, as `utc_text` writes it.
        request_head: method, space and raw target, then each header field received, `name: value`, in
            order; each line ends with LF. What our own proxies added and credentials are left out.
        request_body: as received.
        request_base: the signature base, the exact bytes that the merchant signed.
        request_signature: 64 raw bytes, r || s for ECDSA.
        response_body: as sent.
        receipt_base: the exact bytes that the gateway signed.
        receipt_signature: 64 raw bytes.
        statement: the registration statement about a later key; None for a first key, whose request is
            signed by the key itself. Of a revocation, a ledger's head or accesses, our own statement.
        statement_signature: 64 raw bytes by the new key.
    """

    kind: Kind
    subject: str
    merchant_id: str
    key_id: str
    decision: str
    decided_at: str
    request_head: bytes | None = None
    request_body: bytes | None = None
    request_base: bytes | None = None
    request_signature: bytes | None = None
    response_body: bytes | None = None
    receipt_base: bytes | None = None
    receipt_signature: bytes | None = None
    statement: bytes | None = None
    statement_signature: bytes | None = None

    def entry(self) -> bytes:
        """Return the leaf for this record.

        Raises:
            RecordUnfit: a value is not of its form, or a signature stands without what it signs.
        """
        for name in _SIGNATURES:
            signed = getattr(self, "statement" if name == "statement" else f"{name}_base")
            signature = getattr(self, f"{name}_signature")
            unsigned = name == "statement" and self.kind in _OWN_STATEMENTS
            if (signed is None) != (signature is None) and not (unsigned and signature is None):
                raise RecordUnfit(f"the {name}'s signature and what it signs go together")
            if signature is not None and len(signature) != SIGNATURE_BYTES:
                raise RecordUnfit(f"a signature has {SIGNATURE_BYTES} raw bytes, r || s for ECDSA")
        return Entry(
            self.kind,
            self.subject,
            self.merchant_id,
            self.key_id,
            self.decision,
            self.decided_at,
            tuple(_hexadecimal_sha256(getattr(self, name)) for name in HASHED),
        ).serialise()


def parse_entry(entry: bytes) -> Entry:
    """Read an entry.

    Raises:
        EntryMalformed: it is not exactly of the form that `Record.entry` makes.
    """
    match = None if len(entry) > ENTRY_BYTES_MAX else _ENTRY.fullmatch(entry.decode("latin-1"))
    if match is None:
        raise EntryMalformed("this is no entry of an evidence log in its exact form")
    parsed = _from_match(match)
    fault = _contradiction(parsed)
    if fault is not None:
        raise EntryMalformed(fault)
    return parsed


def utc_text(at: datetime) -> str:
    """Return a time as entries hold it.

    Args:
        at: with a time zone.

    Raises:
        RecordUnfit: a time without a zone, which nobody could compare with another.
    """
    if at.tzinfo is None:
        raise RecordUnfit("the time has no time zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _from_match(match: re.Match[str]) -> Entry:
    digests = tuple(None if match[name] == "-" else match[name] for name in HASHED)
    kind = cast("Kind", match["kind"])  # the expression admits no other word
    return Entry(
        kind, match["subject"], match["merchant"], match["key_id"], match["decision"], match["decided_at"],
        digests,
    )  # fmt: skip


def _contradiction(entry: Entry) -> str | None:
    """Return why lines that are of their form cannot stand in one entry."""
    try:
        datetime.fromisoformat(entry.decided_at)
    except ValueError:
        return "decided-at is no time of the calendar"
    if (entry.kind == "refusal") != entry.decision.startswith("refused:"):
        return "a refusal, and nothing else, has a decision that begins with refused:"
    if entry.kind in _OF_NOBODY:
        return _contradiction_of_nobody(entry)
    if entry.key_id == NOBODY:
        return "only a ledger's head and a batch of accesses are signed by no key"
    if entry.kind.startswith("key-") and profile.KEY_ID.fullmatch(entry.subject) is None:
        return "the subject of a registration or revocation is a key id"
    return None


def _contradiction_of_nobody(entry: Entry) -> str | None:
    form, words = _OF_NOBODY[entry.kind]
    if (entry.merchant_id, entry.key_id) != (NOBODY, NOBODY) or form.fullmatch(entry.subject) is None:
        return f"this kind is of no merchant and no key, and its subject is {words}"
    held = [name for name, digest in zip(HASHED, entry.digests, strict=True) if digest is not None]
    return None if held == ["statement"] else "this kind has a statement and nothing else"


def _hexadecimal_sha256(part: bytes | None) -> str | None:
    return None if part is None else hashlib.sha256(part).hexdigest()
