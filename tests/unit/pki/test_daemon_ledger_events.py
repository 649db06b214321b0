"""What new lines of the ledger are told as: leaves, lists, rotations and revocations, but no probes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pki.daemon.ledger_events import Renewal, events_after

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
GATEWAY = "spiffe://countermark.internal/gateway"

Lines = list[dict[str, str | int]]


def lines(*entries: dict[str, Any]) -> Lines:
    """Number the entries and give them times a second apart."""
    return [
        {
            "seq": number,
            "ts": (NOW + timedelta(seconds=number)).isoformat(),
            "actor": "uid 0",
            "command": "renew --due",
            **entry,
        }
        for number, entry in enumerate(entries, start=1)
    ]


def leaf(serial: str, role: str = "leaf", subject: str = GATEWAY) -> list[dict[str, Any]]:
    end = (NOW + timedelta(days=7)).isoformat()
    intent = {"event": "intent", "serial": serial, "role": role, "subject": subject, "not_after": end}
    return [intent, {"event": "issued", "serial": serial}]


def told(entries: Lines, seq: int = 0, renewal: Renewal | None = None) -> list[tuple[str, dict[str, Any]]]:
    return [
        (event.name.removeprefix("countermark.pki."), dict(event.attributes))
        for event in events_after(entries, seq, renewal)
    ]


def test_a_leaf_is_told_with_the_one_before_it() -> None:
    entries = lines(*leaf("aa"), *leaf("cc", subject="spiffe://countermark.internal/edge"), *leaf("bb"))
    ((name, found),) = told(entries, seq=4)

    assert ("leaf_rotated", GATEWAY) == (name, found["spiffe_id"])
    assert ("bb", "aa", "issued", 1.0) == tuple(
        found[field] for field in ("serial", "previous_serial", "outcome", "duration_s")
    )
    assert (6, "uid 0", "renew --due") == tuple(found[f"ledger.{f}"] for f in ("seq", "actor", "command"))
    assert "previous_serial" not in told(entries)[0][1]


def test_an_intent_that_was_told_before_still_belongs_to_its_result() -> None:
    ((_, found),) = told(lines(*leaf("aa")), seq=1)

    assert GATEWAY == found["spiffe_id"]


def test_the_daemons_own_renewal_says_whether_it_was_confirmed() -> None:
    ((_, found),) = told(lines(*leaf("aa")), renewal=Renewal("confirmed", 2.5))

    assert ("confirmed", 2.5) == (found["outcome"], found["duration_s"])


def test_a_refused_signature_is_told_with_its_reason() -> None:
    intent, _ = leaf("aa")
    refused = {"event": "refused", "serial": "aa", "reason": "profile"}
    ((_, found),) = told(lines(intent, refused), renewal=Renewal("confirmed", 2.5))

    assert ("refused", "profile") == (found["outcome"], found["reason"])


def test_probes_are_not_told() -> None:
    revoked = {"event": "revoked", "serial": "aa", "subject": "probe of edge", "issuer": "i", "reason": "r"}

    assert [] == told(lines(*leaf("aa", role="probe"), revoked))


def test_authorities_lists_rotations_and_revocations_are_told() -> None:
    entries = lines(
        *leaf("01", role="intermediate", subject="countermark.internal"),
        {"event": "intent", "list": "intermediate-20261125-00000000 7", "entries": 3},
        {"event": "issued", "list": "intermediate-20261125-00000000 7"},
        {"event": "rotation-began", "kind": "root", "workloads": 4},
        {"event": "rotation-stage", "kind": "root", "stage": "drain", "outcome": "confirmed"},
        {"event": "revoked", "serial": "aa", "subject": GATEWAY, "issuer": "i", "reason": "superseded"},
        {"event": "key-destroyed", "authority": "root-20251125-00000000"},
        {"event": "tail-discarded", "bytes": 3},
    )
    found = told(entries)
    names = [name for name, _ in found]

    assert ["authority_made", "list_published", "rotation_began", "rotation_stage"] == names[:4]
    assert ["certificate_revoked", "key_destroyed"] == names[4:]
    assert (7, 3) == (found[1][1]["number"], found[1][1]["entries"])
    assert ("root", "drain", "confirmed") == tuple(found[3][1][f] for f in ("kind", "stage", "outcome"))
