"""Shares on their way to custodians and back: in files, or on the screen one custodian at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pki.custody.shares import SHARE_TEXT_BYTES_MAX, SHARE_WORDS, read_set
from pki.durable_files import sync_folder, write_new
from pki.errors import SealError
from pki.terminal import controlling_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from pki.custody.envelope import Quorum
    from pki.terminal import Terminal

# Who mistypes more often than this should look for another copy of the share.
TYPING_TRIES_MAX = 5
_WORDS_IN_A_ROW = 5
_COLUMN = 14


@dataclass(frozen=True, slots=True)
class FileHandOut:
    """Writes one file for each custodian into a folder: whoever runs the command carries them apart."""

    folder: Path
    threshold: int
    now: datetime

    def __call__(self, shares: Sequence[str]) -> None:
        """Write all files, or none.

        Raises:
            SealError: one exists already, or cannot be written.
        """
        written: list[Path] = []
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for number, words in enumerate(shares, start=1):
                path = self.folder / f"share-{number}-of-{len(shares)}.txt"
                written.append(path)
                write_new(path, self._text(number, len(shares), words), 0o600, None)
            sync_folder(self.folder)
        except OSError as fault:
            if isinstance(fault, FileExistsError) and written:
                written.pop()
            for path in written:
                path.unlink(missing_ok=True)
            raise SealError(
                f"{fault.filename or self.folder}: {fault.strerror}; no share was written, no root was made: "
                "name another folder"
            ) from fault

    def _text(self, number: int, count: int, words: str) -> bytes:
        return (
            f"# Share {number} of {count} of a Countermark root key, made {self.now:%Y-%m-%d}.\n"
            f"# Any {self.threshold} of them open it: no two belong in one place.\n"
            f"{words}\n"
        ).encode()


@dataclass(frozen=True, slots=True)
class ScreenHandOut:
    """Shows one share at a time, and clears the screen before the next custodian comes."""

    threshold: int
    now: datetime

    def __call__(self, shares: Sequence[str]) -> None:
        """Show every share to its custodian.

        Raises:
            click.UsageError: there is no terminal.
            click.Abort: somebody broke it off; no root is made.
        """
        with controlling_terminal("give --shares-dir") as terminal:
            try:
                for number, words in enumerate(shares, start=1):
                    self._show(terminal, number, len(shares), words)
            finally:
                terminal.clear()

    def _show(self, terminal: Terminal, number: int, count: int, words: str) -> None:
        terminal.clear()
        terminal.ask(
            f"Share {number} of {count}. Only its custodian may see the screen now. Press Enter to see it."
        )
        terminal.show(
            f"Share {number} of {count}, made {self.now:%Y-%m-%d}; any {self.threshold} open the root\n"
        )
        numbered = [f"{place:2} {word}".ljust(_COLUMN) for place, word in enumerate(words.split(), start=1)]
        for first in range(0, len(numbered), _WORDS_IN_A_ROW):
            terminal.show("".join(numbered[first : first + _WORDS_IN_A_ROW]).rstrip())
        terminal.ask("\nWrite all of this down and compare it. Press Enter to clear the screen.")


def share_from_text(text: bytes) -> str:
    """Return the words in a file of a share: lines that begin with # are for people."""
    lines = text[:SHARE_TEXT_BYTES_MAX].decode(errors="replace").splitlines()
    return " ".join(line for line in lines if not line.lstrip().startswith("#"))


def ask_for_shares(quorum: Quorum) -> list[str]:
    """Ask custodians for as many shares as are needed, one after the other, each until it is right.

    Raises:
        click.UsageError: there is no terminal.
        click.Abort: somebody broke it off.
        SealError: one was wrong too often; it says in what.
    """
    shares: list[str] = []
    with controlling_terminal("give --share-fd for each share") as terminal:
        for place in range(1, quorum.threshold + 1):
            shares.append(_ask_until_right(terminal, shares, place, quorum))
    return shares


def _ask_until_right(terminal: Terminal, earlier: list[str], place: int, quorum: Quorum) -> str:
    question = (
        f"Share {place} of the {quorum.threshold} that are needed: its {SHARE_WORDS} words in one line "
        "(the first four letters of each are enough)."
    )
    for attempt in range(1, TYPING_TRIES_MAX + 1):
        try:
            typed = share_from_text(terminal.ask(question).encode())
        finally:
            terminal.clear()
        try:
            read_set([*earlier, typed], quorum.identifier)
        except SealError as fault:
            if attempt == TYPING_TRIES_MAX:
                raise
            terminal.show(f"{fault}.")
        else:
            return typed
    raise click.Abort
