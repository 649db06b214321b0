"""Trees of authorities that do not know each other, and a link that moves from one to the other."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from pki.authority import IssuingAuthority, Owner, initialise
from pki.custody.passphrase_keeper import PassphraseKeeper

PASSPHRASE = b"a passphrase of tests"


def issue_below(certs: Path, trust_domain: str, names: list[str]) -> None:
    """Make an authority and a leaf for each name."""
    owner, now, keeper = Owner(os.geteuid(), os.getegid()), datetime.now(UTC), PassphraseKeeper(PASSPHRASE)
    initialise(certs, trust_domain=trust_domain, root=keeper, issuing=keeper, now=now)
    IssuingAuthority.open(certs, keeper).issue(names, owners=dict.fromkeys(names, owner), now=now)


def point(link: Path, target: Path) -> None:
    """Move a link as a publication does: aside first, then renamed over."""
    aside = link.with_name(f"{link.name}.aside")
    aside.symlink_to(target)
    aside.rename(link)
