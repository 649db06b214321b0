"""What opens a root or keeps a new one, from the command line: descriptors, prompts, and the right keeper.

Passphrases, shares and PINs come through file descriptors or are typed; arguments and the environment carry
none. Add `root_options` to a command and hand what it collected to the two functions.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pki.custody.envelope import custody_of, envelope_kind, quorum_of, token_of
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.pkcs11_keeper import Pkcs11Keeper
from pki.custody.shares import SHARE_TEXT_BYTES_MAX, require_quorum
from pki.custody.shares_keeper import SharesKeeper
from pki.errors import SealError
from pki.passphrase import read_descriptor, read_passphrase
from pki.share_exchange import FileHandOut, ScreenHandOut, ask_for_shares, share_from_text
from pki.terminal import controlling_terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pki.custody.contract import Keeper

# PKCS #11 names no limit; makers allow up to 255 bytes.
PIN_BYTES_MAX = 255
_QUORUM = re.compile(r"(\d{1,2})-of-(\d{1,2})", re.ASCII)
_Command = TypeVar("_Command", bound="Callable[..., Any]")


class QuorumType(click.ParamType[tuple[int, int]]):
    """How many of how many shares, such as 2-of-3."""

    name = "K-of-N"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click has it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, int]:
        """Parse it."""
        if isinstance(value, tuple):
            return value
        found = _QUORUM.fullmatch(value)
        if found is None:
            self.fail("say it like 2-of-3", param, ctx)
        quorum = int(found[1]), int(found[2])
        try:
            require_quorum(*quorum)
        except SealError as fault:
            self.fail(str(fault), param, ctx)
        return quorum


@dataclass(slots=True)
class RootOptions:
    """What the options of `root_options` said; each descriptor is read once, however often asked for."""

    root_passphrase_fd: int | None = None
    share_fds: tuple[int, ...] = ()
    pin_fd: int | None = None
    pkcs11_module: Path | None = None
    root_shares: tuple[int, int] | None = None
    shares_dir: Path | None = None
    root_token: str | None = None
    _pin: str | None = field(default=None, repr=False)
    _passphrase: bytes | None = field(default=None, repr=False)

    def pin(self, token: str) -> str:
        """Return the PIN; one for both, where a root moves from one token to another.

        Raises:
            click.UsageError: it cannot be read, or is not text.
        """
        if self._pin is None:
            self._pin = _read_pin(self.pin_fd, token)
        return self._pin

    def passphrase(self, otherwise: bytes | None, *, confirm: bool) -> bytes:
        """Return the root's passphrase: its own, else the one that the command has already, else typed."""
        if self._passphrase is None:
            own = self.root_passphrase_fd is not None or otherwise is None
            self._passphrase = (
                read_passphrase(self.root_passphrase_fd, confirm=confirm, whose="the root")
                if own
                else otherwise
            )
        assert self._passphrase is not None
        return self._passphrase

    def module(self) -> str:
        """Return the path of the PKCS #11 module.

        Raises:
            click.UsageError: it was not given.
        """
        if self.pkcs11_module is None:
            raise click.UsageError(
                "the root is kept in a token: give --pkcs11-module, the path of its library"
            )
        return str(self.pkcs11_module)


_OPENING = (
    click.option(
        "--share-fd", "share_fds", type=click.IntRange(min=0), metavar="N", multiple=True,
        help="Read a share of the root from this open file descriptor; once for each share needed.",
    ),
)  # fmt: skip
_MAKING = (
    click.option(
        "--root-shares", type=QuorumType(), help="Deal the new root out to N people; any K open it.",
    ),
    click.option(
        "--shares-dir", type=click.Path(path_type=Path, file_okay=False),
        help="Write the shares into files here; without it, show them on the terminal one by one.",
    ),
    click.option("--root-token", metavar="LABEL", help="Make the new root inside this PKCS #11 token."),
)  # fmt: skip
_BOTH = (
    click.option(
        "--root-passphrase-fd", type=click.IntRange(min=0), metavar="N",
        help="Read the root's passphrase from this descriptor, if it is another than the authority's.",
    ),
    click.option(
        "--pkcs11-module", type=click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True),
        help="The library of the token that the root is in.",
    ),
    click.option(
        "--pin-fd", type=click.IntRange(min=0), metavar="N",
        help="Read the token's user PIN from this open file descriptor; without it, prompt.",
    ),
)  # fmt: skip
_NAMES = (
    "root_passphrase_fd",
    "share_fds",
    "pin_fd",
    "pkcs11_module",
    "root_shares",
    "shares_dir",
    "root_token",
)


def root_options(*, opening: bool, making: bool) -> Callable[[_Command], _Command]:
    """Add the options for a command's root; the command gets them as its argument `root`, a `RootOptions`.

    Args:
        opening: it opens a root that exists.
        making: it makes a new one.
    """
    options = (*(_OPENING if opening else ()), *(_MAKING if making else ()), *_BOTH)

    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def collected(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the command takes and returns
            given = {name: kwargs.pop(name) for name in _NAMES if name in kwargs}
            return command(*args, root=RootOptions(**given), **kwargs)

        wrapped: Any = collected
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate


def opening_root_keeper(envelope: bytes, options: RootOptions, *, passphrase: bytes | None = None) -> Keeper:
    """Return the keeper that opens a root.

    Args:
        envelope: the root's, as stored; it says what is needed.
        options: of the command.
        passphrase: the authority's, if the command has read it: roots are sealed under the same by default.

    Raises:
        SealError: no envelope of ours, or a share was mistyped too often.
        click.UsageError: what is needed was not given, or something else was.
    """
    kind = envelope_kind(envelope)
    if options.share_fds and kind != "shares":
        raise click.UsageError(f"this root does not open with shares but with its {custody_of(envelope)}")
    if kind == "shares":
        if len(set(options.share_fds)) != len(options.share_fds):
            raise click.UsageError("each --share-fd names a descriptor of its own")
        given = [share_from_text(read_descriptor(fd, SHARE_TEXT_BYTES_MAX)) for fd in options.share_fds]
        return SharesKeeper.joining(given or ask_for_shares(quorum_of(envelope)))
    if kind == "pkcs11":
        label = token_of(envelope)
        return Pkcs11Keeper(options.module(), label, options.pin(label))
    return PassphraseKeeper(options.passphrase(passphrase, confirm=False))


def retiring_root_keeper(envelope: bytes, options: RootOptions) -> Keeper | None:
    """Return the keeper that destroys a root where its file is not all there is of it; else None.

    Args:
        envelope: the root's, as stored.
        options: of the command.

    Raises:
        SealError: no envelope of ours.
        click.UsageError: the root is in a token, and what opens that was not given.
    """
    if envelope_kind(envelope) != "pkcs11":
        return None
    return opening_root_keeper(envelope, options)


def dealing_root_keeper(options: RootOptions, now: datetime, *, passphrase: bytes | None = None) -> Keeper:
    """Return the keeper that a new root is made with.

    Args:
        options: of the command.
        now: written on the shares.
        passphrase: the authority's, if the command has read it; seals the root if nothing else was asked for.

    Raises:
        SealError: the passphrase or the token's label is no good.
        click.UsageError: options contradict each other, or there is nobody to show shares to.
    """
    if options.root_shares is not None and options.root_token is not None:
        raise click.UsageError("a root is dealt out in shares, or made in a token, and not both")
    if options.shares_dir is not None and options.root_shares is None:
        raise click.UsageError("--shares-dir says where shares go: say how many with --root-shares")
    if options.root_token is not None:
        return Pkcs11Keeper(options.module(), options.root_token, options.pin(options.root_token))
    if options.root_shares is None:
        return PassphraseKeeper(options.passphrase(passphrase, confirm=True))
    threshold, count = options.root_shares
    if options.shares_dir is not None:
        return SharesKeeper.dealing(threshold, count, FileHandOut(options.shares_dir, threshold, now))
    with controlling_terminal("give --shares-dir"):  # found out now, not after a key was made
        return SharesKeeper.dealing(threshold, count, ScreenHandOut(threshold, now))


def _read_pin(descriptor: int | None, token: str) -> str:
    if descriptor is None:
        if not sys.stdin.isatty():
            raise click.UsageError("there is nobody to ask for the PIN: give --pin-fd")
        typed: str = click.prompt(f"PIN of token {token}", hide_input=True, err=True)
        return typed
    text = read_descriptor(descriptor, PIN_BYTES_MAX + 2).removesuffix(b"\n")
    if not 0 < len(text) <= PIN_BYTES_MAX:
        raise click.UsageError(f"a PIN has 1 to {PIN_BYTES_MAX} bytes")
    try:
        return text.decode()
    except UnicodeDecodeError as fault:
        raise click.UsageError("the PIN is not UTF-8 text") from fault
