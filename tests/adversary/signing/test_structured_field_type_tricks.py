"""Attack 7: parameters of the wrong type or form, rightly signed, for comparisons that then never fail."""

from __future__ import annotations

import pytest

from tests.adversary.signing import attacked_request as attack

_NAMES = ("created", "expires", "nonce", "keyid", "alg", "tag")


_WRONG = {
    "created": [
        '"old"',
        '"1790000000"',
        "old",
        "1790000000.0",
        "01790000000",
        "-1",
        "+1",
        "1e9",
        "?1",
        "@1790000000",
        ":MTc5:",
        "1790000000 ",
        "1" * 16,
        "",
        "NaN",
        "٣",
    ],
    "expires": ['"x"', "x", "1790000300.0", "00", "-0", "?0", "", '"1790000300"', "Infinity"],
    "nonce": [
        "abc",
        '""',
        '"short"',
        '"' + "x" * 21 + '"',
        '"' + "x" * 65 + '"',
        '"' + "x" * 22 + '=="',
        ":bm9uY2U=:",
        '"aaaaaaaaaaaaaaaaaaaaaa\\"a"',
        '"aaaaaaaaaaaaaaaaaaaaa a"',
        "1234567890123456789012",
    ],
    "keyid": [
        '""',
        '"alice"',
        '"https://mallory.example/key"',
        "alice",
        '"' + "A" * 42 + '"',
        '"' + "A" * 44 + '"',
        '"' + "A" * 42 + 'B"',
        '"' + "A" * 42 + '="',
    ],
    "alg": [
        '"hmac-sha256"',
        '"rsa-v1_5-sha256"',
        '"rsa-pss-sha512"',
        '"none"',
        '"ED25519"',
        "ed25519",
        '""',
        '"ecdsa-p384-sha384"',
        '"ed25519 "',
        '"EdDSA"',
    ],
    "tag": [
        '"countermark-receipt-v1"',
        '"countermark-request-v2"',
        '"Countermark-request-v1"',
        '""',
        "x",
        '"web-bot-auth"',
    ],
}


def test_the_way_these_attacks_are_signed_is_accepted_when_nothing_is_changed() -> None:
    verified = attack.accept(attack.payment_signed_with(attack.parameters()))

    assert verified.nonce == attack.NONCE


@pytest.mark.parametrize(("name", "form"), [(name, form) for name, forms in _WRONG.items() for form in forms])
def test_a_parameter_of_another_type_or_form_is_refused(name: str, form: str) -> None:
    with attack.refused("signature_malformed") as refusal:
        attack.accept(attack.payment_signed_with(attack.parameters(**{name: form})))

    assert (refusal.value.code, refusal.value.status) == ("signature_malformed", 400)


@pytest.mark.parametrize("name", _NAMES)
def test_a_missing_parameter_is_refused_by_name(name: str) -> None:
    with attack.refused("signature_malformed", match=name):
        attack.accept(attack.payment_signed_with(attack.parameters(**{name: None})))


@pytest.mark.parametrize("extra", [";x=1", ";bs", ';tag2="a"', ";CREATED=1", ";sf", ";*a=1"])
def test_an_unknown_parameter_is_refused(extra: str) -> None:
    for text in (attack.parameters() + extra, extra + attack.parameters()):
        with attack.refused("signature_malformed"):
            attack.accept(attack.payment_signed_with(text))
