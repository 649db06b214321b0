"""`pki status`, `inventory` and `ledger verify`: what compliance people read; nothing is changed."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pki import report
from pki.anchored_head import (
    compare_with_anchor,
    comparison_fields,
    comparison_sentence,
    require_kept,
)
from pki.anchoring import HeadRecord, remembered_head
from pki.certificate_files import CertificateTree
from pki.commands.session import EXIT_CODES, certs_option, deployment_option, json_option
from pki.consumers.contract import Expectation
from pki.consumers.deployment import read_deployment
from pki.consumers.observed import served_serials
from pki.consumers.running_fleet import RunningFleet
from pki.errors import PKIError
from pki.exposure import require_private
from pki.inventory import require_state, take_inventory
from pki.inventory_findings import inventory_findings
from pki.inventory_printing import inventory_fields, print_inventory
from pki.inventory_reading import read_material
from pki.inventory_report import inventory_rows
from pki.ledger import split_lines, verify_ledger
from pki.rotation.confirming import present_uses
from pki.status import Level, StatusLine, judge, worst
from pki.status_page import status_page

if TYPE_CHECKING:
    from pki.anchored_head import AnchorComparison, AnchoredHead
    from pki.consumers.deployment import Deployment
    from pki.ledger import VerifiedLedger


@click.command(epilog=EXIT_CODES)
@certs_option
@json_option
@deployment_option
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write one self-contained page, with every certificate's life over time.",
)
@click.pass_context
def status(
    ctx: click.Context, *, certs: Path, as_json: bool, deployment: Path | None, html_file: Path | None
) -> None:
    """Show what there is, how long it lives, and what to do; with --deployment also what is in use."""
    now = datetime.now(UTC)
    require_private(certs)
    tree = CertificateTree(certs)
    inventory = take_inventory(tree)
    running = read_deployment(deployment) if deployment is not None else None
    lines = judge(inventory, now) + (_consumer_lines(tree, running) if running is not None else [])
    level = worst(lines)
    if html_file is not None:
        _write_page(tree, running, lines, now, html_file)
    if as_json:
        document: dict[str, Any] = {
            "trust_domain": inventory.trust_domain,
            "level": level.name.lower(),
            "lines": [report.status_fields(line) for line in lines],
        }
        report.print_json(document | ({"page": str(html_file)} if html_file is not None else {}))
    else:
        report.print_status(lines)
    ctx.exit(level)


def _consumer_lines(tree: CertificateTree, running: Deployment) -> list[StatusLine]:
    uses = present_uses(tree, tree.live_names())
    faults = RunningFleet(running, tree.root).unconfirmed(Expectation(uses))
    lines = []
    for name in sorted({fault.name for fault in faults}):
        reasons = [f"{fault.place}: {fault.reason}" for fault in faults if fault.name == name]
        advice = f"{'; '.join(reasons)}: run `python -m pki renew {name}`"
        lines.append(StatusLine("consumers", name, Level.CRITICAL, None, None, advice))
    seen = len(uses.keys() - {fault.name for fault in faults})
    what = f"{seen} of {len(uses)} were seen to use what is in force"
    return [StatusLine("consumers", what, Level.FINE, None, None, ""), *lines]


def _write_page(
    tree: CertificateTree, running: Deployment | None, lines: list[StatusLine], now: datetime, file: Path
) -> None:
    wire = served_serials(running, tree.root) if running is not None else None
    material = read_material(tree)
    rows = inventory_rows(material, now, wire)
    page = status_page(
        trust_domain=material.trust_domain,
        lines=lines,
        rows=rows,
        findings=inventory_findings(rows, material.history, now, wire),
        history=material.history,
        now=now,
    )
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        aside.write_text(page, encoding="utf-8")
        os.replace(aside, file)  # noqa: PTH105 - the reader of an open page keeps what it has
    except OSError:
        aside.unlink(missing_ok=True)
        raise


@click.command(epilog=EXIT_CODES)
@certs_option
@json_option
@deployment_option
@click.option("--all", "everything", is_flag=True, help="Also what is past and on the ledger alone.")
@click.pass_context
def inventory(
    ctx: click.Context, *, certs: Path, as_json: bool, deployment: Path | None, everything: bool
) -> None:
    """List every certificate: issuer, end, holder, last rotation, and what it is evidence for."""
    now = datetime.now(UTC)
    require_private(certs)
    tree = CertificateTree(certs)
    running = read_deployment(deployment) if deployment is not None else None
    wire = served_serials(running, certs) if running is not None else None
    material = read_material(tree)
    rows = inventory_rows(material, now, wire)
    findings = inventory_findings(rows, material.history, now, wire)
    if as_json:
        report.print_json(inventory_fields(rows, findings, material.history))
    else:
        print_inventory(rows, findings, everything=everything)
    ctx.exit(max((finding.level for finding in findings), default=Level.FINE))


@click.command(epilog=EXIT_CODES)
@certs_option
@json_option
@deployment_option
@click.pass_context
def verify(ctx: click.Context, *, certs: Path, as_json: bool, deployment: Path | None) -> None:
    """Follow the ledger's chain and print its head; with --deployment, find every anchored line in it."""
    tree = CertificateTree(certs)
    require_state(tree)
    # What cannot be asked is an error, and says nothing about the ledger.
    anchored = None if deployment is None else HeadRecord(read_deployment(deployment), certs).heads()
    lines, torn = split_lines(tree.read_ledger())
    try:
        found = verify_ledger(lines)
        compared = _compared(tree, found, anchored)
    except PKIError as fault:
        if as_json:
            report.print_json({"verified": False, "reason": str(fault)})
        else:
            click.echo(f"the ledger does not verify: {fault}; keep the file as evidence", err=True)
        ctx.exit(Level.CRITICAL)
    unanchored = anchored is not None and compared is None
    if as_json:
        report.print_json(
            {
                "verified": True,
                "lines": found.head.seq,
                "head": found.head.digest,
                "unfinished": list(found.unfinished),
                "torn_bytes": len(torn),
                "anchor": None if compared is None else comparison_fields(compared),
            }
        )
    else:
        print(f"{found.head.seq} lines follow one another; head {found.head.digest}")
        for number in found.unfinished:
            print(f"line {number} is an intent without a result: the command was interrupted there")
        if torn:
            print(f"{len(torn)} bytes after the last line are the torn end of a crashed write")
        if compared is not None:
            print(comparison_sentence(compared, asked=anchored is not None))
        if unanchored:
            click.echo("no line is anchored in the evidence log: the end could be cut off unseen", err=True)
    ctx.exit(Level.DUE if unanchored else Level.FINE)


def _compared(
    tree: CertificateTree, ledger: VerifiedLedger, anchored: list[AnchoredHead] | None
) -> AnchorComparison | None:
    """Compare with what the log holds, or, where it was not asked, with what the tree remembers of it."""
    remembered = remembered_head(tree)
    known = [] if remembered is None else [remembered]
    compared = compare_with_anchor(ledger, known if anchored is None else anchored)
    if anchored is not None:
        require_kept(remembered, anchored)
    return compared
