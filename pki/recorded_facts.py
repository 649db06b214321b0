"""What a ledger says of single certificates: fingerprints, subjects, revocations. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pki.ledger import LedgerHead, split_lines, verify_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RecordedFacts:
    """By serial number, hex, as in the ledger.

    Attributes:
        fingerprints: hex SHA-256 of each certificate that was issued.
        intents: the intent of each signature: `subject`, `not_after` and more, as in its line.
        revoked: everything revoked.
    """

    fingerprints: Mapping[str, str]
    intents: Mapping[str, Mapping[str, str | int]]
    revoked: frozenset[str]


def recorded_facts(ledger: bytes) -> tuple[LedgerHead, RecordedFacts]:
    """Follow a ledger's chain and return its head and what it says; a torn last line does not count.

    Raises:
        LedgerError: the chain is broken.
    """
    lines, _ = split_lines(ledger)
    head = verify_ledger(lines).head
    fingerprints: dict[str, str] = {}
    intents: dict[str, Mapping[str, str | int]] = {}
    revoked = set()
    for line in lines:
        entry = json.loads(line)
        serial = entry.get("serial")
        if not isinstance(serial, str):
            continue
        if entry["event"] == "intent":
            intents[serial] = entry
        elif entry["event"] == "issued":
            fingerprints[serial] = str(entry.get("certificate_sha256", ""))
        elif entry["event"] == "revoked":
            revoked.add(serial)
    return head, RecordedFacts(fingerprints, intents, frozenset(revoked))
