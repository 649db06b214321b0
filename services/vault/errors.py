"""The closed list of what the vault refuses or cannot do. No text of these holds anything of a number."""

from __future__ import annotations

from typing import ClassVar


class VaultError(Exception):
    """The one base; `code` is stable."""

    code: ClassVar[str] = "vault-error"


class InstrumentInvalid(VaultError):
    """What should be kept is no card or account that can be.

    Attributes:
        member: JSON pointer of what is wrong, within the instrument.
    """

    code = "instrument-invalid"

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member


class InstrumentUnknown(VaultError):
    """There is no such instrument of this merchant."""

    code = "instrument-unknown"


class SealBroken(VaultError):
    """What is stored does not open under its key and its place: changed, moved, or of another key."""

    code = "seal-broken"


class KeyMissing(VaultError):
    """The cell key that something was wrapped by is not in the file."""

    code = "key-missing"


class KeysRefused(VaultError):
    """The file of cell keys cannot be used; the message says what to do."""

    code = "keys-refused"


class StillInUse(VaultError):
    """A cell key still wraps something: rewrap first."""

    code = "still-in-use"


class Contended(VaultError):
    """The same instrument was kept and destroyed again and again meanwhile: ask once more."""

    code = "contended"
