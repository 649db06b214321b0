"""Shares of a key-encrypting key as words on paper: SLIP-39, one group, k of n.

Reading forgives what people do (capital letters, line breaks, words cut to their first four letters) and
nothing else. A refusal names a share by its place in the order given, and never a word of it. Pure but for
the randomness of dealing. Source: SLIP-0039; its checksum finds any error of up to three words.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics
from shamir_mnemonic.wordlist import WORDLIST

from pki.errors import SealError

if TYPE_CHECKING:
    from collections.abc import Sequence

KEK_BYTES = 32
# With a threshold of one, each custodian alone could open the key: that is a passphrase written down n times.
THRESHOLD_MIN = 2
# SLIP-39 has four bits for the number of a share.
SHARES_COUNT_MAX = 16
# What SLIP-39 makes of 256 bits: 4 words of parameters, 26 of the share's value, 3 of checksum.
SHARE_WORDS = 33
# Two lines of 33 long words are under 300 bytes; whatever is much longer is another file.
SHARE_TEXT_BYTES_MAX = 4096
# No two words of the SLIP-39 list begin with the same four letters.
_TELLING_LETTERS = 4
_WORDS = {word[:_TELLING_LETTERS]: word for word in WORDLIST}
# The stretching is for a passphrase, and there is none: the key-encrypting key has 256 random bits.
_ITERATION_EXPONENT = 0


@dataclass(frozen=True, slots=True)
class Dealt:
    """A key-encrypting key dealt out.

    Attributes:
        shares: one string of words for each custodian, in the order of their numbers.
        identifier: the number that all of them carry; it tells sets of shares apart, and is no secret.
    """

    shares: tuple[str, ...]
    identifier: int


def require_quorum(threshold: int, count: int) -> None:
    """Check how many of how many shares are asked for.

    Raises:
        SealError: outside what is possible or sensible.
    """
    if not THRESHOLD_MIN <= threshold <= count <= SHARES_COUNT_MAX:
        raise SealError(
            f"{threshold} of {count} shares is not possible: at least {THRESHOLD_MIN} must be needed to open "
            f"the key, and at most {SHARES_COUNT_MAX} can be dealt"
        )


def deal(kek: bytes, threshold: int, count: int) -> Dealt:
    """Deal out a key-encrypting key, and check that what was dealt leads back to it.

    Args:
        kek: 32 random bytes.
        threshold: how many shares will be needed.
        count: how many there will be.

    Raises:
        SealError: see `require_quorum`; or the shares do not lead back.
    """
    require_quorum(threshold, count)
    (shares,) = generate_mnemonics(1, [(threshold, count)], kek, iteration_exponent=_ITERATION_EXPONENT)
    # Each share is in one of these sets: a fault of the memory or the library must not be found in years.
    for first in [*range(0, count - threshold, threshold), count - threshold]:
        if join(shares[first : first + threshold]) != kek:
            raise SealError(
                "the shares that were dealt do not lead back to the key: nothing was kept, try again"
            )
    return Dealt(tuple(shares), Share.from_mnemonic(shares[0]).identifier)


def join(shares: Sequence[str], *, identifier: int | None = None) -> bytes:
    """Join shares to the key-encrypting key.

    Args:
        shares: words, separated by white space; at least as many as needed, in any order.
        identifier: of the set that they must be from, if known.

    Raises:
        SealError: naming the share that is mistyped, of another set, or there twice, or how many are missing.
    """
    read = read_set(shares, identifier)
    if not read:
        raise SealError("no share was given: ask the custodians for theirs")
    needed = read[0].member_threshold
    if len(read) < needed:
        raise SealError(
            f"{len(read)} of the {needed} shares needed were given: ask more custodians for theirs"
        )
    kek = b""
    with suppress(MnemonicError):
        kek = combine_mnemonics([share.mnemonic() for share in read[:needed]])
    if len(kek) != KEK_BYTES:
        raise SealError("these shares were not dealt together: compare the dates on them, and use one set")
    return kek


def read_set(shares: Sequence[str], identifier: int | None) -> list[Share]:
    """Read shares that must be of one set, and each there once; too few are no fault here.

    Raises:
        SealError: naming the share that is mistyped, of another set, or there twice.
    """
    read = [read_share(words, place) for place, words in enumerate(shares, start=1)]
    if read:
        _require_one_set(read, identifier)
    return read


def read_share(text: str, place: int) -> Share:
    """Read one share.

    Args:
        text: its words, or the first four letters of each.
        place: of this share in the order given, from 1, for the refusal.

    Raises:
        SealError: naming the place of the share and of the word, never the word.
    """
    words = text.lower().split()
    if len(words) != SHARE_WORDS:
        raise SealError(f"share {place} has {len(words)} words where {SHARE_WORDS} are needed: type it again")
    whole = []
    for number, word in enumerate(words, start=1):
        found = _WORDS.get(word[:_TELLING_LETTERS])
        if found is None or len(word) < _TELLING_LETTERS or not found.startswith(word):
            raise SealError(f"share {place}: word {number} is not on the list of words: type it again")
        whole.append(found)
    # The library's own refusals quote words; they end here.
    with suppress(MnemonicError):
        share = Share.from_mnemonic(" ".join(whole))
        if share.group_count == 1 and share.member_threshold >= THRESHOLD_MIN:
            return share
    raise SealError(f"share {place} is mistyped, or its words are in another order: type it again")


def _require_one_set(read: list[Share], identifier: int | None) -> None:
    wanted = (
        identifier if identifier is not None else Counter(s.identifier for s in read).most_common(1)[0][0]
    )
    seen: dict[int, int] = {}
    for place, share in enumerate(read, start=1):
        if share.identifier != wanted or share.group_parameters() != read[0].group_parameters():
            raise SealError(
                f"share {place} belongs to another key: ask its custodian for the one of this key"
            )
        if share.index in seen:
            raise SealError(f"shares {seen[share.index]} and {place} are the same one: each counts once")
        seen[share.index] = place
