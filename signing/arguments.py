"""Arguments that several commands take, each declared once.

A module of commands offers one function that takes `add` and adds its commands; the
list of these functions in `cli` is the whole command. No argument is a secret:
secrets come over open file descriptors or from the terminal.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE: Final = "what `sign --json` printed, or HTTP text"
PUBLIC_KEYS: Final = "public key file: PEM, JWK, JWKS or whpk_ lines"
JSON: Final = "print the result, or the refusal, as one JSON object"
_PORTS: Final = range(1, 65536)
_DESCRIPTORS: Final = range(2**31)  # a C int
_DESCRIPTOR_DIGITS_MAX: Final = 10


class AddCommand(Protocol):
    """Adds a command and returns its parser; the command has `--json`, unless it brings its own.

    Args:
        name: what is typed.
        text: one line of help.
        run: takes the parsed options and returns the exit code; refusals are raised.
        has_json: add `--json`.
    """

    def __call__(
        self,
        name: str,
        text: str,
        run: Callable[[argparse.Namespace], int],
        /,
        *,
        has_json: bool = True,
    ) -> argparse.ArgumentParser: ...


def add_key(parser: argparse.ArgumentParser) -> None:
    """Add `--key` and where its passphrase is read."""
    parser.add_argument(
        "--key", type=Path, required=True, metavar="KEY.pem", help="private key: PKCS#8 PEM, or JWK"
    )
    add_passphrase(parser)


def add_passphrase(parser: argparse.ArgumentParser, option: str = "--passphrase-fd") -> None:
    """Add where a passphrase is read."""
    parser.add_argument(
        option,
        type=descriptor,
        metavar="N",
        help="read the passphrase from this open file descriptor",
    )


def add_origin(parser: argparse.ArgumentParser) -> None:
    """Add `--origin`."""
    parser.add_argument("--origin", metavar="URL", help="accept this origin alone; completes a bare path")


def add_at(parser: argparse.ArgumentParser) -> None:
    """Add `--at`."""
    parser.add_argument(
        "--at", type=int, metavar="SECONDS", help="judge as of this Unix time, for kept messages; else now"
    )


def descriptor(text: str) -> int:
    """Read the number of an open file."""
    if not text.isdecimal() or int(text[: _DESCRIPTOR_DIGITS_MAX + 1]) not in _DESCRIPTORS:
        raise argparse.ArgumentTypeError("a file descriptor is a number such as 3")
    return int(text)


def address(text: str) -> tuple[str, int]:
    """Read an address and a port."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) not in _PORTS:
        raise argparse.ArgumentTypeError("an address is HOST:PORT, such as 127.0.0.1:8443")
    return host.removeprefix("[").removesuffix("]"), int(port)
