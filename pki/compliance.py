"""Which PCI DSS 4.0.1 requirement each fact of ours is evidence for, and how far that evidence reaches. Pure.

Every paraphrase is ours, and a fact is only ever "evidence for" a requirement: an assessor decides what is
compliant, and most requirements ask for more than a certificate can show. Source: PCI DSS 4.0.1; the mapping
and its limits are argued in the survey that this package was designed from.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pki.profiles import INTERMEDIATE, LEAF, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

STANDARD = "PCI DSS 4.0.1"
SCOPE = (
    "Evidence for, never proof of compliance: whether a requirement is met is an assessor's decision.",
    (
        "4.2.1 literally covers PAN over open, public networks. Encrypting inside is named good practice, "
        "not a requirement; here it is applied to internal hops by policy."
    ),
    (
        "3.6 and 3.7 literally cover keys that protect stored account data. Here they are applied to the "
        "keys of certificates by policy."
    ),
    (
        "The literal drivers for internal hops are 8.3.2, 2.2.7 and 12.3.3. What a hop really speaks is not "
        "shown here: an audit of the hops shows it."
    ),
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement.

    Attributes:
        number: as the standard numbers it.
        asks: what it asks for, in our words.
        literal: whether its text covers what is shown here; if not, it is applied by policy.
    """

    number: str
    asks: str
    literal: bool


class Fact(Enum):
    """A kind of fact that status and inventory show; the value is the sentence for a reader."""

    LISTED = "each certificate is listed with its issuing CA and its expiry"
    VALIDITY = "each certificate's validity is shown and judged against its profile"
    ISSUER = "each certificate is traced to an issuing CA of this trust domain"
    STRENGTH = "keys are P-256 and signatures ECDSA with SHA-256; anything else is refused before signing"
    CRYPTOPERIOD = (
        "each kind of key has a defined life and an age at which it is due; its last rotation is dated"
    )
    HOLDER = "each key has one holder: workload, account, group and file mode are shown"
    CUSTODY = "how the key of each CA is kept is shown"
    SHARED_CUSTODY = "where the key of a CA is kept in shares, how many must come together is shown"
    RETIRED = "superseded and retired certificates are shown, with whether their keys still exist"
    REVOKED = "revoked certificates are shown with time and reason"
    UNSHARED = "a key or a serial number that serves two workloads is a finding"
    RECORDED = "each signature is on record: who, what, when, with which result"
    POLICY = "the digest of the policy that was in force at each signature is shown, where it is on record"
    CHAIN = "the record is a hash chain: altered, removed or reordered lines show"
    HEAD = "the head of the record is shown, to be kept where this machine cannot write"
    SUBSTITUTION = "each certificate on disk is compared with the digest that was recorded when it was signed"
    WIRE = "where somebody looked, what is presented on the wire is compared with the inventory"
    ROTATIONS = "each rotation is on record with its stages, its duration and who ran it"
    VERDICT = "what is overdue, broken or about to expire is named, with what to do"


# Those whose text covers what is shown here as it stands; the others are applied by policy (see SCOPE).
_LITERAL = frozenset({"10.2.1.5", "10.2.1.7", "10.2.2", "10.3.3", "10.3.4", "10.7.2", "11.5.2"})
_ASKS = {
    "3.6.1": "fewest custodians, places and forms; keys that encrypt keys as strong, and stored apart",
    "3.6.1.1": "service providers document the key architecture: algorithms, strength, expiry, use",
    "3.6.1.2": "private keys exist only encrypted, in a secure device, or as full-length shares",
    "3.6.1.3": "cleartext components are accessible to the fewest custodians",
    "3.7.1": "strong keys are generated",
    "3.7.3": "keys are stored securely",
    "3.7.4": "each type of key has a cryptoperiod, and is changed at its end",
    "3.7.5": "keys are retired, replaced or destroyed at their end; retired keys are not used",
    "3.7.6": "manual operations with cleartext keys need split knowledge and dual control",
    "3.7.7": "keys are not substituted without authorisation",
    "4.2.1": "only trusted certificates are accepted: valid, not expired, not revoked, strong",
    "4.2.1.1": "an inventory of trusted keys and certificates is maintained",
    "8.2.2": "authentication factors are not shared",
    "10.2.1.5": "changes to credentials are logged",
    "10.2.1.7": "creation and deletion of system objects is logged",
    "10.2.2": "a log line tells who, what, when, with which result, where, and what was affected",
    "10.3.3": "logs are backed up promptly to another place that is hard to alter",
    "10.3.4": "changes to existing logs are detected",
    "10.7.2": "failures of critical security controls are detected and reported promptly",
    "11.5.2": "changes to critical files are detected by comparison at least weekly",
}
REQUIREMENTS = tuple(Requirement(number, asks, number in _LITERAL) for number, asks in _ASKS.items())
# Asked of the same people in the same meeting, and not to be read into this page.
NOT_SHOWN_HERE: tuple[tuple[str, str], ...] = (
    ("2.2.7", "encrypted administration: an audit of the hops shows it"),
    ("3.7.8", "custodians acknowledge their duties: a record of people, kept outside this machine"),
    ("8.3.2", "factors unreadable in transmission and storage: an audit of the hops shows the first half"),
    ("10.4.1.1", "automated review of logs: whoever collects them"),
    ("10.5.1", "twelve months of logs, three of them at hand: whoever keeps the backups"),
    ("12.3.3", "protocols and cipher suites in use: an audit of the hops lists them"),
    ("12.10.1", "an incident response plan: a document"),
)

_EVIDENCE: dict[Fact, tuple[str, ...]] = {
    Fact.LISTED: ("4.2.1.1",),
    Fact.VALIDITY: ("4.2.1", "4.2.1.1"),
    Fact.ISSUER: ("4.2.1", "4.2.1.1"),
    Fact.STRENGTH: ("3.6.1.1", "3.7.1", "4.2.1"),
    Fact.CRYPTOPERIOD: ("3.6.1.1", "3.7.4"),
    Fact.HOLDER: ("3.6.1", "3.7.3"),
    Fact.CUSTODY: ("3.6.1", "3.6.1.2", "3.7.3"),
    Fact.SHARED_CUSTODY: ("3.6.1.2", "3.6.1.3", "3.7.6"),
    Fact.RETIRED: ("3.7.5",),
    Fact.REVOKED: ("3.7.5", "4.2.1"),
    Fact.UNSHARED: ("8.2.2",),
    Fact.RECORDED: ("10.2.1.5", "10.2.1.7", "10.2.2"),
    Fact.POLICY: ("3.7.7",),
    Fact.CHAIN: ("10.3.4",),
    Fact.HEAD: ("10.3.3",),
    Fact.SUBSTITUTION: ("3.7.7", "11.5.2"),
    Fact.WIRE: ("4.2.1.1",),
    Fact.ROTATIONS: ("3.7.4", "3.7.5", "10.2.1.5"),
    Fact.VERDICT: ("3.7.4", "10.7.2"),
}


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long one kind of thing lives, when it is replaced, and how long it is to be kept afterwards."""

    kind: str
    lives: str
    due: str
    kept: str


def keeping() -> tuple[Keeping, ...]:
    """Return the cryptoperiods in force, from the profiles, and what the policy says to keep afterwards."""
    return (
        Keeping(
            "root", _days(ROOT.lifetime.days), f"{ROOT.renew_after.days} days",
            "certificate for ever; private key destroyed after its final revocation list",
        ),
        Keeping(
            "intermediate", _days(INTERMEDIATE.lifetime.days), f"{INTERMEDIATE.renew_after.days} days",
            "key destroyed once its last leaf has expired; certificate and revocation list 24 months",
        ),
        Keeping(
            "leaf", _days(LEAF.lifetime.days), f"{LEAF.renew_after.total_seconds() / 86400:g} days",
            "key until its successor is confirmed; certificate and record 13 months",
        ),
        Keeping("revocation list", "as signed", "before its end", "the last one of each CA"),
        Keeping("issuance record", "-", "-", "13 months, anchored off this host (10.5.1 asks for 12)"),
    )  # fmt: skip


def evidence_for(facts: Iterable[Fact]) -> tuple[str, ...]:
    """Return the numbers of all requirements that any of these facts is evidence for, in order."""
    return in_order(number for fact in facts for number in _EVIDENCE[fact])


def in_order(numbers: Iterable[str]) -> tuple[str, ...]:
    """Return requirement numbers in the standard's order, each once."""
    return tuple(sorted(set(numbers), key=lambda number: [int(part) for part in number.split(".")]))


def facts_for(number: str) -> tuple[Fact, ...]:
    """Return the kinds of facts that are evidence for one requirement, in the order of `Fact`."""
    return tuple(fact for fact in Fact if number in _EVIDENCE[fact])


def _days(days: int) -> str:
    years = days / 365
    return f"{years:g} years" if years >= 1 and years.is_integer() else f"{days} days"
