"""What the tests of this folder do with a backup, and what they see of a tree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pki.backup import Restored, restore
from tests.integration.pki.conftest import PASSPHRASE

NOW = datetime.now(UTC)


def back(saved: Path, certs: Path, lists: Sequence[bytes] = ()) -> Restored:
    return restore(saved, certs, PASSPHRASE, lists, now=datetime.now(UTC))


def contents(certs: Path) -> dict[str, bytes]:
    """What a backup holds of a tree."""
    files = [certs / "state.json", *(file for file in (certs / "ca").rglob("*") if file.is_file())]
    return {str(file.relative_to(certs)): file.read_bytes() for file in files}


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())
