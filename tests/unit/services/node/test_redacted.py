from __future__ import annotations

import copy
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.node.redacted import SHOWN, Redacted, dec_hook, decoder_of, enc_hook

SECRET = "4242424242424242"


class Message(msgspec.Struct):
    number: Redacted


def test_it_shows_itself_nowhere() -> None:
    secret = Redacted(SECRET)

    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", "%s" % secret,  # noqa: UP031
             repr(Message(secret)), str({"a": [secret]}), repr([secret])]  # fmt: skip
    assert [] == [text for text in shown if SECRET in text]
    assert SHOWN == str(secret)
    assert SECRET == secret.reveal()


def test_it_is_written_only_by_an_encoder_that_knows_it() -> None:
    message = Message(Redacted(SECRET))

    assert b'{"number":"4242424242424242"}' == msgspec.json.encode(message, enc_hook=enc_hook)
    for write in (msgspec.json.encode, pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError) as refused:
            write(message)
        assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_no_other_type_is_written_by_its_encoder() -> None:
    with pytest.raises(NotImplementedError):
        msgspec.json.encode(object(), enc_hook=enc_hook)


@given(st.text())
def test_it_comes_back_as_it_was(text: str) -> None:
    octets = msgspec.json.encode(Message(Redacted(text)), enc_hook=enc_hook)

    assert text == decoder_of(Message).decode(octets).number.reveal()


@pytest.mark.parametrize(
    "octets", [b'{"number":4242424242424242}', b'{"number":null}', b'{"number":["4242"]}']
)
def test_a_message_that_cannot_be_read_is_not_repeated(octets: bytes) -> None:
    with pytest.raises(msgspec.DecodeError) as refused:
        decoder_of(Message).decode(octets)

    assert "4242" not in str(refused.value)


def test_it_equals_what_says_the_same_and_no_text() -> None:
    assert Redacted(SECRET) == Redacted(SECRET)
    assert Redacted(SECRET) != Redacted("5555555555554444")
    assert Redacted(SECRET) != SECRET
    assert hash(Redacted(SECRET)) != hash(SECRET)


def test_the_hook_makes_nothing_else() -> None:
    with pytest.raises(ValueError, match="a text"):
        dec_hook(bytes, "4242")
