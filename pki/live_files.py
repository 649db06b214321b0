"""The workloads' side of the certificate tree: generations, and the link that says which one is in force.

    <certs>/live/<name>/current -> gen-0001
    <certs>/live/<name>/gen-NNNN/{cert.pem,key.pem,trust.pem,crl.pem,meta.json}

A generation is built aside, synced, renamed into place and never written again; `current` moves by one
rename. Whoever is killed anywhere leaves the old generation current.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pki.durable_files import make_folder, read_file, sync_folder, write_new
from pki.errors import TreeError
from pki.identity import require_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ASIDE = ".aside-"
_GENERATION = re.compile(r"gen-(\d{4,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that reads a workload's key: as root we write root:<gid> 0640, else it must be our own."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Generation:
    """The files of one generation.

    Attributes:
        chain: PEM, leaf first, then the intermediate.
        key: PEM, PKCS #8, not encrypted.
        trust: PEM, roots only.
        crl: PEM, a revocation list of each root and intermediate that may be met.
        meta: what the files say, for people and tools; never read back as a truth.
    """

    chain: bytes
    key: bytes = field(repr=False)
    trust: bytes
    crl: bytes
    meta: Mapping[str, str | int | list[str]]


class LiveFiles:
    """The generations under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def live_names(self) -> list[str]:
        """Return the names of every workload that has a folder, sorted."""
        folder = self.root / "live"
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def current(self, name: str) -> Path | None:
        """Return the generation that `current` points at, resolved; None where there is none."""
        link = self.root / "live" / require_name(name) / "current"
        return link.resolve() if link.exists() else None

    def read_current(self, name: str) -> tuple[Path, Generation] | None:
        """Read the current generation; `meta` is left empty, for nothing is decided by it."""
        folder = self.current(name)
        if folder is None:
            return None
        chain, key, trust = (read_file(folder / file) for file in ("cert.pem", "key.pem", "trust.pem"))
        # Absent in a generation that an earlier version made: an inventory calls that a fault.
        crl = (folder / "crl.pem").read_bytes() if (folder / "crl.pem").exists() else b""
        return folder, Generation(chain, key, trust, crl, meta={})

    def read_meta(self, folder: Path) -> dict[str, str | int | list[str]]:
        """Return what a generation says about itself, for carrying it on; empty if it cannot be read."""
        try:
            found = json.loads((folder / "meta.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def publish(self, name: str, generation: Generation, owner: Owner | None) -> Path:
        """Make a generation the current one; see `publish_all`."""
        return self.publish_all([(name, generation, owner)])[0]

    def publish_all(self, generations: Sequence[tuple[str, Generation, Owner | None]]) -> list[Path]:
        """Make each generation its workload's current one, and drop those before the previous one.

        Args:
            generations: workload, files, and who may read the key (None: the current user alone).

        Returns:
            The new generations' folders, in this order.

        Raises:
            TreeError: an owner is another account and we are not root.
        """
        folders = []
        for name, generation, owner in generations:
            previous = self.current(name)
            aside = self.build_generation(name, generation, owner)
            folder = self.seat_generation(name, aside)
            self.point_current(name, folder)
            self._prune(name, {folder, previous})
            folders.append(folder)
        return folders

    def build_generation(self, name: str, generation: Generation, owner: Owner | None) -> Path:
        """Write a generation aside, where no reader looks; first of the three steps of `publish`."""
        group = _group(owner)
        workload = self.root / "live" / require_name(name)
        make_folder(workload.parent, 0o711, None)
        make_folder(workload, 0o700 if group is None else 0o750, group)
        aside = workload / f"{ASIDE}{secrets.token_hex(8)}"
        make_folder(aside, 0o700 if group is None else 0o750, group)
        write_new(aside / "cert.pem", generation.chain, 0o644, group)
        write_new(aside / "key.pem", generation.key, 0o600 if group is None else 0o640, group)
        write_new(aside / "trust.pem", generation.trust, 0o644, group)
        write_new(aside / "crl.pem", generation.crl, 0o644, group)
        write_new(
            aside / "meta.json", json.dumps(dict(generation.meta), indent=1).encode() + b"\n", 0o644, group
        )
        sync_folder(aside)
        return aside

    def seat_generation(self, name: str, aside: Path) -> Path:
        """Give a complete generation its number; second step."""
        workload = self.root / "live" / require_name(name)
        numbers = [
            int(found[1]) for entry in workload.iterdir() if (found := _GENERATION.fullmatch(entry.name))
        ]
        folder = workload / f"gen-{max(numbers, default=0) + 1:04}"
        aside.rename(folder)
        sync_folder(workload)
        return folder

    def point_current(self, name: str, folder: Path) -> None:
        """Move `current` by one rename; third step, and the only one that readers notice."""
        workload = self.root / "live" / require_name(name)
        link = workload / f"{ASIDE}{secrets.token_hex(8)}"
        link.symlink_to(folder.name)
        link.replace(workload / "current")
        sync_folder(workload)

    def drop_previous(self, name: str) -> None:
        """Remove every generation but the current one, keys included."""
        self._prune(name, {self.current(name)})

    def _prune(self, name: str, keep: set[Path | None]) -> None:
        kept = {folder.name for folder in keep if folder is not None}
        for entry in (self.root / "live" / name).iterdir():
            stale = _GENERATION.fullmatch(entry.name) is not None and entry.name not in kept
            if not stale and not entry.name.startswith(ASIDE):
                continue
            if entry.is_symlink():
                entry.unlink()
            else:
                shutil.rmtree(entry)


def _group(owner: Owner | None) -> int | None:
    if owner is None:
        return None
    if os.geteuid() == 0:
        return owner.gid
    if owner.uid != os.geteuid():
        raise TreeError(f"only root can give a key to uid {owner.uid}: run as root, or name no owner")
    return None
