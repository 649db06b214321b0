"""`pki rotate`, `revoke` and `crl`: what changes a running mesh, stage by stage, each seen on the wire."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pki import report
from pki.commands.session import EXIT_CODES, Session, dry_run_option, session_options
from pki.crl import REASONS
from pki.errors import RotationFault
from pki.inventory import require_state
from pki.revocation_lists import lists_due
from pki.rotation.confirming import present_uses
from pki.rotation.engine import Rotator
from pki.rotation.maintenance import Maintenance, require_leaf_on_record
from pki.rotation.plan import called, remaining, reverted, stages
from pki.secret_input import (
    RootOptions,
    dealing_root_keeper,
    opening_root_keeper,
    retiring_root_keeper,
    root_options,
)

if TYPE_CHECKING:
    from pki.consumers.contract import Use
    from pki.custody.contract import Keeper
    from pki.rotation.plan import Stage


@click.command(epilog=EXIT_CODES)
@click.argument("kind", type=click.Choice(["leaf", "intermediate", "root"]))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--resume", is_flag=True, help="Go on with the rotation that is under way.")
@click.option("--rollback", is_flag=True, help="Go back to the authority of before.")
@dry_run_option
@session_options(consumers=True)
@root_options(opening=True, making=True)
def rotate(
    *,
    kind: str,
    names: tuple[str, ...],
    resume: bool,
    rollback: bool,
    dry_run: bool,
    session: Session,
    root: RootOptions,
) -> None:
    """Replace leaves (named ones, or all), the intermediate, or the root, with no failed request."""
    if resume and rollback:
        raise click.UsageError("--resume goes on and --rollback goes back: say one")
    if names and (kind != "leaf" or resume or rollback):
        raise click.UsageError("only a leaf rotation that begins takes names")
    planned = _plan(session, kind, resume=resume, rollback=rollback)
    if dry_run:
        _show_plan(session, kind, planned)
        return
    retiring = _retiring_keeper(session, kind, root, back=rollback)
    rotator = Rotator(replace(session.setting(), retiring=retiring))
    if rollback:
        rotator.roll_back()
    elif resume:
        rotator.resume()
    elif kind == "leaf":
        rotator.rotate_leaves(list(names) or session.known_names())
    elif kind == "intermediate":
        envelope = session.tree.read_sealed_key(require_state(session.tree).trust[-1])
        rotator.rotate_intermediate(opening_root_keeper(envelope, root, passphrase=session.passphrase()))
    else:
        now = datetime.now(UTC)
        rotator.rotate_root(dealing_root_keeper(root, now, passphrase=session.passphrase()))
    session.anchor()
    _show_done(session, kind, planned)


def _retiring_keeper(session: Session, kind: str, root: RootOptions, *, back: bool) -> Keeper | None:
    """Return what destroys the root that this rotation ends; asked for now, not when nobody is there."""
    if kind != "root":
        return None
    state = require_state(session.tree)
    ending = state.trust[-1]
    if state.rotation is not None:
        back = back or state.rotation.reverting
        ending = state.rotation.new_root if back else state.rotation.old_root
    if not session.tree.has_key(ending):
        return None
    return retiring_root_keeper(session.tree.read_sealed_key(ending), root)


def _plan(session: Session, kind: str, *, resume: bool, rollback: bool) -> tuple[Stage, ...]:
    state = require_state(session.tree)
    under_way = state.rotation
    if resume or rollback:
        if under_way is None or under_way.kind != kind:
            found = "none is" if under_way is None else f"a rotation of kind {under_way.kind} is"
            raise RotationFault(f"no {kind} rotation is under way, {found}: see `python -m pki status`")
        return remaining(reverted(under_way) if rollback else under_way)
    if under_way is not None:
        raise RotationFault(
            f"{called(under_way.kind)} is under way at stage {under_way.stage}: finish it with "
            f"`python -m pki rotate {under_way.kind} --resume`, or go back with --rollback"
        )
    return stages(kind)


def _show_plan(session: Session, kind: str, planned: tuple[Stage, ...]) -> None:
    workloads = len(session.known_names())
    if session.as_json:
        steps = [{"stage": s.name, "does": s.does, "confirmed_by": s.confirmed_by} for s in planned]
        report.print_json({"dry_run": True, "kind": kind, "workloads": workloads, "stages": steps})
        return
    print(f"would rotate  {kind}  ({workloads} workloads)")
    for number, stage in enumerate(planned, start=1):
        print(f"  {number}. {stage.name:<11} {stage.does}")
        if stage.confirmed_by:
            print(f"     {'':<11} until {stage.confirmed_by}")
        if not stage.revertible and stage.name == "trust-new":
            print(f"     {'':<11} from here on there is no way back")


def _show_done(session: Session, kind: str, planned: tuple[Stage, ...]) -> None:
    state = require_state(session.tree)
    if session.as_json:
        report.print_json(
            {
                "dry_run": False,
                "kind": kind,
                "stages": [stage.name for stage in planned],
                "issuer": state.issuer,
                "trust": list(state.trust),
                "serials": {name: use.serial for name, use in _uses(session).items()},
            }
        )
        return
    word = "went back" if planned and planned[-1].name == "discard" else "is done"
    print(f"the {kind} rotation {word}: {state.issuer} issues, {', '.join(state.trust)} is trusted")


def _uses(session: Session) -> dict[str, Use]:
    return present_uses(session.tree, session.tree.live_names())


@click.command(epilog=EXIT_CODES)
@click.argument("what", metavar="SERIAL|NAME")
@click.option(
    "--reason", type=click.Choice(sorted(REASONS)), required=True, help="As it stands in the list for ever."
)
@click.option("--disconnect", is_flag=True, help="End its open connections now, not within their age.")
@dry_run_option
@session_options(consumers=True)
def revoke(*, what: str, reason: str, disconnect: bool, dry_run: bool, session: Session) -> None:
    """Revoke a leaf, or what a workload presents now; the workload gets a new leaf first."""
    require_state(session.tree)
    uses = _uses(session)
    serial = uses[what].serial if what in uses else what.lower().removeprefix("0x").lstrip("0")
    holders = [name for name, use in uses.items() if use.serial == serial]
    require_leaf_on_record(session.tree, serial)
    if not dry_run:
        Maintenance(session.setting()).revoke([serial], reason, disconnect=disconnect)
        session.anchor()
    if session.as_json:
        report.print_json({"dry_run": dry_run, "revoked": serial, "reason": reason, "issued_anew": holders})
        return
    would = "would be revoked" if dry_run else "is revoked"
    print(f"{serial} {would} ({reason})")
    for name in holders:
        print(f"{name} {'would get' if dry_run else 'got'} a new leaf")
    if not dry_run:
        print("Redis and NATS check no lists: there the certificate's own end and the password stand in")


@click.command(epilog=EXIT_CODES)
@click.option("--root", "with_root", is_flag=True, help="The root's list, too: its custodians are needed.")
@click.option("--due", is_flag=True, help="Only lists that are due.")
@dry_run_option
@session_options(consumers=True)
@root_options(opening=True, making=False)
def crl(*, with_root: bool, due: bool, dry_run: bool, session: Session, root: RootOptions) -> None:
    """Sign revocation lists anew, publish them, and watch listeners refuse a probe that they name."""
    state = require_state(session.tree)
    if dry_run:
        wanted = lists_due(session.tree, state, datetime.now(UTC)) if due else list(state.listed)
        wanted = [a for a in wanted if session.tree.has_key(a) and (with_root or not a.startswith("root-"))]
        _show_lists(session, wanted, dry_run=True)
        return
    setting = session.setting()
    keeper = None
    if with_root:
        envelope = session.tree.read_sealed_key(state.trust[-1])
        keeper = opening_root_keeper(envelope, root, passphrase=session.passphrase())
    signed = Maintenance(setting).publish_lists(root=keeper, only_due=due)
    session.anchor()
    _show_lists(session, signed, dry_run=False)


def _show_lists(session: Session, authorities: list[str], *, dry_run: bool) -> None:
    if session.as_json:
        report.print_json({"dry_run": dry_run, "signed": authorities})
        return
    for authority in authorities:
        print(f"{'would sign' if dry_run else 'signed'}  the list of {authority}")
    if not authorities:
        print("no list was due")
