"""The signed file: what is refused, and that nothing but a refusal comes out of hostile bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import services.fraud
from services.fraud.errors import KeysRefused, RulesMalformed, RulesUnsigned
from services.fraud.rule_file import open_rules, parse_pinned_keys, sign_rules
from services.fraud.rules import RULES_BYTES_MAX, parse_rules
from signing import SigningKey
from tests.unit.services.fraud.rule_samples import AMOUNT, BURST, DAY, KNOWN, STOLEN, pack_text

KEY, OTHER = SigningKey.generate("ed25519"), SigningKey.generate("ed25519")
TRUSTED = [KEY.verifying_key]
TEXT = pack_text(AMOUNT, BURST, DAY, STOLEN, KNOWN)
SIGNED = sign_rules(TEXT, KEY)
STANDARD = Path(services.fraud.__file__).parent / "standard_rules.toml"


def test_what_was_signed_opens() -> None:
    signed = open_rules(SIGNED, TRUSTED)

    assert ("test", 1, KEY.key_id) == (signed.pack.name, signed.pack.version, signed.signer)
    assert f"test@1:{signed.digest.hex()}" == signed.label


def test_signing_again_replaces_the_signature() -> None:
    assert OTHER.key_id == open_rules(sign_rules(SIGNED, OTHER), [OTHER.verifying_key]).signer
    assert SIGNED == sign_rules(sign_rules(SIGNED, OTHER), KEY)


def test_the_rules_of_a_new_cell_can_be_signed() -> None:
    assert "standard" == open_rules(sign_rules(STANDARD.read_bytes(), KEY), TRUSTED).pack.name


@pytest.mark.parametrize(
    "document",
    [
        TEXT,
        b"",
        SIGNED[:-1],
        SIGNED + b"\n",
        SIGNED + b"[[rule]]\n",
        SIGNED.replace(b"version = 1", b"version = 2"),
        SIGNED.replace(b"\n", b"\r\n"),
        sign_rules(TEXT, OTHER),
        # The name of the pinned key over another's signature.
        sign_rules(TEXT, OTHER).replace(OTHER.key_id.encode(), KEY.key_id.encode()),
        sign_rules(pack_text(AMOUNT), KEY).rpartition(b"# ")[0] + SIGNED[SIGNED.rfind(b"# ") :],
        TEXT.rstrip(b"\n") + SIGNED[SIGNED.rfind(b"# ") :],
    ],
)
def test_rules_without_a_signature_by_a_pinned_key_are_refused(document: bytes) -> None:
    with pytest.raises(RulesUnsigned):
        open_rules(document, TRUSTED)


def test_a_signature_of_another_purpose_is_none_of_rules() -> None:
    forged = TEXT + SIGNED[SIGNED.rfind(b"# ") :][:71] + b"A" * 86 + b"==\n"

    with pytest.raises(RulesUnsigned):
        open_rules(forged, TRUSTED)


@given(place=st.integers(0, len(SIGNED) - 1), value=st.integers(0, 255))
@example(place=len(SIGNED) - 4, value=ord("Z"))
def test_no_byte_of_signed_rules_can_be_changed(place: int, value: int) -> None:
    changed = SIGNED[:place] + bytes([value]) + SIGNED[place + 1 :]
    if changed == SIGNED:
        return

    with pytest.raises(RulesUnsigned):
        open_rules(changed, TRUSTED)


@pytest.mark.parametrize("digit", b"BPRZbz/")
def test_a_signature_has_one_spelling(digit: int) -> None:
    """The last digit before the padding holds two bits of the signature: what is in the rest must be zero."""
    assert SIGNED.endswith(b"==\n")

    with pytest.raises(RulesUnsigned):
        open_rules(SIGNED[:-4] + bytes([digit]) + b"==\n", TRUSTED)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "allow"},
        {"window_s": 61},
        {"window_s": 3660},
        {"window_s": 604800 + 3600},
        {"over_minor": {"EUR": 1}},
        {"over_count": -1},
        {"subject": "bank"},
        {"name": "Burst"},
        {"name": "a b"},
        {"sometimes": "yes"},
        {"kind": "score"},
        {"window_s": 600.0},
        {"over_count": "3"},
    ],
)
def test_a_rule_that_is_not_exactly_of_its_form_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RulesMalformed):
        parse_rules(pack_text(BURST | changes))


def test_a_velocity_without_a_limit_is_refused() -> None:
    with pytest.raises(RulesMalformed, match="burst"):
        parse_rules(pack_text({key: part for key, part in BURST.items() if key != "over_count"}))


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(RulesMalformed, match="two rules are named large"):
        parse_rules(pack_text(AMOUNT, AMOUNT))


def test_nothing_is_left_out_of_what_is_signed() -> None:
    hidden = TEXT + b"# countermark-rule-pack-v1 see below\n" + pack_text(STOLEN).partition(b"\n\n")[2]

    for body in (hidden, SIGNED + b"# more\n", SIGNED + TEXT):
        with pytest.raises(RulesMalformed):
            sign_rules(body, KEY)


def test_rules_that_would_be_refused_are_not_signed() -> None:
    with pytest.raises(RulesMalformed):
        sign_rules(b"format = 1\n", KEY)
    with pytest.raises(KeysRefused):
        sign_rules(TEXT, SigningKey.generate("ecdsa-p256-sha256"))


_PIECE = st.sampled_from(
    [b"[[rule]]\n", b"kind = ", b'"velocity"\n', b"format = 1\n", b"[", b"{", b'"', b"\n", b"=", b"\xff"]
) | st.binary(max_size=8)


@given(body=st.lists(_PIECE, max_size=60).map(b"".join) | st.binary(max_size=300))
@example(body=b"a = " + b"[" * 20_000)
@example(body=b"a" * (RULES_BYTES_MAX + 1))
@example(body=b"a = " + b"9" * 10_000)
@example(body=b"a = 1979-05-27T07:32:00Z\n")
def test_hostile_rules_are_refused_and_nothing_else_happens(body: bytes) -> None:
    with pytest.raises(RulesMalformed):
        parse_rules(body)


@given(start=st.integers(0, len(TEXT)), length=st.integers(0, 40), piece=st.binary(max_size=20))
def test_damaged_rules_are_read_or_refused(start: int, length: int, piece: bytes) -> None:
    try:
        parse_rules(TEXT[:start] + piece + TEXT[start + length :])
    except RulesMalformed:
        return  # Nothing else may be raised.


@given(content=st.binary(max_size=200))
def test_pinned_keys_are_keys_or_refused(content: bytes) -> None:
    with pytest.raises(KeysRefused):
        parse_pinned_keys(content)


def test_pinned_keys_are_ed25519_and_nothing_stands_beside_them() -> None:
    pem = KEY.verifying_key.to_spki_pem()

    assert [KEY.key_id, OTHER.key_id] == [
        key.key_id for key in parse_pinned_keys(pem + OTHER.verifying_key.to_spki_pem())
    ]
    for refused in (
        pem + b"# by hand\n",
        SigningKey.generate("ecdsa-p256-sha256").verifying_key.to_spki_pem(),
    ):
        with pytest.raises(KeysRefused):
            parse_pinned_keys(refused)
