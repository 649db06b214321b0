"""The authority's operations: make it, see which leaves are due, issue them.

The command line and the single-machine launcher both come through here. Keys are opened in memory for one
command; on disk they exist as their keeper keeps them, or as the one file of the workload they belong to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pki.authority_making import discard_unused, make_intermediate, make_root, open_authority
from pki.backup import is_half_restored
from pki.certificate_files import AuthorityState, CertificateTree, Owner
from pki.errors import AlreadyInitialised, SealError
from pki.exposure import require_private
from pki.identity import require_trust_domain
from pki.issuance import CertificatePlan, plan_intermediate, plan_root
from pki.issuing import (
    IssuedLeaf,
    IssuingAuthority,
    leaves_due,
    plan_leaves,
    refresh_bundles,
    utc,
)
from pki.recorded_signing import RecordedSigning
from pki.revocation_lists import list_in_force, lists_due, recorded_revocations, renew_list

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from pki.custody.contract import Keeper
    from pki.ledger import Attribution

__all__ = [
    "IssuedLeaf",
    "IssuingAuthority",
    "Owner",
    "initialise",
    "is_initialised",
    "leaves_due",
    "plan_authority",
    "plan_leaves",
    "publish_bundles",
    "renew_lists",
]


def is_initialised(certs: Path) -> bool:
    """Say whether there is an authority in this folder."""
    return CertificateTree(certs).read_state() is not None


def plan_authority(certs: Path, *, trust_domain: str, now: datetime) -> list[CertificatePlan]:
    """Plan a root and its intermediate.

    Raises:
        AlreadyInitialised: there is an authority, or leaves of one, here.
        IdentityError: not a trust domain.
    """
    tree = CertificateTree(certs)
    if tree.read_state() is not None or any(tree.current(name) for name in tree.live_names()):
        raise AlreadyInitialised(
            f"{certs} already holds an authority or its leaves: to begin anew, move the folder away first"
        )
    if is_half_restored(certs):
        raise AlreadyInitialised(
            f"a restore into {certs} was interrupted: run the same `python -m pki restore` again"
        )
    root = plan_root(require_trust_domain(trust_domain), utc(now))
    return [root, plan_intermediate(trust_domain, root, utc(now))]


def initialise(
    certs: Path,
    *,
    trust_domain: str,
    root: Keeper,
    issuing: Keeper,
    now: datetime,
    by: Attribution | None = None,
) -> None:
    """Make a root and an intermediate, each kept by its keeper, and their first revocation lists.

    Killed anywhere, the next call begins again: until the last step nothing counts as initialised.

    Raises:
        AlreadyInitialised: there is an authority, or leaves of one, here.
        IdentityError: not a trust domain.
        SealError: a keeper cannot keep a key.
        SecretExposed: secrets in the folder lie open.
        TreeBusy: another command is at work.
    """
    require_private(certs)
    tree = CertificateTree(certs)
    with tree.lock(by.command if by is not None else "an initialisation"):
        plan_authority(certs, trust_domain=trust_domain, now=now)
        signing = RecordedSigning(tree, utc(now), by)
        discard_unused(tree, signing, None)
        made = make_root(tree, signing, trust_domain=trust_domain, keeper=root, now=utc(now))
        below = make_intermediate(
            tree, signing, trust_domain=trust_domain, root=made, keeper=issuing, now=utc(now)
        )
        tree.write_state(AuthorityState(trust_domain, below.authority, (made.authority,), (below.authority,)))


def publish_bundles(certs: Path, names: Sequence[str], owners: Mapping[str, Owner | None]) -> list[str]:
    """Publish trust and revocation lists of now beside the leaves that are there; sign nothing.

    Returns:
        The names that got a new generation.

    Raises:
        TreeBusy: another command is at work.
        TreeError: a revocation list is missing, or an owner cannot be given the key.
    """
    tree = CertificateTree(certs)
    with tree.lock("a publication of bundles"):
        return refresh_bundles(tree, names, owners)


def renew_lists(
    certs: Path,
    *,
    issuing: Keeper,
    root: Callable[[], Keeper] | None,
    now: datetime,
    by: Attribution | None = None,
    force: bool = False,
) -> list[str]:
    """Sign anew the revocation lists that are due; workloads get them with their next generation.

    Args:
        certs: the tree.
        issuing: opens intermediates.
        root: asked for only if a root's list is due; None to leave roots' lists as they are. A root that it
            does not open is left for its custodians while its list is still in force.
        now: UTC.
        by: who asks.
        force: the intermediates' lists, due or not.

    Returns:
        The ids of the authorities whose list was signed.
    """
    require_private(certs)
    tree = CertificateTree(certs)
    with tree.lock(by.command if by is not None else "a renewal of revocation lists"):
        state = tree.read_state()
        if state is None:
            return []
        due = set(lists_due(tree, state, utc(now)))
        wanted = [
            authority
            for authority in state.listed
            if authority in due or (force and not authority.startswith("root-"))
        ]
        signed = []
        signing = RecordedSigning(tree, utc(now), by)
        revocations = recorded_revocations(signing.ledger)
        for authority in wanted:
            is_root = authority.startswith("root-")
            if (is_root and root is None) or not tree.has_key(authority):
                continue
            keeper = root() if is_root and root is not None else issuing
            try:
                opened = open_authority(tree, authority, keeper)
            except SealError:
                if is_root and list_in_force(tree, authority, utc(now)):
                    continue  # its custodians are elsewhere, and there is time: `status` says that it is due
                raise
            renew_list(tree, signing, opened, revocations, utc(now))
            signed.append(authority)
        return signed
