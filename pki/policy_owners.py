"""Who may read a workload's key: what the policy's account means on this machine."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from pki.certificate_files import Owner
from pki.inventory import present_owners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pki.certificate_files import CertificateTree
    from pki.policy import Policy


def policy_owners(policy: Policy, tree: CertificateTree, names: Sequence[str]) -> dict[str, Owner | None]:
    """Return who may read each key: whoever may now, else the policy's account where we are root.

    Raises:
        PolicyError: the policy does not list a workload.
    """
    owners = present_owners(tree, names)
    for name in names:
        entry = policy.require(name)
        if owners.get(name) is None and os.geteuid() == 0 and tree.current(name) is None:
            try:
                account = pwd.getpwnam(entry.account)
            except KeyError:
                continue  # The key stays root's alone: that fails, and fails closed.
            owners[name] = Owner(account.pw_uid, account.pw_gid)
    return owners
