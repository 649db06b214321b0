"""What a witness does with a checkpoint that it is shown (pure).

It cosigns what the log signed and what provably continues the last thing it cosigned, and nothing else: so
nobody can be shown a history that others are not. Source: C2SP tlog-witness v1.0.0, "add-checkpoint".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from signing.evidence.checkpoint import parse_add_checkpoint_request, parse_checkpoint_body
from signing.evidence.errors import ConsistencyInvalid, EvidenceRefused
from signing.evidence.note import Note, parse_note, verify_log_signature
from signing.evidence.tree import verify_consistency
from signing.evidence.trust import NamedKey


@dataclass(frozen=True, slots=True)
class Seen:
    """The last checkpoint of a log that was cosigned: its size and root."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Cosign:
    """Remember this, durably, then sign the checkpoint's text."""

    origin: str
    before: Seen | None
    seen: Seen
    body: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this status; with 409 goes the size that is remembered."""

    status: HTTPStatus
    size: int = 0


def origin_of(request: bytes) -> str | None:
    """Return whose checkpoint a request shows, not verified yet; None if it is malformed."""
    try:
        return parse_checkpoint_body(parse_note(parse_add_checkpoint_request(request).note).body).origin
    except EvidenceRefused:
        return None


def judge(request: bytes, logs: Sequence[NamedKey], seen: Seen | None) -> Cosign | Refuse:
    """Decide about one request.

    Args:
        request: The body as received.
        logs: The logs that this witness follows, with their keys.
        seen: What is remembered of the log that `origin_of` names.
    """
    try:
        asked = parse_add_checkpoint_request(request)
        note = parse_note(asked.note)
        checkpoint = parse_checkpoint_body(note.body)
    except EvidenceRefused:
        return Refuse(HTTPStatus.BAD_REQUEST)
    followed = [log for log in logs if log.name == checkpoint.origin]
    if not followed:
        return Refuse(HTTPStatus.NOT_FOUND)
    if not any(_signed(note, log) for log in followed):
        return Refuse(HTTPStatus.FORBIDDEN)
    known = seen.size if seen is not None else 0
    if asked.old_size > checkpoint.size:
        return Refuse(HTTPStatus.BAD_REQUEST)
    if asked.old_size != known:
        return Refuse(HTTPStatus.CONFLICT, known)
    if seen is not None:
        if checkpoint.size == seen.size and checkpoint.root != seen.root:
            # Two trees of one size: the log has told two stories.
            return Refuse(HTTPStatus.CONFLICT, known)
        try:
            verify_consistency(seen.size, seen.root, checkpoint.size, checkpoint.root, asked.path)
        except ConsistencyInvalid:
            return Refuse(HTTPStatus.UNPROCESSABLE_ENTITY)
    elif asked.path:
        return Refuse(HTTPStatus.UNPROCESSABLE_ENTITY)
    return Cosign(checkpoint.origin, seen, Seen(checkpoint.size, checkpoint.root), note.body)


def _signed(note: Note, log: NamedKey) -> bool:
    try:
        verify_log_signature(note, log.name, log.key)
    except EvidenceRefused:
        return False
    return True
