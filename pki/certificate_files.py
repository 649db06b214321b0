"""The certificate tree: the only code that reads and writes it (the workloads' side is in `live_files`).

    <certs>/state.json  ledger.jsonl
    <certs>/ca/<role>-<day>-<key>/{cert.pem,key.sealed,crl.pem}

Everything is written aside, synced and renamed: complete or not there. A CA without `key.sealed` is retired:
its certificate and last revocation list are kept, its key is destroyed. Writers hold the tree's lock.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pki.authority_state import AuthorityState, format_state, is_authority_id, parse_state
from pki.durable_files import make_folder, read_file, sync_folder, write_new
from pki.errors import TreeBusy, TreeError
from pki.live_files import ASIDE, Generation, LiveFiles, Owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pki.durable_files import Disk

__all__ = ["AuthorityState", "CertificateTree", "Generation", "Owner"]

# A renewal takes under a second; who waits longer than this stands behind another operator's rotation.
LOCK_WAIT_S_MAX = 5.0
LOCK_LOOK_EVERY_S = 0.02


class CertificateTree(LiveFiles):
    """One tree under one folder."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        super().__init__(root, disk)
        self._state = root / "state.json"
        self._ledger = root / "ledger.jsonl"

    @contextmanager
    def lock(self, command: str = "a command") -> Iterator[None]:
        """Hold the tree's write lock; it ends with this process, however that ends.

        Args:
            command: what holds it, for the sentence that others are told.

        Raises:
            TreeBusy: another command is at work, and was still after `LOCK_WAIT_S_MAX`.
        """
        make_folder(self.root, 0o711, None)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(descriptor)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"{command} (process {os.getpid()})".encode(), 0)
            self._clear_asides()
            yield
        finally:
            os.close(descriptor)

    def _clear_asides(self) -> None:
        """Remove what a killed command left half-written; whoever holds the lock is alone."""
        for folder in (self.root, self.root / "ca", *(self.root / "ca").glob("*-*")):
            for aside in folder.glob(f"{ASIDE}*"):
                if aside.is_dir():
                    shutil.rmtree(aside)
                else:
                    aside.unlink()

    def _take(self, descriptor: int) -> None:
        give_up = time.monotonic() + LOCK_WAIT_S_MAX
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as fault:
                if time.monotonic() > give_up:
                    holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another command"
                    raise TreeBusy(
                        f"{holder} is at work in {self.root}: wait until it ends, then run this again"
                    ) from fault
                time.sleep(LOCK_LOOK_EVERY_S)  # flock(2) has no deadline of its own
            else:
                return

    def read_state(self) -> AuthorityState | None:
        """Return the state, or None where there is no authority yet.

        Raises:
            TreeError: the file is not one of ours.
        """
        try:
            return parse_state(self._state.read_bytes(), str(self._state))
        except FileNotFoundError:
            return None

    def write_state(self, state: AuthorityState) -> None:
        """Replace the state in one step."""
        self._replace(self._state, format_state(state), 0o600)

    def _replace(self, path: Path, data: bytes, mode: int) -> None:
        aside = path.with_name(f"{ASIDE}{secrets.token_hex(8)}")
        try:
            write_new(aside, data, mode, None)
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)

    def _authority_folder(self, authority: str) -> Path:
        if not is_authority_id(authority):
            raise TreeError(f"{authority[:64]!r} is not the id of an authority")
        return self.root / "ca" / authority

    def authorities(self) -> list[str]:
        """Return the ids of every CA in the tree, sorted."""
        folder = self.root / "ca"
        entries = folder.iterdir() if folder.is_dir() else ()
        return sorted(entry.name for entry in entries if is_authority_id(entry.name))

    def write_authority(self, authority: str, certificate: bytes, sealed_key: bytes, crl: bytes) -> None:
        """Add a CA with its first revocation list, complete or not at all."""
        folder = self._authority_folder(authority)
        make_folder(folder.parent, 0o700, None)
        aside = folder.with_name(f"{ASIDE}{secrets.token_hex(8)}")
        make_folder(aside, 0o700, None)
        write_new(aside / "cert.pem", certificate, 0o644, None)
        write_new(aside / "key.sealed", sealed_key, 0o600, None)
        write_new(aside / "crl.pem", crl, 0o644, None)
        sync_folder(aside)
        aside.rename(folder)
        sync_folder(folder.parent)

    def read_authority(self, authority: str) -> bytes:
        """Return a CA's certificate, PEM."""
        return read_file(self._authority_folder(authority) / "cert.pem")

    def read_sealed_key(self, authority: str) -> bytes:
        """Return a CA's sealed key."""
        return read_file(self._authority_folder(authority) / "key.sealed")

    def has_key(self, authority: str) -> bool:
        """Say whether a CA's sealed key is still there; a retired CA has none."""
        return (self._authority_folder(authority) / "key.sealed").exists()

    def destroy_key(self, authority: str) -> None:
        """Remove a CA's sealed key; its certificate and last revocation list stay."""
        (self._authority_folder(authority) / "key.sealed").unlink(missing_ok=True)
        sync_folder(self._authority_folder(authority))

    def read_list(self, authority: str) -> bytes | None:
        """Return a CA's newest revocation list, PEM; None for a CA of an earlier version that has none."""
        path = self._authority_folder(authority) / "crl.pem"
        return read_file(path) if path.exists() else None

    def write_list(self, authority: str, crl: bytes) -> None:
        """Replace a CA's revocation list in one step."""
        self._replace(self._authority_folder(authority) / "crl.pem", crl, 0o644)

    def read_prepared_list(self, authority: str) -> bytes | None:
        """Return the list that was signed for the end of a rotation, while the root was open."""
        path = self._authority_folder(authority) / "crl-prepared.pem"
        return read_file(path) if path.exists() else None

    def write_prepared_list(self, authority: str, crl: bytes) -> None:
        """Keep a list for the end of a rotation."""
        self._replace(self._authority_folder(authority) / "crl-prepared.pem", crl, 0o600)

    def drop_prepared_list(self, authority: str) -> None:
        """Forget the list that was prepared."""
        (self._authority_folder(authority) / "crl-prepared.pem").unlink(missing_ok=True)
        sync_folder(self._authority_folder(authority))

    def unused_authorities(self, state: AuthorityState | None) -> list[str]:
        """Return the CAs that an interrupted command made and that were never put in force."""
        used = set() if state is None else set(state.listed)
        return [
            authority for authority in self.authorities() if self.has_key(authority) and authority not in used
        ]

    def discard_authority(self, authority: str) -> None:
        """Remove a CA that was never put in force; none of them ever signed a published leaf."""
        shutil.rmtree(self._authority_folder(authority))
        sync_folder(self.root / "ca")

    def read_ledger(self) -> bytes:
        """Return the whole ledger; empty where there is none."""
        return self._ledger.read_bytes() if self._ledger.exists() else b""

    def append_ledger(self, data: bytes, *, keep_bytes: int) -> None:
        """Append to the ledger and sync; killed or on a full disk, what is torn is cut off by the next write.

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
        self._disk.settle([str(self._ledger), *([str(self.root)] if created else [])])
