"""The issuance ledger: JSON lines, each holding the digest of the line before.

There is an intent before every signature and a result after it, so a certificate without a line, or a line
without a certificate, shows. Altering, removing or reordering lines breaks the chain; cutting lines off the
end does not, which is why the head belongs on another host and why `status` compares live serials with the
ledger. Pure over lines. Source: PCI DSS 10.2.2, 10.3.4 for what a line holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, overload

from pki.errors import LedgerError
from pki.ledger_spelling import SpelledLine, Spelling

if TYPE_CHECKING:
    from collections.abc import Iterable

GENESIS = "0" * 64
# A line of ours is about 500 bytes; one far longer is not ours and is not parsed.
LINE_BYTES_MAX = 16 * 1024
_FIXED = frozenset({"seq", "prev", "ts", "actor", "event", "hash"})
# Lines of the first version had neither of the last two.
_WRITTEN = _FIXED | {"command", "policy"}
# What names the document of an intent and of its result: a certificate's serial number, or a list's number.
_DOCUMENT = ("serial", "list")


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """The last line of a ledger; `seq` 0 and zeros when it is empty."""

    seq: int = 0
    digest: str = GENESIS


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who does what under which rules: part of every line.

    Attributes:
        actor: the account, such as "uid 0".
        command: what was asked for, such as "rotate root --resume"; no secret is ever an argument.
        policy: SHA-256 of the policy file, hex; "none" where no policy was given.
    """

    actor: str
    command: str
    policy: str


@dataclass(frozen=True, slots=True)
class VerifiedLedger:
    """What an unbroken ledger says.

    Attributes:
        head: the last line; publish it where the writer cannot reach.
        issued: serial numbers (hex) of every certificate signed.
        unfinished: sequence numbers of intents without a result: the command was interrupted there.
        entries: every line, parsed, oldest first.
    """

    head: LedgerHead
    issued: frozenset[str]
    unfinished: tuple[int, ...]
    entries: Sequence[Mapping[str, str | int]] = ()

    @property
    def last_at(self) -> datetime | None:
        """When the last line was written, UTC; None for an empty ledger."""
        return datetime.fromisoformat(str(self.entries[-1]["ts"])) if self.entries else None

    @property
    def revoked(self) -> frozenset[str]:
        """Serial numbers (hex) of everything revoked."""
        return frozenset(str(entry["serial"]) for entry in self.entries if entry["event"] == "revoked")


class LedgerEntries(Sequence[Mapping[str, "str | int"]]):
    """The lines of a verified ledger; each is parsed when it is asked for, as most never are."""

    def __init__(self, lines: Sequence[str]) -> None:
        """Take lines that were verified."""
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, str | int]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, str | int]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, str | int] | Sequence[Mapping[str, str | int]]:
        """Return one line, parsed, or several still to be parsed."""
        if isinstance(index, slice):
            return LedgerEntries(self._lines[index])
        entry: dict[str, str | int] = json.loads(self._lines[index])
        return entry


# The one spelling of a line. One encoder for all lines: making one costs as much as encoding one.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def _hash_member(digest: str) -> str:
    """Return the hash as it stands in a line; `event` sorts before it, so a comma always does, too.

    Nothing else in a line looks like it: a quotation mark inside a value has a backslash before it.
    """
    return f',"hash":"{digest}"'


def split_lines(raw: bytes) -> tuple[list[str], bytes]:
    """Split a ledger into its lines and what a crash in the middle of a write left after the last line end.

    Bytes that are not UTF-8 stay visible as replacement characters, which no line of ours contains.
    """
    whole, end, torn = raw.rpartition(b"\n")
    return (whole.decode(errors="replace").split("\n") if end else []), torn


def ledger_line(
    head: LedgerHead, *, event: str, by: Attribution, now: datetime, fields: Mapping[str, str | int]
) -> tuple[str, LedgerHead]:
    """Return the next line, without its line end, and the head after it.

    Args:
        head: of the ledger so far.
        event: "intent", "issued", "refused", or another constant word.
        by: who does what under which rules.
        now: UTC.
        fields: what happened; none may be named like a fixed field.

    Raises:
        LedgerError: a field has a fixed field's name.
    """
    if fields.keys() & _WRITTEN:
        raise LedgerError(f"a ledger line cannot redefine {sorted(fields.keys() & _WRITTEN)}")
    seq = head.seq + 1
    entry: dict[str, str | int] = {
        **fields,
        "seq": seq,
        "prev": head.digest,
        "ts": now.isoformat(timespec="microseconds"),
        "actor": by.actor,
        "command": by.command,
        "policy": by.policy,
        "event": event,
    }
    entry["hash"] = ""
    line = _canonical(entry)
    digest = hashlib.sha256(line.replace(_hash_member(""), "", 1).encode()).hexdigest()
    return line.replace(_hash_member(""), _hash_member(digest), 1), LedgerHead(seq, digest)


def verify_ledger(lines: Iterable[str]) -> VerifiedLedger:
    """Follow the chain from the first line to the last.

    Args:
        lines: without line ends, oldest first.

    Raises:
        LedgerError: naming the first line that does not fit.
    """
    kept = tuple(lines)
    spelling = Spelling(_DOCUMENT)
    head = LedgerHead()
    seq, digest = head.seq, head.digest
    issued: set[str] = set()
    open_intents: dict[str, int] = {}
    for number, line in enumerate(kept, start=1):
        found = spelling.read(line)
        if found is None or not _holds(found, line, number, digest):
            found = _examine(spelling, line, number, digest)
        seq, digest, document = number, found.digest, found.document
        if document is None:
            continue
        if found.event == "intent":
            open_intents[document] = number
        elif found.event in ("issued", "refused"):
            if open_intents.pop(document, None) is None:
                raise LedgerError(f"line {number} is the result of an intent that is not in the ledger")
            if found.event == "issued" and found.is_certificate:
                issued.add(document)
    return VerifiedLedger(
        LedgerHead(seq, digest), frozenset(issued), tuple(sorted(open_intents.values())), LedgerEntries(kept)
    )


def _holds(found: SpelledLine, line: str, number: int, before: str) -> bool:
    """Whether a line of a known shape is the next one; if not, `_examine` says why."""
    if len(line) > LINE_BYTES_MAX or found.seq != number or found.prev != before:
        return False
    try:
        datetime.fromisoformat(found.ts)
    except ValueError:
        return False
    return hashlib.sha256(found.hashed.encode()).hexdigest() == found.digest


def _examine(spelling: Spelling, line: str, number: int, before: str) -> SpelledLine:
    """Check a line the slow way, and learn its shape."""
    entry = _parse(line, number)
    if entry["seq"] != number:
        raise LedgerError(f"line {number} says it is line {entry['seq']}: lines were removed or reordered")
    if entry["prev"] != before:
        raise LedgerError(f"line {number} does not follow line {number - 1}: lines were removed or altered")
    spelling.learn(entry)
    document = next((entry[name] for name in _DOCUMENT if isinstance(entry.get(name), str)), None)
    return SpelledLine(
        number, before, entry["ts"], entry["event"], entry["hash"], document, "serial" in entry, line
    )


def _parse(line: str, number: int) -> dict[str, Any]:
    if len(line) > LINE_BYTES_MAX:
        raise LedgerError(f"line {number} is longer than any line of ours")
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise LedgerError(f"line {number} is not JSON: it was altered or cut") from fault
    if not isinstance(entry, dict) or not entry.keys() >= _FIXED:
        raise LedgerError(f"line {number} is not a ledger line")
    wanted = {"seq": int, "prev": str, "ts": str, "actor": str, "event": str, "hash": str}
    flat = all(type(value) in (str, int) for value in entry.values())
    if not flat or any(type(entry[name]) is not kind for name, kind in wanted.items()):
        raise LedgerError(f"line {number} is not a ledger line")
    try:
        datetime.fromisoformat(entry["ts"])
    except ValueError as fault:
        raise LedgerError(f"line {number} has no time that can be read") from fault
    # One spelling only: without this, spaces and repeated keys could be added unseen by the digest.
    if _canonical(entry) != line:
        raise LedgerError(f"line {number} is not spelled the way it was written: it was altered")
    found = hashlib.sha256(line.replace(_hash_member(entry["hash"]), "", 1).encode()).hexdigest()
    if found != entry["hash"]:
        raise LedgerError(f"line {number} does not match its digest: it was altered")
    return entry
