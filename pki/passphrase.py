"""How a passphrase gets in: through a file descriptor, or typed at a prompt.

Never in an argument (every account sees those), never in the environment (every child inherits it).
"""

from __future__ import annotations

import os
import sys

import click

from pki.seal import PASSPHRASE_BYTES_MAX


def read_passphrase(descriptor: int | None, *, confirm: bool, whose: str = "the authority") -> bytes:
    """Return the passphrase.

    Args:
        descriptor: an open file descriptor to read to its end, without its last line end; None to prompt.
        whose: what it opens, for the prompt.
        confirm: ask twice at the prompt, because a new secret with a typing error is a lost secret.

    Raises:
        click.UsageError: the descriptor cannot be read, or there is nobody to ask.
    """
    if descriptor is not None:
        # Two more than allowed: a line end, and one that shows that it is too long.
        return read_descriptor(descriptor, PASSPHRASE_BYTES_MAX + 2).removesuffix(b"\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask for the passphrase: give --passphrase-fd")
    prompt = f"New passphrase of {whose}" if confirm else f"Passphrase of {whose}"
    typed: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return typed.encode()


def read_descriptor(descriptor: int, bytes_max: int) -> bytes:
    """Return what an open file descriptor holds, to its end or to this many bytes.

    Raises:
        click.UsageError: it cannot be read.
    """
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(bytes_max)
    except OSError as fault:
        raise click.UsageError(
            f"file descriptor {descriptor} cannot be read ({fault.strerror}): "
            f"open it in the shell, for example `{descriptor}<secret-file`"
        ) from fault
