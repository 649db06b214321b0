"""A key in shares opens with any k of n, with nothing less, nothing mistyped and nothing of another set."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.custody.contract import open_key_of
from pki.custody.envelope import custody_of, envelope_kind, sealed_subject
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.shares import deal, join
from pki.custody.shares_keeper import SharesKeeper
from pki.errors import SealError
from pki.issuance import spki_sha256
from pki.seal import ScryptCost

CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHARES: list[str] = []
KEY, ENVELOPE = SharesKeeper.dealing(2, 3, SHARES.extend).make("root", CREATED)
FIELDS: dict[str, Any] = json.loads(ENVELOPE)
# Seals nothing: opening tells the kinds apart before any work is done.
PASSPHRASE = PassphraseKeeper(b"a passphrase of the tests", ScryptCost(n=2**14))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_subset_of_the_threshold_opens_and_no_smaller_one_does(data: st.DataObject) -> None:
    threshold = data.draw(st.integers(2, 6))
    count = data.draw(st.integers(threshold, 16))
    kek = data.draw(st.binary(min_size=32, max_size=32))
    shares = deal(kek, threshold, count).shares
    chosen = data.draw(st.permutations(shares))

    assert count == len(set(shares))
    assert kek == join(chosen[:threshold]) == join(chosen)
    for size in range(1, threshold):
        with pytest.raises(SealError, match=f"{size} of the {threshold} shares needed"):
            join(chosen[:size])


@pytest.mark.parametrize("pair", list(itertools.permutations(range(3), 2)))
def test_any_two_of_three_custodians_open_the_root(pair: tuple[int, int]) -> None:
    opened = SharesKeeper.joining([SHARES[number] for number in pair]).open(ENVELOPE)

    assert KEY.public_key() == opened.public_key()
    assert spki_sha256(KEY.public_key()) == sealed_subject(ENVELOPE).spki_sha256
    assert ("shares", "2 of 3 shares") == (envelope_kind(ENVELOPE), custody_of(ENVELOPE))


@pytest.mark.parametrize(
    "spelled",
    [
        lambda share: share.upper(),
        lambda share: "\n".join(share.split()),
        lambda share: " ".join(word[:4] for word in share.split()),
        lambda share: f"  {share.replace(' ', chr(9))}\r\n",
    ],
    ids=["capitals", "a word a line", "four letters", "spaces"],
)
def test_a_share_is_read_the_way_people_write(spelled: Any) -> None:
    SharesKeeper.joining([spelled(SHARES[0]), spelled(SHARES[2])]).open(ENVELOPE)


def refusal(shares: Sequence[str]) -> str:
    with pytest.raises(SealError) as caught:
        SharesKeeper.joining(shares).open(ENVELOPE)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert [caught.value, None, None] == chain, "what quotes words must not be in the chain"
    text = str(caught.value)
    quoted = {word for share in shares for word in share.split()[4:]} & set(text.replace(":", " ").split())
    assert set() == quoted - {"again", "order", "that", "together", "type"}
    return text


def test_a_refusal_says_which_share_and_never_a_word_of_it() -> None:
    words = SHARES[1].split()
    misspelled = " ".join([*words[:6], "xyzzy", *words[7:]])
    place = next(place for place in range(7, 30) if words[place] != words[place + 1])
    swapped = " ".join([*words[:place], words[place + 1], words[place], *words[place + 2 :]])

    assert "share 2: word 7 is not on the list" in refusal([SHARES[0], misspelled])
    assert "share 2 is mistyped" in refusal([SHARES[0], swapped])
    assert "share 1 has 32 words where 33" in refusal([" ".join(words[:-1]), SHARES[0]])
    assert "shares 1 and 3 are the same one" in refusal([SHARES[0], SHARES[1], SHARES[0]])
    assert "1 of the 2 shares needed" in refusal([SHARES[0]])
    assert "no share was given" in refusal([])


def test_shares_of_another_key_are_told_apart() -> None:
    foreign = deal(b"k" * 32, 2, 3).shares

    assert "share 2 belongs to another key" in refusal([SHARES[0], foreign[1]])
    assert "share 1 belongs to another key" in refusal(foreign)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 32), st.integers(0, 1023))
def test_one_wrong_word_never_opens(place: int, replacement: int) -> None:
    from shamir_mnemonic.wordlist import WORDLIST  # noqa: PLC0415 - only the tests pick words

    words = SHARES[0].split()
    if words[place] == WORDLIST[replacement]:
        return
    words[place] = WORDLIST[replacement]

    with pytest.raises(SealError, match="share 1"):
        SharesKeeper.joining([" ".join(words), SHARES[1]]).open(ENVELOPE)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_altered_byte_of_the_envelope_never_opens(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(ENVELOPE) - 1))
    altered = bytearray(ENVELOPE)
    altered[position] = data.draw(st.integers(0, 255))
    keeper = SharesKeeper.joining(SHARES[:2])
    if json_or_none(bytes(altered)) == FIELDS:  # white space, or the byte that was there
        assert KEY.public_key() == keeper.open(bytes(altered)).public_key()
        return

    with pytest.raises(SealError):
        keeper.open(bytes(altered))


def json_or_none(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_what_is_sealed_has_one_spelling() -> None:
    sealed = FIELDS["ciphertext"]
    assert sealed.endswith("=")
    last = sealed.rstrip("=")[-1]
    other = next(
        spelled
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        if letter != last
        and base64.b64decode(spelled := sealed.replace(f"{last}=", f"{letter}=")) == base64.b64decode(sealed)
    )

    with pytest.raises(SealError, match="was altered"):
        SharesKeeper.joining(SHARES).open(json.dumps(FIELDS | {"ciphertext": other}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"role": "intermediate"},
        {"spki_sha256": "cd" * 32},
        {"created": "2025-03-01T12:00:00+00:00"},
        {"threshold": 3},
        {"count": 4},
        {"nonce": base64.b64encode(b"m" * 12).decode()},
        {"ciphertext": base64.b64encode(b"x" * 150).decode()},
    ],
)
def test_what_an_envelope_says_is_authenticated(change: dict[str, Any]) -> None:
    with pytest.raises(SealError, match="did not open"):
        SharesKeeper.joining(SHARES).open(json.dumps(FIELDS | change).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"identifier": FIELDS["identifier"] ^ 1},
        {"threshold": 1},
        {"count": 17},
        {"threshold": True},
        {"nonce": "!"},
        {"nonce": base64.b64encode(b"n" * 16).decode()},
        {"ciphertext": ""},
        {"kdf": "none"},
        {"kdf": ["shares"]},
        {"version": 2},
        {"role": "leaf"},
        {"created": "now\x1b[2J"},
        {"extra": 1},
    ],
)
def test_an_envelope_beyond_the_limits_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SealError):
        SharesKeeper.joining(SHARES).open(json.dumps(FIELDS | change).encode())


@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (0, 2), (3, 2), (2, 17), (-1, 3)])
def test_one_person_alone_is_never_enough(threshold: int, count: int) -> None:
    with pytest.raises(SealError, match="not possible"):
        SharesKeeper.dealing(threshold, count, print)


def test_no_root_comes_into_being_whose_shares_nobody_took() -> None:
    class PrinterBurns(Exception):
        pass

    def hand_out(shares: Sequence[str]) -> None:
        raise PrinterBurns(len(shares))

    with pytest.raises(PrinterBurns, match="3"):
        SharesKeeper.dealing(2, 3, hand_out).make("root", CREATED)


def test_each_keeper_says_what_another_kind_needs() -> None:
    sealed = PASSPHRASE.make("intermediate", CREATED)[1]

    with pytest.raises(SealError, match="needs the shares of its custodians"):
        PASSPHRASE.open(ENVELOPE)
    with pytest.raises(SealError, match="needs a passphrase"):
        SharesKeeper.joining(SHARES).open(sealed)
    with pytest.raises(SealError, match="say how many shares to deal"):
        SharesKeeper.joining(SHARES).make("root", CREATED)
    for keeper in (PASSPHRASE, SharesKeeper.joining([])):
        keeper.destroy(ENVELOPE)
        keeper.destroy(sealed)


def test_a_key_of_another_ca_or_role_is_not_taken_for_this_one() -> None:
    key, sealed = PASSPHRASE.make("intermediate", CREATED)
    other = PASSPHRASE.make("intermediate", CREATED)[1]

    def opened(envelope: bytes, role: str) -> Any:
        return open_key_of(PASSPHRASE, envelope, role=role, public_key=key.public_key(), place="this CA")

    assert key.public_key() == opened(sealed, "intermediate").public_key()
    for envelope, role in ((other, "intermediate"), (sealed, "root")):
        with pytest.raises(SealError, match="not that of this CA"):
            opened(envelope, role)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_arbitrary_bytes_are_no_envelope(envelope: bytes) -> None:
    with pytest.raises(SealError):
        envelope_kind(envelope)


_VALUES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "kdf", "token_label", "key_id", "spki", "x"]), _VALUES))
def test_an_envelope_with_any_field_replaced_opens_or_is_refused(change: dict[str, Any]) -> None:
    altered = json.dumps(FIELDS | change).encode()
    try:
        SharesKeeper.joining(SHARES).open(altered)
    except SealError:
        return
    assert FIELDS == FIELDS | change


@given(st.text(max_size=300))
def test_any_text_is_a_share_or_is_refused(text: str) -> None:
    with pytest.raises(SealError):
        join([text, SHARES[0]])
