"""The inventory holds every certificate once, says what it does not know, and names what disagrees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from pki.compliance import Fact
from pki.inventory_findings import InventoryFinding, inventory_findings
from pki.inventory_printing import inventory_fields, inventory_lines
from pki.inventory_reading import InventoryMaterial, KeyFile, describe_custody
from pki.inventory_report import InventoryRow, facts_of, inventory_rows
from pki.printable import printable
from pki.seal import ScryptCost, SealedSubject, seal
from pki.status import Level
from tests.unit.pki.written_ledger import (
    CA_ID,
    NOW,
    POLICY,
    ROOT,
    ROOT_ID,
    ROOT_PLAN,
    authority_material,
    begun_ledger,
    leaf,
    leaf_material,
    material,
    serial,
)

CHEAP = ScryptCost(n=2**14)
OLD = leaf("gateway", 7, age=timedelta(days=10))
LEAF = leaf("gateway", 8)
NEXT = leaf("gateway", 9)


def found(
    tree: InventoryMaterial, wire: Mapping[str, str] | None = None
) -> tuple[list[InventoryRow], list[InventoryFinding]]:
    rows = inventory_rows(tree, NOW, wire)
    return rows, inventory_findings(rows, tree.history, NOW, wire)


def healthy() -> InventoryMaterial:
    return material(begun_ledger().sign_leaf(LEAF, NOW, policy=POLICY), leaf_material(LEAF))


def test_a_healthy_tree_has_a_row_for_each_certificate_and_no_finding() -> None:
    rows, findings = found(healthy())

    assert [(ROOT_ID, "trusted"), (CA_ID, "issuing"), ("gateway", "current")] == [
        (row.subject, row.state) for row in rows
    ]
    assert [] == findings


def test_a_row_tells_issuer_holder_rotation_and_policy() -> None:
    row = found(healthy())[0][-1]

    assert (CA_ID, serial(LEAF), NOW, POLICY) == (row.issuer, row.serial, row.rotated, row.policy)
    assert "spiffe://countermark.internal/gateway" == row.spiffe_id
    assert (True, None, "live/gateway/gen-0001") == (row.recorded, row.revoked, row.place)


def test_a_root_is_its_own_issuer_and_its_custody_is_told() -> None:
    root = found(healthy())[0][0]

    assert (ROOT_ID, "shares, 2 of 3") == (root.issuer, root.custody)
    assert Fact.SHARED_CUSTODY in facts_of(root)


@pytest.mark.parametrize(
    ("state", "rest"), [("expired", [OLD, LEAF]), ("superseded", [NEXT, LEAF]), ("revoked", [NEXT, LEAF])]
)
def test_what_the_ledger_alone_knows_is_listed(state: str, rest: list[object]) -> None:
    ledger = begun_ledger()
    gone = OLD if rest[0] is OLD else NEXT
    ledger.sign_leaf(gone).sign_leaf(LEAF)
    if state == "revoked":
        ledger.add("revoked", serial=serial(gone), subject="gateway", reason="superseded")
    rows, findings = found(material(ledger, leaf_material(LEAF)))
    row = next(row for row in rows if row.serial == serial(gone))

    assert (state, None, CA_ID) == (row.state, row.place, row.issuer)
    assert [] == findings


def test_a_valid_certificate_that_lies_nowhere_says_so() -> None:
    rows, _ = found(material(begun_ledger().sign_leaf(LEAF)))

    assert "not on disk" == rows[-1].state
    assert any("in the ledger alone" in line for line in inventory_lines(rows, [], everything=False))


def test_a_certificate_on_disk_that_is_not_in_the_ledger_is_a_finding() -> None:
    finding = found(material(begun_ledger(), leaf_material(LEAF)))[1][0]

    assert ("not-in-ledger", Level.CRITICAL) == (finding.code, finding.level)
    assert {"4.2.1.1", "3.7.7"} == set(finding.requirements)


def test_with_a_broken_ledger_nothing_is_claimed_either_way() -> None:
    ledger = begun_ledger().sign_leaf(LEAF)
    ledger.lines.pop(1)
    rows, findings = found(material(ledger, leaf_material(LEAF)))
    fields = inventory_fields(rows, findings, material(ledger).history)["certificates"][-1]

    assert ["ledger-broken"] == [finding.code for finding in findings]
    assert {"unknown"} == {fields[name] for name in ("revoked", "in_ledger", "last_rotated", "policy")}


def test_another_certificate_under_a_recorded_serial_is_a_finding() -> None:
    other = leaf("gateway", 8, scalar=77)
    findings = found(material(begun_ledger().sign_leaf(LEAF), leaf_material(other)))[1]

    assert ["substituted"] == [finding.code for finding in findings]


def test_a_certificate_of_no_ca_here_is_a_finding() -> None:
    tree = material(begun_ledger().sign_leaf(LEAF), leaf_material(LEAF))
    findings = found(replace(tree, authorities=tree.authorities[1:]))[1]

    assert "issuer-unknown" in [finding.code for finding in findings]


def test_one_key_of_two_workloads_is_a_finding() -> None:
    twin = leaf("edge", 20, scalar=1008)
    tree = material(
        begun_ledger().sign_leaf(LEAF).sign_leaf(twin), leaf_material(LEAF), leaf_material(twin, "edge")
    )
    finding = found(tree)[1][0]

    assert ("shared-key", "edge, gateway", ("8.2.2",)) == (
        finding.code,
        finding.subject,
        finding.requirements,
    )


def test_an_expired_or_revoked_certificate_in_use_is_a_finding() -> None:
    ledger = begun_ledger().sign_leaf(OLD)
    ledger.add("revoked", serial=serial(OLD), subject="gateway", reason="key-compromise")
    findings = found(material(ledger, leaf_material(OLD)))[1]

    assert ["expired-in-use", "revoked-in-use"] == [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("mode", "codes"), [(0o640, []), (0o600, []), (0o644, ["key-exposed"]), (0o660, ["key-exposed"])]
)
def test_a_key_that_others_can_read_is_a_finding(mode: int, codes: list[str]) -> None:
    held = replace(leaf_material(LEAF), key=KeyFile(0, 0, mode, None, None))

    assert codes == [finding.code for finding in found(material(begun_ledger().sign_leaf(LEAF), held))[1]]


def test_a_retired_ca_keeps_its_key_only_while_something_below_it_is_valid() -> None:
    retired = authority_material(trusted=False, issuing=False)
    root = authority_material(ROOT_PLAN, ROOT, trusted=True, issuing=False)
    busy = InventoryMaterial(
        "x.y", (retired, root), (leaf_material(LEAF),), material(begun_ledger().sign_leaf(LEAF)).history
    )
    idle = replace(busy, leaves=(), history=material(begun_ledger()).history)

    assert [] == found(busy)[1]
    assert ["retired-key-present"] == [finding.code for finding in found(idle)[1]]
    assert "retired" == found(idle)[0][1].state


def test_a_destroyed_key_is_said_to_be_destroyed_only_where_the_ledger_says_so() -> None:
    retired = authority_material(key=None, trusted=False, issuing=False, custody=None)
    ledger = begun_ledger()
    before = InventoryMaterial("x.y", (retired,), (), material(ledger).history)
    after = replace(before, history=material(ledger.add("key-destroyed", authority=CA_ID)).history)

    assert ["not on this machine"] == [row.custody for row in found(before)[0] if row.place]
    assert ["destroyed"] == [row.custody for row in found(after)[0] if row.place]


def test_a_key_in_a_device_has_no_file_and_is_kept_all_the_same() -> None:
    device = authority_material(key=None, custody="PKCS#11 device")
    row = found(InventoryMaterial("x.y", (device,), (), material(begun_ledger()).history))[0][-1]

    assert ("issuing", "PKCS#11 device") == (row.state, row.custody)
    assert Fact.CUSTODY in facts_of(row)
    assert Fact.CUSTODY not in facts_of(replace(row, custody="destroyed"))


def test_what_is_on_the_wire_is_joined() -> None:
    seen = found(healthy(), {"gateway": serial(LEAF)})
    stale = found(
        material(begun_ledger().sign_leaf(OLD).sign_leaf(LEAF), leaf_material(LEAF)), {"gateway": serial(OLD)}
    )
    alien = found(healthy(), {"gateway": "abc"})

    assert (True, []) == (seen[0][-1].on_wire, seen[1])
    assert ["wire-stale"] == [finding.code for finding in stale[1]]
    assert ["wire-unknown"] == [finding.code for finding in alien[1]]
    assert None is found(healthy())[0][-1].on_wire


def test_a_generation_without_a_certificate_is_unknown_and_a_finding() -> None:
    rows, findings = found(material(begun_ledger(), leaf_material(None)))
    fields = inventory_fields(rows, findings, material(begun_ledger()).history)["certificates"][-1]

    assert ["unreadable"] == [finding.code for finding in findings]
    assert {"unknown"} == {fields[name] for name in ("serial", "issuer", "not_after", "spiffe_id", "on_wire")}


def test_print_leaves_out_the_past_and_counts_it() -> None:
    rows, _ = found(material(begun_ledger().sign_leaf(OLD).sign_leaf(LEAF), leaf_material(LEAF)))
    short, whole = (inventory_lines(rows, [], everything=choice) for choice in (False, True))

    assert any(line.startswith("and 1 probes and certificates of the past") for line in short)
    assert serial(OLD) not in "\n".join(short)
    assert serial(OLD) in "\n".join(whole)


def test_print_begins_with_the_scope_and_every_row_names_its_requirements() -> None:
    rows, findings = found(healthy())
    lines = inventory_lines(rows, findings, everything=False)

    assert lines[0].startswith("Evidence for PCI DSS 4.0.1")
    assert 3 == sum("evidence for  3." in line for line in lines)


def test_what_would_steer_a_terminal_is_not_printed() -> None:
    assert "a\N{REPLACEMENT CHARACTER}[31mb" == printable("a\x1b[31mb")


@pytest.mark.parametrize("envelope", [None, b"{", b"[]", b"{}", b'{"kdf": "rot13"}', b"{}" * 40_000])
def test_an_envelope_that_is_none_of_ours_says_nothing_of_custody(envelope: bytes | None) -> None:
    assert None is describe_custody(envelope)


def test_custody_is_read_off_the_envelope() -> None:
    subject = SealedSubject("root", "ab" * 32, NOW.isoformat())
    sealed = seal(b"key", b"a passphrase of the tests", subject, salt=bytes(32), nonce=bytes(12), cost=CHEAP)
    shared = {**json.loads(sealed), "kdf": "shares", "threshold": 2, "count": 3, "identifier": 7}
    for name in ("n", "r", "p", "salt"):
        del shared[name]

    assert "passphrase" in (describe_custody(sealed) or "")
    assert "2 of 3 shares" in (describe_custody(json.dumps(shared).encode()) or "")


def test_a_probe_is_no_workload_and_is_never_superseded() -> None:
    probe = leaf("gateway", 11)
    ledger = begun_ledger().sign_leaf(LEAF).sign(probe, "probe", "spiffe://countermark.internal/gateway")
    rows, findings = found(material(ledger, leaf_material(LEAF)))
    heading = inventory_lines(rows, findings, everything=True)

    assert ("probe", "gateway", "not on disk") == (rows[-1].role, rows[-1].subject, rows[-1].state)
    assert "current" == next(row.state for row in rows if row.serial == serial(LEAF))
    assert "probes" in heading
    assert "memory" in (rows[-1].custody or "")


def test_an_authority_that_was_discarded_is_retired() -> None:
    ledger = begun_ledger().add("authority-discarded", authority=CA_ID)
    row = found(material(ledger, authorities=0))[0][-1]

    assert (CA_ID, "retired", "destroyed") == (row.subject, row.state, row.custody)


def test_a_signature_without_a_policy_is_no_evidence_of_one() -> None:
    row = found(healthy())[0][-1]

    assert Fact.POLICY in facts_of(row)
    assert Fact.POLICY not in facts_of(replace(row, policy="none"))
