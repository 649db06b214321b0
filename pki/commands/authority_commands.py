"""`pki init`, `issue` and `renew`: the authority and its leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from pki import authority, report
from pki.commands.session import (
    EXIT_CODES,
    Session,
    dry_run_option,
    session_options,
)
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.exposure import require_private
from pki.identity import TRUST_DOMAIN_DEFAULT
from pki.inventory import require_state
from pki.issuance import CertificatePlan
from pki.mesh_file import declared_workloads
from pki.passphrase import read_passphrase
from pki.policy import check_against_mesh
from pki.policy_owners import policy_owners
from pki.rotation.maintenance import Maintenance
from pki.secret_input import RootOptions, dealing_root_keeper, root_options


@click.command(epilog=EXIT_CODES)
@session_options(consumers=False)
@root_options(opening=False, making=True)
@dry_run_option
@click.option("--trust-domain", default=TRUST_DOMAIN_DEFAULT, show_default=True)
def init(*, session: Session, root: RootOptions, dry_run: bool, trust_domain: str) -> None:
    """Make the root and the intermediate; the root sealed, in shares, or in a token."""
    now = datetime.now(UTC)
    plans = authority.plan_authority(session.certs, trust_domain=trust_domain, now=now)
    by = session.attribution()
    if not dry_run:
        passphrase = read_passphrase(session.passphrase_fd, confirm=True)
        authority.initialise(
            session.certs,
            trust_domain=trust_domain,
            root=dealing_root_keeper(root, now, passphrase=passphrase),
            issuing=PassphraseKeeper(passphrase),
            now=now,
            by=by,
        )
    if session.as_json:
        report.print_json({"dry_run": dry_run, "signed": [report.plan_fields(plan) for plan in plans]})
    elif dry_run:
        report.print_plans(plans)
    else:
        print(
            f"{session.certs} is now the authority of {trust_domain}: "
            "issue leaves with `python -m pki issue NAME`"
        )


@click.command(epilog=EXIT_CODES)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--mesh",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Issue to every workload that this file declares; the policy must fit it.",
)
@click.option("--due", is_flag=True, help="Only those that are due; if none is, no passphrase is asked for.")
@dry_run_option
@session_options(consumers=False)
def issue(*, names: tuple[str, ...], mesh: Path | None, due: bool, dry_run: bool, session: Session) -> None:
    """Issue a new leaf, with a new key, to each workload; consumers are not looked at (see renew)."""
    if bool(names) == (mesh is not None):
        raise click.UsageError("name workloads, or give --mesh, and not both")
    now = datetime.now(UTC)
    require_private(session.certs)
    require_state(session.tree)
    policy = session.policy()
    wanted = list(names)
    if mesh is not None:
        check_against_mesh(policy, mesh)
        wanted = declared_workloads(mesh)
    owners = policy_owners(policy, session.tree, list(dict.fromkeys(wanted)))
    if due:
        wanted = authority.leaves_due(session.certs, wanted, now)
    plans = authority.plan_leaves(session.certs, wanted, now)
    if dry_run:
        _show_plans(session, plans)
        return
    issued: list[authority.IssuedLeaf] = []
    if wanted:
        keeper = PassphraseKeeper(session.passphrase())
        opened = authority.IssuingAuthority.open(session.certs, keeper)
        issued = opened.issue(wanted, owners=owners, now=now, by=session.attribution())
    _show_issued(session, issued)


@click.command(epilog=EXIT_CODES)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--due", is_flag=True, help="Every workload that is due; if none is, only consumers are asked.")
@dry_run_option
@session_options(consumers=True)
def renew(*, names: tuple[str, ...], due: bool, dry_run: bool, session: Session) -> None:
    """Issue new leaves, make the consumers take them, and see on the wire that they did."""
    if bool(names) == due:
        raise click.UsageError("name workloads, or say --due, and not both")
    now = datetime.now(UTC)
    require_private(session.certs)
    require_state(session.tree)
    policy = session.policy()
    wanted = list(dict.fromkeys(names))
    if due:
        wanted = authority.leaves_due(session.certs, session.known_names(), now)
    policy_owners(policy, session.tree, wanted)
    plans = authority.plan_leaves(session.certs, wanted, now)
    if dry_run:
        _show_plans(session, plans)
        return
    if not wanted and session.deployment_file is None and session.offline is None:
        _show_issued(session, [])
        return
    setting = session.setting()
    maintenance = Maintenance(setting)
    issued = maintenance.renew(wanted) if wanted else []
    maintenance.settle()
    session.anchor()
    _show_issued(session, issued)


def _show_plans(session: Session, plans: list[CertificatePlan]) -> None:
    if session.as_json:
        report.print_json({"dry_run": True, "signed": [report.plan_fields(plan) for plan in plans]})
    else:
        report.print_plans(plans)


def _show_issued(session: Session, issued: list[authority.IssuedLeaf]) -> None:
    if session.as_json:
        report.print_json({"dry_run": False, "signed": [report.leaf_fields(leaf) for leaf in issued]})
        return
    for leaf in issued:
        print(f"issued  {leaf.identity}  {leaf.generation.name}  until {report.moment(leaf.not_after)}")
    if not issued:
        print("nothing was due")
