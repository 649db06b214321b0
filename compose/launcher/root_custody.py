"""How the demonstration keeps its authority: the root in 2 of 3 shares, the intermediate by a passphrase.

All of it lies in `secrets/`, because nobody is asked for anything when a stack starts by itself. That shows
the ceremony and guards nothing: three custodians who keep their shares apart are what the quorum is for.
Data directories whose root is sealed by the passphrase go on working. Source: DECISIONS.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from compose.launcher.layout import Layout
from pki.custody.envelope import envelope_kind, quorum_of
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.shares import read_share
from pki.custody.shares_keeper import SharesKeeper
from pki.durable_files import sync_folder, write_new
from pki.errors import SealError
from pki.share_exchange import FileHandOut, share_from_text

PASSPHRASE_BYTES = 32  # 256 bits: scrypt then only has to be slow for people's passphrases.
SHARES_NEEDED, SHARES = 2, 3
SHARES_FOLDER = "root-shares"


@dataclass(frozen=True)
class RootKeeper:
    """A `Keeper` of `pki.custody` that finds what opens a root below `secrets/`.

    Attributes:
        secrets: The folder of secrets.
        passphrase: Opens roots of data directories that were made before shares.
    """

    secrets: Path
    passphrase: bytes = field(repr=False)

    def make(self, role: str, created: datetime) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
        """Make a key and write its shares.

        Raises:
            SealError: They cannot be written; no key was made.
        """
        folder = self.secrets / SHARES_FOLDER
        try:
            if folder.exists():
                # Of a root that is in force no longer, or never was. Whether anybody still wants it is not
                # known here, so nothing that could open a key is deleted.
                folder.rename(self.secrets / f"{SHARES_FOLDER}-before-{created:%Y%m%dT%H%M%S%f}")
        except OSError as fault:
            raise SealError(f"{folder} cannot be set aside ({fault.strerror}): mend its owner") from fault
        hand_out = FileHandOut(folder, SHARES_NEEDED, created)
        made = SharesKeeper.dealing(SHARES_NEEDED, SHARES, hand_out).make(role, created)
        sync_folder(self.secrets)
        return made

    def open(self, envelope: bytes) -> ec.EllipticCurvePrivateKey:
        """Open a key.

        Raises:
            SealError: The shares of this key are not all here, or something was altered.
        """
        if envelope_kind(envelope) != "shares":
            return PassphraseKeeper(self.passphrase).open(envelope)
        quorum = quorum_of(envelope)
        found = [share for share in self._shares() if read_share(share, 1).identifier == quorum.identifier]
        if len(found) < quorum.threshold:
            raise SealError(
                f"{self.secrets}/{SHARES_FOLDER} holds {len(found)} shares of this root, {quorum.threshold} "
                "are needed: put the custodians' files back there, or do what needs the root by hand with "
                "`python -m pki`"
            )
        return SharesKeeper.joining(found[: quorum.threshold]).open(envelope)

    def destroy(self, envelope: bytes) -> None:
        """Destroy what exists of the key beside its envelope, which is nothing.

        Raises:
            SealError: It is in a token.
        """
        SharesKeeper.joining(()).destroy(envelope)

    def _shares(self) -> list[str]:
        files = sorted(self.secrets.glob(f"{SHARES_FOLDER}*/share-*.txt"))
        try:
            return [share_from_text(file.read_bytes()) for file in files]
        except OSError as fault:
            raise SealError(f"{fault.filename} cannot be read ({fault.strerror}): mend its owner") from fault


def passphrase_file(layout: Layout) -> Path:
    """What opens the intermediate; for the launcher's own account alone."""
    return layout.secrets / "authority.passphrase"


def provide_passphrase(layout: Layout, *, initialised: bool) -> bytes:
    """Return the passphrase; made where there is none, and on the disk before anything is sealed by it.

    Args:
        initialised: Whether there is an authority, whose passphrase must not be replaced.
    """
    file = passphrase_file(layout)
    if not initialised and not (file.exists() and file.read_bytes()):
        aside = file.with_name(f"{file.name}.new")
        aside.unlink(missing_ok=True)
        write_new(aside, secrets.token_hex(PASSPHRASE_BYTES).encode(), 0o600, None)
        aside.rename(file)
        sync_folder(file.parent)
    try:
        return file.read_bytes()
    except FileNotFoundError as fault:
        raise SealError(
            f"{file} is missing, and the authority of this data directory opens with nothing else: "
            "restore it from a backup, or begin with an empty data directory"
        ) from fault
