"""The certificate tree: the only code that reads and writes it.

    <certs>/state.json  ledger.jsonl
    <certs>/ca/<role>-<day>-<key>/{cert.pem,key.sealed}
    <certs>/live/<name>/current -> gen-0001    gen-NNNN/{cert.pem,key.pem,trust.pem,meta.json}

A generation is built aside, synced, renamed into place and never written again; `current` moves by one
rename. Whoever is killed anywhere leaves the old generation current. Writers hold the tree's lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pki.durable_files import make_folder, read_file, sync_folder, write_new
from pki.errors import TreeError
from pki.identity import require_name, require_trust_domain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STATE_VERSION = 1
_GENERATION = re.compile(r"gen-(\d{4,9})", re.ASCII)
_AUTHORITY = re.compile(r"(?:root|intermediate)-\d{8}-[0-9a-f]{8}", re.ASCII)
_ASIDE = ".aside-"


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that reads a workload's key: as root we write root:<gid> 0640, else it must be our own."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class AuthorityState:
    """What the tree is an authority for.

    Attributes:
        trust_domain: of every certificate in the tree.
        issuer: id of the intermediate that signs leaves.
        trust: ids of the roots in the trust bundle, in bundle order.
    """

    trust_domain: str
    issuer: str
    trust: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """The files of one generation.

    Attributes:
        chain: PEM, leaf first, then the intermediate.
        key: PEM, PKCS #8, not encrypted.
        trust: PEM, roots only.
        meta: what the files say, for people and tools; never read back as a truth.
    """

    chain: bytes
    key: bytes
    trust: bytes
    meta: Mapping[str, str | int | list[str]]


class CertificateTree:
    """One tree under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._state = root / "state.json"
        self._ledger = root / "ledger.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the tree's write lock; waits for another command to finish, and ends with this process."""
        make_folder(self.root, 0o711, None)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read_state(self) -> AuthorityState | None:
        """Return the state, or None where there is no authority yet.

        Raises:
            TreeError: the file is not one of ours.
        """
        try:
            fields = json.loads(self._state.read_bytes())
            if fields["version"] != STATE_VERSION:
                raise TreeError(
                    f"{self._state} is of version {fields['version']}; this code knows {STATE_VERSION}"
                )
            state = AuthorityState(
                require_trust_domain(fields["trust_domain"]), fields["issuer"], tuple(fields["trust"])
            )
            for authority in (state.issuer, *state.trust):
                self._authority_folder(authority)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as fault:
            raise TreeError(f"{self._state} is damaged: restore it from a backup") from fault
        return state

    def write_state(self, state: AuthorityState) -> None:
        """Replace the state in one step."""
        fields = {
            "version": STATE_VERSION,
            "trust_domain": state.trust_domain,
            "issuer": state.issuer,
            "trust": list(state.trust),
        }
        aside = self._state.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
        write_new(aside, json.dumps(fields, indent=1).encode() + b"\n", 0o600, None)
        aside.replace(self._state)
        sync_folder(self.root)

    def _authority_folder(self, authority: str) -> Path:
        if _AUTHORITY.fullmatch(authority) is None:
            raise TreeError(f"{authority[:64]!r} is not the id of an authority")
        return self.root / "ca" / authority

    def authorities(self) -> list[str]:
        """Return the ids of every CA in the tree, sorted."""
        folder = self.root / "ca"
        entries = folder.iterdir() if folder.is_dir() else ()
        return sorted(entry.name for entry in entries if _AUTHORITY.fullmatch(entry.name))

    def write_authority(self, authority: str, certificate: bytes, sealed_key: bytes) -> None:
        """Add a CA, complete or not at all."""
        folder = self._authority_folder(authority)
        make_folder(folder.parent, 0o700, None)
        aside = folder.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
        make_folder(aside, 0o700, None)
        write_new(aside / "cert.pem", certificate, 0o644, None)
        write_new(aside / "key.sealed", sealed_key, 0o600, None)
        sync_folder(aside)
        aside.rename(folder)
        sync_folder(folder.parent)

    def read_authority(self, authority: str) -> bytes:
        """Return a CA's certificate, PEM."""
        return read_file(self._authority_folder(authority) / "cert.pem")

    def read_sealed_key(self, authority: str) -> bytes:
        """Return a CA's sealed key."""
        return read_file(self._authority_folder(authority) / "key.sealed")

    def discard_authorities(self) -> list[str]:
        """Remove what an interrupted initialisation left; only right where there is no state.

        Returns:
            The ids of complete CAs that were removed; none of them ever signed a published leaf.
        """
        discarded = self.authorities()
        if (self.root / "ca").is_dir():
            shutil.rmtree(self.root / "ca")
        return discarded

    def read_ledger(self) -> bytes:
        """Return the whole ledger; empty where there is none."""
        return self._ledger.read_bytes() if self._ledger.exists() else b""

    def append_ledger(self, data: bytes, *, keep_bytes: int) -> None:
        """Append to the ledger and sync.

        Args:
            data: whole lines.
            keep_bytes: length of the whole lines there; anything after is the torn end of a crashed write.
        """
        created = not self._ledger.exists()
        descriptor = os.open(self._ledger, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(keep_bytes)
            file.seek(keep_bytes)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if created:
            sync_folder(self.root)

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
        return folder, Generation(chain, key, trust, meta={})

    def publish(self, name: str, generation: Generation, owner: Owner | None) -> Path:
        """Make a generation the current one, and drop those before the previous one.

        Args:
            name: the workload.
            generation: its files.
            owner: who may read the key; None leaves everything to the current user.

        Returns:
            The new generation's folder.

        Raises:
            TreeError: the owner is another account and we are not root.
        """
        previous = self.current(name)
        aside = self.build_generation(name, generation, owner)
        folder = self.seat_generation(name, aside)
        self.point_current(name, folder)
        self._prune(name, {folder, previous})
        return folder

    def build_generation(self, name: str, generation: Generation, owner: Owner | None) -> Path:
        """Write a generation aside, where no reader looks; first of the three steps of `publish`."""
        group = _group(owner)
        workload = self.root / "live" / require_name(name)
        make_folder(workload.parent, 0o711, None)
        make_folder(workload, 0o700 if group is None else 0o750, group)
        aside = workload / f"{_ASIDE}{secrets.token_hex(8)}"
        make_folder(aside, 0o700 if group is None else 0o750, group)
        write_new(aside / "cert.pem", generation.chain, 0o644, group)
        write_new(aside / "key.pem", generation.key, 0o600 if group is None else 0o640, group)
        write_new(aside / "trust.pem", generation.trust, 0o644, group)
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
        link = workload / f"{_ASIDE}{secrets.token_hex(8)}"
        link.symlink_to(folder.name)
        link.replace(workload / "current")
        sync_folder(workload)

    def _prune(self, name: str, keep: set[Path | None]) -> None:
        kept = {folder.name for folder in keep if folder is not None}
        for entry in (self.root / "live" / name).iterdir():
            stale = _GENERATION.fullmatch(entry.name) is not None and entry.name not in kept
            if not stale and not entry.name.startswith(_ASIDE):
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
