"""What happened to the authority, as events for people's dashboards: read from new lines of the ledger. Pure.

So an operator's rotation is told like the daemon's own renewal, and nothing is told that is not on record.
Probes are left out: they live for minutes, and a look issues dozens. No event holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Entry = Mapping[str, str | int]

NAMESPACE: Final = "countermark.pki"
_ROTATIONS: Final = {
    "rotation-began": "rotation_began",
    "rotation-stage": "rotation_stage",
    "rotation-reverted": "rotation_reverted",
    "rotation-ended": "rotation_ended",
}
# Fields of a rotation's lines that an event carries on.
_ROTATION_FIELDS: Final = (
    "kind", "stage", "from", "outcome", "workloads", "began",
    "old_issuer", "new_issuer", "old_root", "new_root",
)  # fmt: skip
_PROBE_SUBJECT: Final = "probe of "


@dataclass(frozen=True, slots=True)
class PKIEvent:
    """One event.

    Attributes:
        name: such as `countermark.pki.leaf_rotated`.
        at: of the ledger's line, UTC.
        attributes: flat; durations in seconds.
    """

    name: str
    at: datetime
    attributes: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Renewal:
    """How the daemon's own renewal of leaves ended: `confirmed` on the wire or `unconfirmed`, in seconds."""

    outcome: str
    duration_s: float


def events_after(entries: Sequence[Entry], seq: int, renewal: Renewal | None = None) -> list[PKIEvent]:
    """Return the events of all lines after one.

    Args:
        entries: the whole ledger, verified, oldest first.
        seq: number of the last line that was told.
        renewal: what the daemon knows of the leaves among them; None for others' lines.
    """
    return list(_events(entries, seq, renewal))


def _events(entries: Sequence[Entry], seq: int, renewal: Renewal | None) -> Iterator[PKIEvent]:
    intents: dict[str, Entry] = {}
    newest: dict[str, str] = {}
    for entry in entries:
        event, told = entry["event"], int(entry["seq"]) <= seq
        document = str(entry.get("serial") or entry.get("list") or "")
        if event == "intent":
            intents[document] = entry
        elif event in ("issued", "refused"):
            intent = intents.pop(document, {})
            if not told and (found := _signed(entry, intent, newest, renewal)) is not None:
                yield found
            if event == "issued" and intent.get("role") == "leaf":
                newest[str(intent["subject"])] = document
        elif told:
            continue
        elif event in _ROTATIONS:
            fields = {name: entry[name] for name in _ROTATION_FIELDS if name in entry}
            yield _event(_ROTATIONS[str(event)], entry, fields)
        elif event == "revoked" and not str(entry["subject"]).startswith(_PROBE_SUBJECT):
            fields = {
                name: entry[name] for name in ("serial", "subject", "issuer", "reason") if name in entry
            }
            yield _event("certificate_revoked", entry, fields)
        elif event == "key-destroyed" and "authority" in entry:
            yield _event("key_destroyed", entry, {"authority": entry["authority"]})


def _signed(
    entry: Entry, intent: Entry, newest: Mapping[str, str], renewal: Renewal | None
) -> PKIEvent | None:
    outcome: dict[str, str | int | float] = {"outcome": str(entry["event"])}
    if "reason" in entry:
        outcome["reason"] = entry["reason"]
    if "ts" in intent:
        begun, ended = (datetime.fromisoformat(str(line["ts"])) for line in (intent, entry))
        outcome["duration_s"] = (ended - begun) / timedelta(seconds=1)
    if "list" in entry:
        authority, _, number = str(entry["list"]).partition(" ")
        fields: dict[str, str | int | float] = {"authority": authority, "number": int(number)}
        return _event(
            "list_published",
            entry,
            fields | {name: intent[name] for name in ("entries", "next_update") if name in intent} | outcome,
        )
    role = intent.get("role")
    if role not in ("root", "intermediate", "leaf"):
        return None
    fields = {"serial": entry["serial"]}
    fields |= {name: intent[name] for name in ("not_before", "not_after") if name in intent}
    if role != "leaf":
        return _event("authority_made", entry, {"role": str(role), **fields, **outcome})
    subject = str(intent["subject"])
    if renewal is not None and entry["event"] == "issued":
        outcome |= {"outcome": renewal.outcome, "duration_s": renewal.duration_s}
    previous = {"previous_serial": newest[subject]} if subject in newest else {}
    return _event("leaf_rotated", entry, {"spiffe_id": subject, **fields, **previous, **outcome})


def _event(name: str, entry: Entry, attributes: Mapping[str, str | int | float]) -> PKIEvent:
    who = {f"ledger.{field}": entry[field] for field in ("seq", "actor", "command") if field in entry}
    return PKIEvent(f"{NAMESPACE}.{name}", datetime.fromisoformat(str(entry["ts"])), {**attributes, **who})
