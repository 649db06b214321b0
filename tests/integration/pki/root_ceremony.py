"""A command that makes or opens a root, and nothing else: what operators' commands do with `root_options`.

Run as `python -m tests.integration.pki.root_ceremony make|open ENVELOPE`.
"""

from __future__ import annotations

import fcntl
import sys
import termios
from datetime import UTC, datetime
from pathlib import Path

import click

from pki.custody.envelope import sealed_subject
from pki.issuance import spki_sha256
from pki.secret_input import RootOptions, dealing_root_keeper, opening_root_keeper, root_options


@click.group()
def main() -> None:
    """Make or open a root."""
    if sys.stdin.isatty():  # a test that started this in a session of its own gave it a terminal
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@main.command()
@click.argument("envelope", type=click.Path(path_type=Path))
@root_options(opening=False, making=True)
def make(*, envelope: Path, root: RootOptions) -> None:
    """Make one and write its envelope."""
    key, sealed = dealing_root_keeper(root, datetime(2026, 3, 1, tzinfo=UTC)).make("root", datetime.now(UTC))
    envelope.write_bytes(sealed)
    print(spki_sha256(key.public_key()))


@main.command("open")
@click.argument("envelope", type=click.Path(path_type=Path))
@root_options(opening=True, making=False)
def open_(*, envelope: Path, root: RootOptions) -> None:
    """Open one."""
    sealed = envelope.read_bytes()
    key = opening_root_keeper(sealed, root).open(sealed)
    assert sealed_subject(sealed).spki_sha256 == spki_sha256(key.public_key())
    print(spki_sha256(key.public_key()))


if __name__ == "__main__":
    main()
