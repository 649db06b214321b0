"""The person at the terminal, for secrets that people read and type: never standard output or input.

Those may be a file or a pipe, and a share of a root key must end up in neither.
"""

from __future__ import annotations

import os
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

# The terminal itself ends a line after this many bytes.
LINE_BYTES_MAX = 4096
# Screen, then what scrolled off it, then the cursor to the top (ECMA-48; 3J as in xterm).
_CLEAR = "\x1b[2J\x1b[3J\x1b[H"


class Terminal:
    """The controlling terminal of this process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def show(self, text: str) -> None:
        """Write lines."""
        data = text.encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    def ask(self, question: str) -> str:
        """Write a question and return the line that is typed, visibly.

        Raises:
            click.Abort: the person ended the input, or hung up.
        """
        # An Enter too many at the question before must not answer this one.
        termios.tcflush(self._descriptor, termios.TCIFLUSH)
        self.show(question)
        line = os.read(self._descriptor, LINE_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise click.Abort
        return line.decode(errors="replace")

    def clear(self) -> None:
        """Leave nothing to read on the screen, nor above it."""
        self.show(_CLEAR)


@contextmanager
def controlling_terminal(otherwise: str) -> Iterator[Terminal]:
    """Open the controlling terminal.

    Args:
        otherwise: what to do where there is none, for the refusal.

    Raises:
        click.UsageError: there is none.
    """
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as fault:
        raise click.UsageError(f"there is nobody at a terminal: {otherwise}") from fault
    try:
        yield Terminal(descriptor)
    finally:
        os.close(descriptor)
