"""`python -m pki`: the operators' commands, a thin layer over `authority`, `inventory` and `status`.

Every refusal is one sentence that says what to do; `--json` prints one document on standard output.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pki import authority, report
from pki.certificate_files import CertificateTree
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.errors import PKIError
from pki.exposure import require_private
from pki.identity import TRUST_DOMAIN_DEFAULT
from pki.inventory import present_owners, require_state, take_inventory
from pki.ledger import split_lines, verify_ledger
from pki.mesh_file import declared_workloads
from pki.passphrase import read_passphrase
from pki.status import Level, judge, worst

_EXIT_CODES = """\b
Exit codes:
  0  fine
  1  error: nothing, or not everything, was done
  2  usage
  3  something is due
  4  something is critical: expired, about to, broken, or the ledger does not verify
"""


class RefusingGroup(click.Group):
    """Turns this package's refusals into one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - the type that click declares
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PKIError as fault:
            raise click.ClickException(f"{fault} [{fault.code}]") from fault
        except OSError as fault:
            raise click.ClickException(f"{fault.filename or 'a file'}: {fault.strerror or fault}") from fault


_certs = click.option(
    "--certs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("certs"),
    show_default=True,
    help="The certificate tree.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_dry_run = click.option("--dry-run", is_flag=True, help="Print the plan and sign nothing.")
_passphrase = click.option(
    "--passphrase-fd",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read the passphrase from this open file descriptor; without it, prompt.",
)


@click.group(cls=RefusingGroup, epilog=_EXIT_CODES)
def main() -> None:
    """Certificates of the mesh: make the authority, issue leaves, see what is due."""


@main.command(epilog=_EXIT_CODES)
@_certs
@_json
@_dry_run
@_passphrase
@click.option("--trust-domain", default=TRUST_DOMAIN_DEFAULT, show_default=True)
def init(*, certs: Path, as_json: bool, dry_run: bool, passphrase_fd: int | None, trust_domain: str) -> None:
    """Make the root and the intermediate, sealed under a passphrase."""
    now = datetime.now(UTC)
    plans = authority.plan_authority(certs, trust_domain=trust_domain, now=now)
    if not dry_run:
        keeper = PassphraseKeeper(read_passphrase(passphrase_fd, confirm=True))
        authority.initialise(certs, trust_domain=trust_domain, root=keeper, issuing=keeper, now=now)
    if as_json:
        report.print_json({"dry_run": dry_run, "signed": [report.plan_fields(plan) for plan in plans]})
    elif dry_run:
        report.print_plans(plans)
    else:
        print(f"{certs} is now the authority of {trust_domain}: issue leaves with `python -m pki issue NAME`")


@main.command(epilog=_EXIT_CODES)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--mesh",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Issue to every workload that this file declares.",
)
@click.option("--due", is_flag=True, help="Only those that are due; if none is, no passphrase is asked for.")
@_certs
@_json
@_dry_run
@_passphrase
def issue(
    *,
    names: tuple[str, ...],
    mesh: Path | None,
    due: bool,
    certs: Path,
    as_json: bool,
    dry_run: bool,
    passphrase_fd: int | None,
) -> None:
    """Issue a new leaf, with a new key, to each workload."""
    if bool(names) == (mesh is not None):
        raise click.UsageError("name workloads, or give --mesh, and not both")
    now = datetime.now(UTC)
    require_private(certs)
    wanted = list(names) if mesh is None else declared_workloads(mesh)
    if due:
        wanted = authority.leaves_due(certs, wanted, now)
    plans = authority.plan_leaves(certs, wanted, now)
    if dry_run:
        if as_json:
            report.print_json({"dry_run": True, "signed": [report.plan_fields(plan) for plan in plans]})
        else:
            report.print_plans(plans)
        return
    issued = []
    if wanted:
        keeper = PassphraseKeeper(read_passphrase(passphrase_fd, confirm=False))
        opened = authority.IssuingAuthority.open(certs, keeper)
        # A renewal by hand keeps the account that the launcher gave each key to.
        issued = opened.issue(wanted, owners=present_owners(CertificateTree(certs), wanted), now=now)
    if as_json:
        report.print_json({"dry_run": False, "signed": [report.leaf_fields(leaf) for leaf in issued]})
        return
    for leaf in issued:
        print(f"issued  {leaf.identity}  {leaf.generation.name}  until {report.moment(leaf.not_after)}")


@main.command(epilog=_EXIT_CODES)
@_certs
@_json
@click.pass_context
def status(ctx: click.Context, *, certs: Path, as_json: bool) -> None:
    """Show what there is, how long it lives, and what to do."""
    require_private(certs)
    inventory = take_inventory(CertificateTree(certs))
    lines = judge(inventory, datetime.now(UTC))
    level = worst(lines)
    if as_json:
        report.print_json(
            {
                "trust_domain": inventory.trust_domain,
                "level": level.name.lower(),
                "lines": [report.status_fields(line) for line in lines],
            }
        )
    else:
        report.print_status(lines)
    ctx.exit(level)


@main.group(cls=RefusingGroup, epilog=_EXIT_CODES)
def ledger() -> None:
    """Look at the record of every signature."""


@ledger.command(epilog=_EXIT_CODES)
@_certs
@_json
@click.pass_context
def verify(ctx: click.Context, *, certs: Path, as_json: bool) -> None:
    """Follow the ledger's chain and print its head; keep the head where this machine cannot write."""
    tree = CertificateTree(certs)
    require_state(tree)
    lines, torn = split_lines(tree.read_ledger())
    try:
        found = verify_ledger(lines)
    except PKIError as fault:
        if as_json:
            report.print_json({"verified": False, "reason": str(fault)})
        else:
            click.echo(f"the ledger does not verify: {fault}; keep the file as evidence", err=True)
        ctx.exit(Level.CRITICAL)
    if as_json:
        report.print_json(
            {
                "verified": True,
                "lines": found.head.seq,
                "head": found.head.digest,
                "unfinished": list(found.unfinished),
                "torn_bytes": len(torn),
            }
        )
        return
    print(f"{found.head.seq} lines follow one another; head {found.head.digest}")
    for number in found.unfinished:
        print(f"line {number} is an intent without a result: the command was interrupted there")
    if torn:
        print(f"{len(torn)} bytes after the last line are the torn end of a crashed write")
