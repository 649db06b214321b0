"""Attack 8: inputs that make a verifier fall over before it verifies (GHSA-6wwm-chj6-h3p2)."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signing import Request, RequestRefused, parse_request, verify_request
from tests.adversary.signing import attacked_request as attack

_PRINTABLE = set(map(chr, range(32, 127))) | {"…"}


_GOOD = attack.good()


_FIELDS = [name.lower() for name, _ in _GOOD.headers]


_any_text = st.text(st.characters(), max_size=30)  # lone surrogates included, as servers decode bytes to them


_any_name = st.sampled_from([*_FIELDS, "content-encoding", "trailer", "@method"]) | _any_text


_any_value = st.sampled_from([value for _, value in _GOOD.headers]) | _any_text


_any_request = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "post"]) | _any_text,
    target_uri=st.sampled_from([_GOOD.target_uri])
    | _any_text.map(lambda text: attack.ORIGIN + text)
    | _any_text,
    headers=st.lists(st.tuples(_any_name, _any_value), max_size=10).map(tuple),
    body=st.none() | st.binary(max_size=30) | st.just(_GOOD.body),
)


_pieces = st.sampled_from(
    [
        "",
        " ",
        "\t",
        ";",
        ",",
        '"',
        "(",
        ")",
        "=",
        ":",
        "\\",
        "\n",
        "\x00",
        "é",
        "\udc80",
        "0",
        "?1",
        ";req",
        ";created=1",
    ]
)


def _accepted(request: Request, *, now: int = attack.NOW) -> bool:
    try:
        signed = parse_request(request, origins=attack.ORIGINS)
        verify_request(signed, attack.ALICE.verifying_key, now=now)
    except RequestRefused as error:
        refusal = error
    else:
        return True
    assert refusal.status in {400, 401, 413, 415}
    assert set(str(refusal)) <= _PRINTABLE  # nothing of the input's bytes reaches a log
    return False


@settings(max_examples=300)
@given(_any_request)
@example(dataclasses.replace(_GOOD, method="\ud800"))
def test_any_request_is_refused_with_a_listed_code(request_sent: Request) -> None:
    assert not _accepted(request_sent)


@settings(max_examples=400)
@given(
    name=st.sampled_from(_FIELDS),
    start=st.integers(0, 500),
    length=st.integers(0, 20),
    piece=_pieces,
)
def test_any_edit_of_a_header_of_a_good_request_is_refused(
    name: str, start: int, length: int, piece: str
) -> None:
    old = attack.value(_GOOD, name)
    new = old[:start] + piece + old[start + length :]

    assert (old == new) == _accepted(attack.changed(_GOOD, name, lambda _: new))


@settings(max_examples=100)
@given(now=st.integers(-(10**18), 10**18))
def test_a_good_request_is_accepted_at_its_time_alone(now: int) -> None:
    assert (attack.NOW - 30 <= now <= attack.NOW + 300) == _accepted(_GOOD, now=now)


@settings(max_examples=100)
@given(bit=st.integers(0, 511))
def test_any_bit_of_the_signature_counts(bit: int) -> None:
    signature = bytearray(parse_request(_GOOD, origins=attack.ORIGINS).signature)
    signature[bit // 8] ^= 1 << bit % 8
    encoded = base64.b64encode(bytes(signature)).decode()

    assert not _accepted(attack.changed(_GOOD, "signature", lambda _: f"countermark=:{encoded}:"))


@pytest.mark.parametrize(
    "parameter",
    [";req=1", ';sf="y"', ";key", ";key=1", ";bs=:AA==:", ";name", ";tr=?1", ";req=()", ";=", ";;"],
)
def test_a_component_parameter_of_the_wrong_type_is_refused_and_crashes_nothing(parameter: str) -> None:
    covered = attack.COVERED.replace('"content-type"', f'"content-type"{parameter}')
    with attack.refused("signature_malformed"):
        attack.accept(
            attack.changed(attack.good(), "signature-input", lambda old: old.replace(attack.COVERED, covered))
        )
