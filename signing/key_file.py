"""Key files of the command: private keys for their owner alone, passphrases never on display.

A passphrase comes from the terminal or from an open file descriptor; never from
arguments or the environment, which other processes and logs can see.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import stat
import sys
import warnings
from pathlib import Path
from typing import Final

from .errors import KeyRefused
from .key_set import keys_from_jwks
from .keys import Algorithm, SigningKey, VerifyingKey
from .private_jwk import signing_key_from_jwk_document
from .webhook import PUBLIC_KEY_PREFIX, webhook_key_from_text

_SECRET_BYTES_MAX: Final = 1023  # what OpenSSL takes as a passphrase
_KEY_FILE_BYTES_MAX: Final = 64 * 1024
_OWNER_ALONE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def generate_key_files(alg: Algorithm, out: Path, passphrase: bytes | None) -> tuple[SigningKey, Path]:
    """Write a new private key, and its public JWK beside it.

    Args:
        alg: the algorithm.
        out: the private key's path, mode 0600; it must not exist.
        passphrase: encrypts the file; None for a plain one.

    Returns:
        The key, and the path of the public JWK.

    Raises:
        FileExistsError: one of the files exists; neither is touched.
    """
    if not out.name:
        raise IsADirectoryError(errno.EISDIR, "is a directory: name a new file in it", str(out))
    public_path = out.with_suffix(".jwk.json")
    if public_path.exists():
        raise FileExistsError(errno.EEXIST, "exists already, and is never overwritten", str(public_path))
    key = SigningKey.generate(alg)
    _write_new(out, key.to_pem(passphrase), _OWNER_ALONE)
    _write_new(public_path, json.dumps(key.verifying_key.to_jwk(), indent=2).encode("ascii") + b"\n", 0o644)
    return key, public_path


def load_signing_key(path: Path, passphrase_fd: int | None) -> SigningKey:
    """Load a private key: a PEM, an encrypted PEM, or a private JWK.

    Args:
        path: the file.
        passphrase_fd: where the passphrase of an encrypted file is read; None asks the terminal.

    Raises:
        KeyRefused: not a usable key, or no passphrase can be had.
        OSError: the file cannot be read.
    """
    content = _read(path)
    if path.stat().st_mode & _OTHERS:
        print(f"warning: others can read {path}: chmod 600 it", file=sys.stderr)
    if content.lstrip()[:1] == b"{":
        return signing_key_from_jwk_document(content.strip())
    passphrase = None
    if b"ENCRYPTED" in content:
        passphrase = read_passphrase(passphrase_fd, f"Passphrase of {path}: ")
    return SigningKey.from_pem(content, passphrase)


def load_verifying_keys(path: Path) -> dict[str, VerifyingKey]:
    """Load public keys by key id: a PEM, a JWK, a JWKS, or webhook keys (`whpk_`), one a line.

    Raises:
        KeyRefused: none of these.
        OSError: the file cannot be read.
    """
    content = _read(path)
    if content.lstrip()[:1] == b"{":
        # One JWK is read as a set of one, so that the set's strictness holds for it too.
        members = content.strip()
        is_set = b'"keys"' in members
        return keys_from_jwks(members if is_set else b'{"keys":[' + members + b"]}")
    if content.startswith(PUBLIC_KEY_PREFIX.encode("ascii")):
        lines = content.decode("ascii", "replace").split()
        keys = [webhook_key_from_text(line) for line in lines]
    elif b"PRIVATE KEY" in content:
        raise KeyRefused("this is a private key: give the public one, which was written beside it")
    else:
        keys = [VerifyingKey.from_spki_pem(content)]
    return {key.key_id: key for key in keys}


def read_passphrase(passphrase_fd: int | None, prompt: str, *, repeat: bool = False) -> bytes:
    """Return a passphrase, from the descriptor if there is one, else from the terminal.

    Raises:
        KeyRefused: empty, too long, typed differently twice, or there is no terminal.
    """
    return read_secret(passphrase_fd, prompt, name="passphrase", option="--passphrase-fd", repeat=repeat)


def read_secret(
    descriptor: int | None, prompt: str, *, name: str, option: str, repeat: bool = False
) -> bytes:
    """Return one line that nobody else sees, from the descriptor if there is one, else from the terminal.

    Args:
        descriptor: an open file; it is not closed.
        prompt: what the terminal shows.
        name: what the secret is called in errors.
        option: the option that takes a descriptor, named in errors.
        repeat: ask the terminal twice.

    Raises:
        KeyRefused: empty, too long, typed differently twice, or there is no terminal.
        OSError: the descriptor cannot be read.
    """
    if descriptor is not None:
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                secret = stream.readline(_SECRET_BYTES_MAX + 2).rstrip(b"\r\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{option} {descriptor}") from error
    else:
        secret = _ask(prompt, name, option)
        if repeat and _ask("Again: ", name, option) != secret:
            raise KeyRefused(f"the two {name}s differ: type the same one twice")
    if not 1 <= len(secret) <= _SECRET_BYTES_MAX:
        raise KeyRefused(f"a {name} has 1 to {_SECRET_BYTES_MAX} bytes")
    return secret


def _ask(prompt: str, name: str, option: str) -> bytes:
    with warnings.catch_warnings():
        # getpass would fall back to a visible prompt; that is refused instead.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt).encode()
        except (getpass.GetPassWarning, EOFError) as error:
            raise KeyRefused(f"there is no terminal to ask for the {name}: use {option}") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        content = stream.read(_KEY_FILE_BYTES_MAX + 1)
    if len(content) > _KEY_FILE_BYTES_MAX:
        raise KeyRefused(f"a key file has at most {_KEY_FILE_BYTES_MAX} bytes")
    return content


def _write_new(path: Path, content: bytes, mode: int) -> None:
    # O_EXCL decides who creates the file and with what mode; there is no moment in between.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
