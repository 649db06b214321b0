"""Lines become issued, revoked, rotated; what old lines lack is unknown, and broken ledgers say nothing."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki.ledger import GENESIS, LedgerHead, _canonical
from pki.ledger_history import read_history
from tests.unit.pki.written_ledger import NOW, POLICY, WrittenLedger, begun_ledger, leaf, serial

LEAF = leaf("gateway", 7)


def test_an_issued_certificate_carries_intent_and_result() -> None:
    ledger = begun_ledger().sign_leaf(LEAF, NOW, policy=POLICY, command="issue gateway")
    entry = read_history(ledger.lines).issued[serial(LEAF)]

    assert ("leaf", "spiffe://countermark.internal/gateway") == (entry.role, entry.subject)
    assert (NOW, POLICY, "issue gateway", "uid 0") == (entry.issued, entry.policy, entry.command, entry.actor)
    assert LEAF.not_valid_after_utc == entry.not_after
    assert 6 == entry.line


def test_lines_from_before_policy_and_command_are_unknown() -> None:
    lines, previous = [], GENESIS
    for seq, event in enumerate(("intent", "issued"), start=1):
        entry = {
            "seq": seq,
            "prev": previous,
            "ts": NOW.isoformat(),
            "actor": "uid 0",
            "event": event,
            "serial": "ab",
        }
        previous = hashlib.sha256(_canonical(entry).encode()).hexdigest()
        lines.append(_canonical({**entry, "hash": previous}))
    found = read_history(lines).issued["ab"]

    assert (None, None, None, "uid 0") == (found.policy, found.command, found.role, found.actor)


def test_an_interrupted_issuance_issued_nothing() -> None:
    ledger = begun_ledger().sign_leaf(LEAF)
    ledger.lines.pop()
    history = read_history(ledger.lines)

    assert serial(LEAF) not in history.issued
    assert (5,) == history.unfinished


def test_a_revocation_has_its_time_and_reason() -> None:
    ledger = begun_ledger().sign_leaf(LEAF)
    ledger.add("revoked", NOW + timedelta(hours=1), serial=serial(LEAF), subject="x", reason="key-compromise")
    revoked = read_history(ledger.lines).revoked[serial(LEAF)]

    assert (NOW + timedelta(hours=1), "key-compromise") == (revoked.at, revoked.reason)


def test_a_rotation_has_its_stages_and_its_end() -> None:
    ledger = begun_ledger()
    ledger.add("rotation-began", NOW, kind="root", command="rotate root")
    ledger.add("rotation-stage", NOW + timedelta(seconds=5), kind="root", stage="trust-both")
    ledger.add("rotation-reverted", NOW + timedelta(seconds=9), kind="root")
    ledger.add("rotation-ended", NOW + timedelta(seconds=60), kind="root", outcome="rolled-back")
    ledger.add("rotation-began", NOW + timedelta(seconds=90), kind="root")
    done, open_one = read_history(ledger.lines).rotations

    assert (NOW, NOW + timedelta(seconds=60)) == (done.began, done.ended)
    assert ["trust-both", "turned back"] == [stage for stage, _ in done.stages]
    assert (NOW + timedelta(seconds=5), "rolled-back") == (done.stages[0][1], done.outcome)
    assert (None, ()) == (open_one.ended, open_one.stages)


def test_a_stage_without_a_beginning_is_left_out() -> None:
    assert () == read_history(begun_ledger().add("rotation-stage", kind="leaf", stage="x").lines).rotations


def test_a_revocation_that_is_recorded_twice_counts_from_the_first() -> None:
    ledger = begun_ledger().sign_leaf(LEAF)
    for hours in (1, 2):
        at = NOW + timedelta(hours=hours)
        ledger.add("revoked", at, serial=serial(LEAF), subject="x", reason=f"reason {hours}")

    assert "reason 1" == read_history(ledger.lines).revoked[serial(LEAF)].reason


def test_nothing_is_taken_from_a_broken_ledger() -> None:
    lines = begun_ledger().sign_leaf(LEAF).lines
    lines[2] = lines[2].replace("intermediate", "intermediatf")
    history = read_history(lines)

    assert history.fault is not None
    assert "line 3" in history.fault
    assert ({}, LedgerHead()) == (history.issued, history.head)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_none_is_unknown(text: str) -> None:
    ledger = WrittenLedger().add("intent", serial="ab", not_after=text).add("issued", serial="ab")

    assert None is read_history(ledger.lines).issued["ab"].not_after


_EVENTS = st.sampled_from(
    ["intent", "issued", "revoked", "rotation-began", "rotation-stage", "crl", "key-destroyed"]
)
_NAMES = st.sampled_from(
    ["serial", "role", "subject", "kind", "stage", "not_after", "authority", "policy", "reason"]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(_EVENTS, st.dictionaries(_NAMES, st.text(max_size=20) | st.integers())), max_size=8)
)
def test_any_ledger_that_verifies_can_be_read(events: list[tuple[str, dict[str, str | int]]]) -> None:
    ledger = WrittenLedger()
    for event, fields in events:
        ledger.add(event, NOW, **fields)
    history = read_history(ledger.lines)

    assert history.fault is not None or history.head.seq == len(events)
    assert all(
        json.loads(ledger.lines[entry.line - 1])["event"] == "issued" for entry in history.issued.values()
    )
