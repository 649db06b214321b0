"""Heads of the issuance ledger that stand in the evidence log, and what they say about the ledger here. Pure.

The log's server makes the statement, with its own time; this module says what it must look like, and reads
it. A ledger that lacks an anchored line, or has another one in its place, was cut or replaced.
Source: DECISIONS 25.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pki.errors import IdentityError, LedgerError
from pki.identity import require_trust_domain
from pki.ledger import LedgerHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pki.ledger import VerifiedLedger

TITLE: Final = "countermark-ledger-head-v1"
# A statement has 200 bytes, with the longest trust domain 270; one far longer is not ours and is not parsed.
STATEMENT_BYTES_MAX: Final = 512
# PostgreSQL counts to here; a line each second would take longer than the universe has been there.
SEQUENCE_MAX: Final = 2**63 - 1
# What is remembered beside the ledger has 200 bytes.
REMEMBERED_BYTES_MAX: Final = 4096
_TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
_STATEMENT: Final = re.compile(
    rf"{TITLE}\n"
    r"trust-domain: (?P<trust_domain>[a-z0-9.-]{1,64})\n"
    r"sequence: (?P<sequence>[1-9][0-9]{0,18})\n"
    r"head: (?P<digest>[0-9a-f]{64})\n"
    rf"at: (?P<at>{_TIME})\n"
)
_REMEMBERED: Final = {"seq": int, "digest": str, "at": str, "record": str}


@dataclass(frozen=True, slots=True)
class AnchoredHead:
    """One head that stands in the log.

    Attributes:
        trust_domain: of the ledger.
        head: the line's sequence number and digest.
        at: when it was anchored, UTC, by the clock of the log's server.
        leaf_index: its entry's index in the log; None until the log has taken it in, or where nobody asked.
    """

    trust_domain: str
    head: LedgerHead
    at: datetime
    leaf_index: int | None = None

    @property
    def record(self) -> str:
        """The subject of its record among the evidence."""
        return f"ledger-{self.head.seq}"


@dataclass(frozen=True, slots=True)
class AnchorComparison:
    """A ledger that holds every anchored line.

    Attributes:
        newest: the newest anchored head.
        newer_lines: how many lines were written since; these alone could be cut off unseen.
    """

    newest: AnchoredHead
    newer_lines: int


def head_statement(anchored: AnchoredHead) -> bytes:
    """Return the one form of the statement.

    Raises:
        LedgerError: a value is not of its form.
    """
    text = (
        f"{TITLE}\ntrust-domain: {anchored.trust_domain}\nsequence: {anchored.head.seq}\n"
        f"head: {anchored.head.digest}\nat: {_moment(anchored.at)}\n"
    )
    statement = text.encode(errors="replace")
    if parse_head_statement(statement, anchored.leaf_index) != anchored:
        raise LedgerError("a head with such values cannot be stated")
    return statement


def parse_head_statement(statement: bytes, leaf_index: int | None = None) -> AnchoredHead:
    """Read a statement.

    Args:
        statement: as the record holds it.
        leaf_index: of its entry.

    Raises:
        LedgerError: it is not exactly of the form that `head_statement` makes.
    """
    match = (
        None if len(statement) > STATEMENT_BYTES_MAX else _STATEMENT.fullmatch(statement.decode("latin-1"))
    )
    if match is None or int(match["sequence"]) > SEQUENCE_MAX:
        raise LedgerError("this is no statement about a ledger's head in its exact form")
    try:
        at = datetime.fromisoformat(match["at"])
        trust_domain = require_trust_domain(match["trust_domain"])
    except (ValueError, IdentityError) as fault:
        raise LedgerError("this statement about a ledger's head has no time, or no trust domain") from fault
    return AnchoredHead(trust_domain, LedgerHead(int(match["sequence"]), match["digest"]), at, leaf_index)


def format_remembered(anchored: AnchoredHead) -> bytes:
    """Return the bytes of `anchor.json`: the newest head that this tree knows to be anchored."""
    fields = {
        "seq": anchored.head.seq,
        "digest": anchored.head.digest,
        "at": _moment(anchored.at),
        "record": anchored.record,
    }
    return json.dumps(fields, indent=1).encode() + b"\n"


def parse_remembered(data: bytes, trust_domain: str) -> AnchoredHead:
    """Read `anchor.json`.

    Args:
        data: of the file.
        trust_domain: of the tree that it lies in.

    Raises:
        LedgerError: it is not one of ours.
    """
    try:
        if len(data) > REMEMBERED_BYTES_MAX:
            raise ValueError("too long")
        fields: Any = json.loads(data)
        if not isinstance(fields, dict) or {n: type(v) for n, v in fields.items()} != _REMEMBERED:
            raise ValueError("other fields")
        head = LedgerHead(fields["seq"], fields["digest"])
        anchored = AnchoredHead(trust_domain, head, datetime.fromisoformat(fields["at"]))
        if format_remembered(anchored) != data or parse_head_statement(head_statement(anchored)) != anchored:
            raise ValueError("another spelling")
    except (ValueError, RecursionError, LedgerError) as fault:
        raise LedgerError(
            "anchor.json is damaged: remove it; the next command that reaches the log writes it anew"
        ) from fault
    return anchored


def compare_with_anchor(ledger: VerifiedLedger, anchored: Sequence[AnchoredHead]) -> AnchorComparison | None:
    """Find every anchored line in the ledger; None where nothing is anchored.

    All of them, not the newest alone: who cuts lines off, writes others and anchors those has a newest head
    that fits, and older ones that do not.

    Args:
        ledger: whose chain was followed.
        anchored: in any order.

    Raises:
        LedgerError: a line is not there, or is another one.
    """
    fitting: AnchoredHead | None = None
    for each in sorted(anchored, key=lambda one: (one.head.seq, one.at)):
        since = "from its first line" if fitting is None else f"after line {fitting.head.seq}"
        there = each.head.seq <= ledger.head.seq
        if not there or ledger.entries[each.head.seq - 1]["hash"] != each.head.digest:
            seen = "is another one" if there else f"is missing: the ledger ends at line {ledger.head.seq}"
            raise LedgerError(
                f"line {each.head.seq} was anchored at {_moment(each.at)}, and {seen}; lines were removed or "
                f"the ledger was replaced {since}: restore it from a backup"
            )
        fitting = each
    return None if fitting is None else AnchorComparison(fitting, ledger.head.seq - fitting.head.seq)


def require_kept(remembered: AnchoredHead | None, anchored: Sequence[AnchoredHead]) -> None:
    """Check that the log still holds the head that this tree remembers as anchored.

    Raises:
        LedgerError: it does not: the log's database is another one, or an old copy.
    """
    if remembered is not None and remembered.head not in {each.head for each in anchored}:
        raise LedgerError(
            f"line {remembered.head.seq} was anchored at {_moment(remembered.at)}, and the evidence log does "
            "not hold it: its database was replaced, or restored from an older backup; compare the log with "
            "its witness, and remove anchor.json to begin again"
        )


def comparison_fields(compared: AnchorComparison) -> dict[str, Any]:
    """Return a comparison as JSON fields."""
    newest = compared.newest
    return {
        "seq": newest.head.seq,
        "digest": newest.head.digest,
        "at": _moment(newest.at),
        "record": newest.record,
        "leaf_index": newest.leaf_index,
        "newer_lines": compared.newer_lines,
    }


def comparison_sentence(compared: AnchorComparison, *, asked: bool) -> str:
    """Return a comparison as one line for people.

    Args:
        compared: the comparison.
        asked: the log was asked; else this is what the tree remembers, which whoever cuts a ledger can alter.
    """
    newest = compared.newest
    place = "its entry is on its way" if newest.leaf_index is None else f"as entry {newest.leaf_index}"
    where = (
        f"in the evidence log, {place}"
        if asked
        else "as is remembered here; --deployment asks the evidence log"
    )
    return (
        f"line {newest.head.seq} and all before it are anchored since {_moment(newest.at)} {where}; "
        f"newer lines: {compared.newer_lines}"
    )


def _moment(at: datetime) -> str:
    if at.tzinfo is None:
        raise LedgerError("the time has no time zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
