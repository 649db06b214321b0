"""From a real tree: every certificate is in the inventory and on the page, and tampering is a finding."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pki.authority import IssuingAuthority
from pki.certificate_files import CertificateTree
from pki.errors import NotInitialised
from pki.inventory import take_inventory
from pki.inventory_findings import InventoryFinding, inventory_findings
from pki.inventory_printing import inventory_fields, inventory_lines
from pki.inventory_reading import InventoryMaterial, read_material
from pki.inventory_report import InventoryRow, inventory_rows
from pki.recorded_signing import RecordedSigning
from pki.status import judge
from pki.status_page import status_page

Make = Callable[..., IssuingAuthority]
NAMES = ("edge", "gateway", "gateway-sidecar", "postgres")


def read(certs: Path) -> tuple[InventoryMaterial, list[InventoryRow], list[InventoryFinding]]:
    now = datetime.now(UTC)
    found = read_material(CertificateTree(certs))
    rows = inventory_rows(found, now)
    return found, rows, inventory_findings(rows, found.history, now)


@pytest.fixture
def certs(tmp_path: Path, make_authority: Make) -> Path:
    """Return a tree of four workloads; one was renewed twice: the ledger alone knows its first leaf."""
    folder = tmp_path / "certs"
    authority = make_authority(folder, *NAMES)
    for _ in range(2):
        authority.issue(["gateway"], owners={}, now=datetime.now(UTC))
    return folder


def test_every_signature_of_the_ledger_is_a_row_and_nothing_is_wrong(certs: Path) -> None:
    found, rows, findings = read(certs)

    assert set(found.history.issued) == {row.serial for row in rows}
    assert ["root", "intermediate", *["leaf"] * 6] == [row.role for row in rows]
    assert ["current", "previous", "superseded"] == [row.state for row in rows if row.subject == "gateway"]
    assert [] == findings


def test_rows_tell_holder_custody_issuer_and_rotation(certs: Path) -> None:
    _, rows, _ = read(certs)
    by_subject = {row.subject: row for row in rows if row.state in ("trusted", "issuing", "current")}
    key = by_subject["edge"].key
    issuer = next(row.subject for row in rows if row.state == "issuing")

    assert key is not None
    assert (os.getuid(), 0o600) == (key.uid, key.mode)
    assert {issuer} == {row.issuer for row in rows if row.role == "leaf"}
    assert {"passphrase"} == {row.custody for row in rows if row.role != "leaf"}
    assert all(row.rotated is not None and row.recorded for row in rows)
    assert all("4.2.1.1" in row.requirements for row in rows)


def test_the_page_parses_and_holds_every_serial(certs: Path) -> None:
    class Words(HTMLParser):
        found = ""

        def handle_data(self, data: str) -> None:
            self.found += data

    material, rows, findings = read(certs)
    now = datetime.now(UTC)
    page = status_page(
        trust_domain=material.trust_domain,
        lines=judge(take_inventory(CertificateTree(certs)), now),
        rows=rows,
        findings=findings,
        history=material.history,
        now=now,
    )
    words = Words()
    words.feed(page)

    assert 8 == len(material.history.issued)
    assert all(serial in words.found for serial in material.history.issued)
    assert all(serial in "".join(ET.fromstring(page).itertext()) for serial in material.history.issued)
    assert material.history.head.digest in words.found


def test_a_leaf_of_another_authority_is_found_twice_over(
    certs: Path, tmp_path: Path, make_authority: Make
) -> None:
    make_authority(tmp_path / "other", "gateway", age=timedelta(seconds=1))
    current = CertificateTree(certs).current("gateway")
    assert current is not None
    for name in ("cert.pem", "key.pem"):
        shutil.copy(tmp_path / "other/live/gateway/gen-0001" / name, current / name)
    _, _, findings = read(certs)

    assert ["not-in-ledger", "issuer-unknown"] == [finding.code for finding in findings]


def test_lines_cut_off_the_ledger_show(certs: Path) -> None:
    ledger = certs / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-2]))
    _, rows, findings = read(certs)

    assert ["not-in-ledger"] == [finding.code for finding in findings]
    assert {"gateway"} == {row.subject for row in rows if row.recorded is False}


def test_an_altered_ledger_makes_everything_unknown_and_is_the_finding(certs: Path) -> None:
    ledger = certs / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"role":"leaf"', b'"role":"leav"', 1))
    found, rows, findings = read(certs)

    assert ["ledger-broken"] == [finding.code for finding in findings]
    assert {None} == {row.recorded for row in rows}
    fields = inventory_fields(rows, findings, found.history)
    assert {"unknown"} == {entry["revoked"] for entry in fields["certificates"]}


def test_revocations_and_destroyed_keys_come_from_the_ledger(certs: Path) -> None:
    tree = CertificateTree(certs)
    _, rows, _ = read(certs)
    edge = next(row for row in rows if row.subject == "edge")
    root = next(row for row in rows if row.role == "root")
    assert edge.serial is not None
    assert root.subject is not None
    signing = RecordedSigning(tree, datetime.now(UTC))
    signing.record("revoked", {"serial": edge.serial, "subject": "edge", "reason": "key-compromise"})
    signing.record("key-destroyed", {"authority": root.subject})
    (certs / "ca" / root.subject / "key.sealed").unlink()
    _, rows, findings = read(certs)

    assert ["revoked-in-use"] == [finding.code for finding in findings]
    assert "destroyed" == next(row.custody for row in rows if row.role == "root")
    assert any("key-compromise" in line for line in inventory_lines(rows, findings, everything=True))


def test_a_damaged_generation_is_listed_and_found(certs: Path) -> None:
    (certs / "live/edge/gen-0001/cert.pem").write_text("not a certificate")
    (certs / "live/postgres/gen-0001/cert.pem").unlink()
    _, rows, findings = read(certs)

    assert ["edge", "postgres"] == [finding.subject for finding in findings if finding.code == "unreadable"]
    assert 2 == sum(row.serial is None for row in rows)


def test_a_generation_that_was_removed_is_known_from_the_ledger(certs: Path) -> None:
    shutil.rmtree(certs / "live/gateway/gen-0002")
    _, rows, findings = read(certs)

    assert ["current", "superseded", "superseded"] == [row.state for row in rows if row.subject == "gateway"]
    assert [] == findings


def test_without_an_authority_there_is_no_inventory(tmp_path: Path) -> None:
    with pytest.raises(NotInitialised):
        read_material(CertificateTree(tmp_path))
