"""The workloads' side of the certificate tree: generations, and the link that says which one is in force.

    <certs>/live/<name>/current -> gen-0001
    <certs>/live/<name>/gen-NNNN/{cert.pem,key.pem,trust.pem,crl.pem,meta.json}

A generation is built aside, synced, renamed into place and never written again; `current` moves by one
rename. Whoever is killed anywhere leaves the old generation current.
"""
# pathlib costs more than the system calls it makes, and these are made thousands of times a second.
# ruff: noqa: PTH101, PTH102, PTH104, PTH105, PTH108, PTH114, PTH115, PTH208, PTH211

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pki.durable_files import Disk, make_folder, read_file, write_unsynced
from pki.errors import TreeError
from pki.identity import is_name, require_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASIDE = ".aside-"
# What a folder is made with, and opened from: nobody but its owner enters.
_CLOSED = 0o700
_GENERATION = re.compile(r"gen-(\d{4,9})", re.ASCII)
# One member a line without the slow, indenting encoder; made once: making one costs as much as using it.
_ENCODE_META = json.JSONEncoder(separators=(",\n ", ": ")).encode


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

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root
        self._disk = disk or Disk()

    def live_names(self) -> list[str]:
        """Return the names of every workload that has a folder, sorted; what is no name is none of ours."""
        folder = self.root / "live"
        entries = folder.iterdir() if folder.is_dir() else ()
        return sorted(entry.name for entry in entries if is_name(entry.name) and entry.is_dir())

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

        All of them are built, then seated, then pointed at; each step is durable before the next begins.

        Args:
            generations: workload (each once), files, and who may read the key (None: our own account).

        Returns:
            The new generations' folders, in this order.

        Raises:
            TreeError: an owner is another account and we are not root.
        """
        # One name for all: they stand in folders of their own, and whoever holds the lock is alone.
        aside = f"{ASIDE}{secrets.token_hex(8)}"
        seats = [Seat(require_name(name), group_of(owner), aside) for name, _, owner in generations]
        if not seats:
            return []
        shared: dict[tuple[str, bytes], str] = {}
        live = f"{self.root}/live"
        make_folder(self.root / "live", 0o711, None)
        written = [str(self.root), live]
        for seat, (_, generation, _) in zip(seats, generations, strict=True):
            seat.open(live)
            written += seat.build(generation, shared)
        self._disk.settle(written)
        for seat in seats:
            os.rename(seat.aside, seat.folder)
        self._disk.settle([seat.workload for seat in seats])
        for seat in seats:
            # One rename: the only step that readers notice.
            os.symlink(f"gen-{seat.number:04}", seat.aside)
            os.replace(seat.aside, f"{seat.workload}/current")
        self._disk.settle([seat.workload for seat in seats])
        for seat in seats:
            seat.prune()
        return [Path(seat.folder) for seat in seats]

    def drop_previous(self, name: str) -> None:
        """Remove every generation but the current one, keys included."""
        self._prune(name, {self.current(name)})

    def _prune(self, name: str, keep: set[Path | None]) -> None:
        kept: set[str | None] = {folder.name for folder in keep if folder is not None}
        workload = f"{self.root}/live/{name}"
        _remove_stale(workload, os.listdir(workload), kept)


@dataclass(slots=True)
class Seat:
    """Where one generation goes.

    Attributes:
        name: the workload.
        group: who may read the key; None for our own account alone.
        aside_name: of whatever is not in its place yet.
        workload: its folder.
        aside: where the generation is built.
        folder: where it then is.
        number: of the generation.
        entries: what was in the workload's folder before.
        previous: name of the generation that was current; None if there was none.
    """

    name: str
    group: int | None
    aside_name: str
    workload: str = ""
    aside: str = ""
    folder: str = ""
    number: int = 0
    entries: list[str] = field(default_factory=list)
    previous: str | None = None

    def open(self, live: str) -> None:
        """Make the folders, and find the next number."""
        mode = _CLOSED if self.group is None else 0o750
        self.workload = f"{live}/{self.name}"
        try:
            os.mkdir(self.workload, _CLOSED)
        except FileExistsError:
            self.entries = os.listdir(self.workload)
            self.previous = _target(self.workload)
        _open_folder(self.workload, mode, self.group)
        numbers = [int(found[1]) for entry in self.entries if (found := _GENERATION.fullmatch(entry))]
        self.number = max(numbers, default=0) + 1
        self.folder = f"{self.workload}/gen-{self.number:04}"
        self.aside = f"{self.workload}/{self.aside_name}"
        os.mkdir(self.aside, _CLOSED)
        _open_folder(self.aside, mode, self.group)

    def build(self, generation: Generation, shared: dict[tuple[str, bytes], str]) -> list[str]:
        """Write the generation aside, where no reader looks; return every path that is to be made durable.

        Args:
            generation: what to write.
            shared: where files are that several workloads have alike; added to.
        """
        cert, key, meta = f"{self.aside}/cert.pem", f"{self.aside}/key.pem", f"{self.aside}/meta.json"
        write_unsynced(cert, generation.chain, 0o644, self.group)
        write_unsynced(key, generation.key, 0o600 if self.group is None else 0o640, self.group)
        write_unsynced(meta, _meta(generation.meta), 0o644, self.group)
        written = [self.workload, self.aside, cert, key, meta]
        for name, data in (("trust.pem", generation.trust), ("crl.pem", generation.crl)):
            path = f"{self.aside}/{name}"
            if not _link(shared.get((name, data)), path):
                write_unsynced(path, data, 0o644, None)
                shared[name, data] = path
                written.append(path)
        return written

    def prune(self) -> None:
        """Remove what stood here before, but for the generation that was current."""
        if self.entries:
            _remove_stale(self.workload, self.entries, {self.previous})


def _open_folder(path: str, mode: int, group: int | None) -> None:
    if group is not None:
        os.chown(path, -1, group)
    os.chmod(path, mode)


def _target(workload: str) -> str | None:
    try:
        return os.readlink(f"{workload}/current")
    except FileNotFoundError:
        return None


def _link(original: str | None, path: str) -> bool:
    """Give a file another name; no generation is ever written again, so workloads can share one."""
    if original is None:
        return False
    try:
        os.link(original, path)
    except OSError:  # too many names for one file, or a filesystem without hard links
        return False
    return True


def _remove_stale(workload: str, entries: Sequence[str], kept: set[str | None]) -> None:
    for entry in entries:
        stale = _GENERATION.fullmatch(entry) is not None and entry not in kept
        if not stale and not entry.startswith(ASIDE):
            continue
        path = f"{workload}/{entry}"
        if os.path.islink(path):
            os.unlink(path)
        else:
            shutil.rmtree(path)


def _meta(meta: Mapping[str, str | int | list[str]]) -> bytes:
    return _ENCODE_META(dict(meta)).encode() + b"\n"


def group_of(owner: Owner | None) -> int | None:
    """Return the group that is to read a key; None for our own account alone.

    Raises:
        TreeError: the owner is another account and we are not root.
    """
    if owner is None:
        return None
    if os.geteuid() == 0:
        return owner.gid
    if owner.uid != os.geteuid():
        raise TreeError(f"only root can give a key to uid {owner.uid}: run as root, or name no owner")
    return None
