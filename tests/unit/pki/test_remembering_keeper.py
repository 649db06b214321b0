"""A keeper that remembers opens each envelope once, and forgets what was destroyed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.custody.remembering import RememberingKeeper
from pki.errors import SealError
from pki.seal import ScryptCost

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CHEAP = ScryptCost(n=2**14)
RIGHT = PassphraseKeeper(b"a passphrase of the tests", CHEAP)
WRONG = PassphraseKeeper(b"another passphrase", CHEAP)


def test_what_was_made_or_opened_once_is_the_same_key_again() -> None:
    made, envelope = RememberingKeeper(RIGHT).make("root", NOW)
    keeper = RememberingKeeper(RIGHT)
    opened = keeper.open(envelope)

    assert opened is keeper.open(envelope)
    assert made.public_key() == opened.public_key()


def test_another_envelope_is_not_taken_for_one_that_was_opened() -> None:
    keeper = RememberingKeeper(RIGHT)
    _, envelope = keeper.make("root", NOW)
    with pytest.raises(SealError):
        keeper.open(envelope.replace(b'"root"', b'"intermediate"'))


def test_what_does_not_open_is_not_remembered() -> None:
    _, envelope = RIGHT.make("root", NOW)
    keeper = RememberingKeeper(WRONG)
    for _ in range(2):
        with pytest.raises(SealError):
            keeper.open(envelope)


def test_a_destroyed_key_is_forgotten() -> None:
    _, envelope = RIGHT.make("root", NOW)
    keeper = RememberingKeeper(RIGHT)
    before = keeper.open(envelope)
    keeper.destroy(envelope)

    assert before is not keeper.open(envelope)
