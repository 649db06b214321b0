"""An authority that the tests of this folder share, and its backup; they change copies only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pki.backup import backup
from pki.issuing import IssuingAuthority
from tests.integration.pki.backup.saved_authority import NOW
from tests.integration.pki.conftest import CHEAP, PASSPHRASE

Make = Callable[..., IssuingAuthority]


@pytest.fixture(scope="session")
def certs(make_authority: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority with two leaves."""
    folder = tmp_path_factory.mktemp("authority") / "certs"
    make_authority(folder, "gateway", "edge")
    return folder


@pytest.fixture(scope="session")
def saved(certs: Path) -> Path:
    """Its backup."""
    return backup(certs, certs.parent / "the.backup", PASSPHRASE, NOW, CHEAP).path
