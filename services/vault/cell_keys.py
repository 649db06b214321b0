"""The keys at the top: versions in one file that the vault's account alone may read; the newest wraps.

`CellKeys` is the seam for an HSM or a KMS: whoever implements it never hands a key out. The file is parsed by
a pure function; it is read again when it has changed, so that a new version needs no restart.
"""

from __future__ import annotations

import re
import secrets
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from services.vault.envelope import KEY_BYTES, NONCE_BYTES, seal, unseal
from services.vault.errors import KeyMissing, KeysRefused

FILE_BYTES_MAX: Final = 16 * 1024  # Two hundred versions; two or three is what anybody keeps.
VERSION_MAX: Final = 2**31 - 1  # A column of type int.
_LINE: Final = re.compile(rb"([1-9][0-9]{0,9}) ([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)\n")


class CellKeys(Protocol):
    """What wraps merchants' keys; a call may cross a network."""

    async def newest(self) -> int:
        """The version that wraps from now on."""
        ...

    async def wrap(self, version: int, key: bytes, place: bytes) -> bytes:
        """Wrap a key for its place.

        Raises:
            KeyMissing: There is no such version.
        """
        ...

    async def unwrap(self, version: int, wrapped: bytes, place: bytes) -> bytes:
        """Open what was wrapped for this place.

        Raises:
            KeyMissing: There is no such version.
            SealBroken: It was not wrapped by it for this place.
        """
        ...


class FileCellKeys:
    """`CellKeys` from a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[int, bytes] = {}

    def read(self) -> Mapping[int, bytes]:
        """The keys as the file has them now.

        Raises:
            KeysRefused: The file cannot be read or is none.
        """
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._keys, self._seen = parse_keys(self._file.read_bytes()), seen
        except OSError as fault:
            raise KeysRefused(f"the cell keys cannot be read: {fault.strerror}") from fault
        return self._keys

    async def newest(self) -> int:
        """See `CellKeys`."""
        return max(self.read())

    async def wrap(self, version: int, key: bytes, place: bytes) -> bytes:
        """See `CellKeys`."""
        return seal(self._key(version), key, place, nonce=secrets.token_bytes(NONCE_BYTES))

    async def unwrap(self, version: int, wrapped: bytes, place: bytes) -> bytes:
        """See `CellKeys`."""
        return unseal(self._key(version), wrapped, place)

    def _key(self, version: int) -> bytes:
        key = self.read().get(version)
        if key is None:
            raise KeyMissing(f"the cell key {version} is not in the file: put its line back")
        return key


def parse_keys(content: bytes) -> Mapping[int, bytes]:
    """Read lines `VERSION BASE64`, versions rising, each key of 32 bytes and there once.

    Raises:
        KeysRefused: It is anything else; no key is repeated in the message.
    """
    lines = content.splitlines(keepends=True) if len(content) <= FILE_BYTES_MAX else []
    found = [_LINE.fullmatch(line) for line in lines]
    versions = [int(each[1]) for each in found if each is not None]
    keys = [a2b_base64(each[2]) for each in found if each is not None]
    if not lines or len(keys) != len(lines) or any(len(key) != KEY_BYTES for key in keys):
        raise KeysRefused("the file of cell keys has lines `VERSION BASE64`, and nothing else")
    if sorted(set(versions)) != versions or versions[-1] > VERSION_MAX:
        raise KeysRefused("the versions of the cell keys do not rise")
    if len(set(keys)) < len(keys):
        raise KeysRefused("two versions of the cell keys are one key")
    return dict(zip(versions, keys, strict=True))


def with_new_key(content: bytes) -> bytes:
    """The file with a fresh key under the next version; of no content, with version 1.

    Raises:
        KeysRefused: The content is no such file.
    """
    version = max(parse_keys(content)) + 1 if content else 1
    fresh = b2a_base64(secrets.token_bytes(KEY_BYTES), newline=False)
    return content + str(version).encode() + b" " + fresh + b"\n"


def without_key(content: bytes, version: int) -> bytes:
    """The file without one version, which must not be the newest.

    Raises:
        KeysRefused: It is not there, or nothing would wrap after it.
    """
    versions = parse_keys(content)
    if version not in versions or version == max(versions):
        raise KeysRefused(f"the cell key {version} is not an older one of the file")
    kept = [line for line in content.splitlines(keepends=True) if int(line.split(b" ")[0]) != version]
    return b"".join(kept)
