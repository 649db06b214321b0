"""Trees of authorities that do not know each other, and a link that moves from one to the other."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from pki.authority import IssuingAuthority, Owner, initialise

PASSPHRASE = b"a passphrase of tests"


def issue_below(certs: Path, trust_domain: str, names: list[str]) -> None:
    """Make an authority and a leaf for each name."""
    owner, now = Owner(os.geteuid(), os.getegid()), datetime.now(UTC)
    initialise(certs, trust_domain=trust_domain, passphrase=PASSPHRASE, now=now)
    IssuingAuthority.open(certs, PASSPHRASE).issue(names, owners=dict.fromkeys(names, owner), now=now)


def point(link: Path, target: Path) -> None:
    """Move a link as a publication does: aside first, then renamed over."""
    aside = link.with_name(f"{link.name}.aside")
    aside.symlink_to(target)
    aside.rename(link)
