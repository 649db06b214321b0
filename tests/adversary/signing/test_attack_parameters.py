"""Parameters of the wrong type, form, number or value, each rightly signed."""

from __future__ import annotations

import pytest

from signing import SignatureExpired, SignatureMalformed, SignatureTooEarly
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


def test_the_order_of_parameters_is_free() -> None:
    turned = "".join(f";{part}" for part in reversed(attack.parameters().split(";")[1:]))
    verified = attack.accept(attack.payment_signed_with(turned))

    assert verified.expires == attack.NOW + 300


@pytest.mark.parametrize(("name", "form"), [(name, form) for name, forms in _WRONG.items() for form in forms])
def test_a_parameter_of_another_type_or_form_is_refused(name: str, form: str) -> None:
    with pytest.raises(SignatureMalformed) as refusal:
        attack.accept(attack.payment_signed_with(attack.parameters(**{name: form})))

    assert (refusal.value.code, refusal.value.status) == ("signature_malformed", 400)


@pytest.mark.parametrize("name", _NAMES)
def test_a_missing_parameter_is_refused_by_name(name: str) -> None:
    with pytest.raises(SignatureMalformed, match=name):
        attack.accept(attack.payment_signed_with(attack.parameters(**{name: None})))


@pytest.mark.parametrize("name", _NAMES)
def test_a_parameter_given_twice_is_refused_whether_it_replaces_another_or_not(name: str) -> None:
    every = attack.parameters().split(";")[1:]
    (twice,) = [part for part in every if part.startswith(name)]
    for parts in (
        [*every, twice],
        [part for part in every if not part.startswith(_NAMES[-_NAMES.index(name) - 1])],
    ):
        if twice not in parts:
            continue
        repeated = "".join(f";{part}" for part in [*parts, twice])
        with pytest.raises(SignatureMalformed):
            attack.accept(attack.payment_signed_with(repeated))


@pytest.mark.parametrize("extra", [";x=1", ";bs", ';tag2="a"', ";CREATED=1", ";sf", ";*a=1"])
def test_an_unknown_parameter_is_refused(extra: str) -> None:
    for text in (attack.parameters() + extra, extra + attack.parameters()):
        with pytest.raises(SignatureMalformed):
            attack.accept(attack.payment_signed_with(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (";created", "; created"),
        (";created", " ;created"),
        (";created=", ";created = "),
        ("countermark=(", "countermark= ("),
        ("countermark=(", " countermark=("),
        ('("@method"', '( "@method"'),
        ('"@method" ', '"@method"  '),
        ('"@method" ', '"@method"\t'),
        (";alg=", ";\nalg="),
        ('countermark-request-v1"', 'countermark-request-v1" '),
        ('countermark-request-v1"', 'countermark-request-v1"\n'),
        ('countermark-request-v1"', 'countermark-request-v1";'),
        ("countermark=(", "countermark=(("),
    ],
)
def test_a_signature_input_that_is_not_canonical_is_refused(old: str, new: str) -> None:
    with pytest.raises(SignatureMalformed):
        attack.accept(
            attack.changed(attack.good(), "signature-input", lambda text: text.replace(old, new, 1))
        )


def test_a_signature_input_of_more_than_2_kib_is_refused() -> None:
    with pytest.raises(SignatureMalformed, match="long"):
        attack.accept(attack.changed(attack.good(), "signature-input", lambda old: old + ";" * 2048))


@pytest.mark.parametrize(
    ("created", "expires"),
    [(attack.NOW, attack.NOW), (attack.NOW, attack.NOW - 1), (attack.NOW, attack.NOW + 301), (0, attack.NOW)],
)
def test_a_lifetime_outside_1_to_300_s_is_refused(created: int, expires: int) -> None:
    with pytest.raises(SignatureMalformed, match="expires"):
        attack.accept(
            attack.payment_signed_with(attack.parameters(created=str(created), expires=str(expires)))
        )


@pytest.mark.parametrize(
    ("offset_s", "refusal"), [(-31, SignatureTooEarly), (301, SignatureExpired), (86_400, SignatureExpired)]
)
def test_a_request_is_refused_before_and_after_its_time(offset_s: int, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        attack.accept(attack.good(), now=attack.NOW + offset_s)


@pytest.mark.parametrize("offset_s", [-30, 300])
def test_a_request_is_accepted_at_the_edges_of_its_time(offset_s: int) -> None:
    verified = attack.accept(attack.good(), now=attack.NOW + offset_s)

    assert verified.created == attack.NOW


def test_a_signature_for_the_end_of_time_is_too_early() -> None:
    late = attack.parameters(created="999999999999990", expires="999999999999999")
    with pytest.raises(SignatureTooEarly):
        attack.accept(attack.payment_signed_with(late))
