"""Second signatures, labels, members and field lines: exactly one of each is accepted."""

from __future__ import annotations

import pytest

from signing import (
    HeaderDuplicated,
    RequestRefused,
    RequestSignatureInvalid,
    SignatureMalformed,
    SignatureMissing,
)
from tests.adversary.signing import attacked_request as attack


def _appended(separator: str) -> tuple[str, str]:
    mallory = attack.good(attack.MALLORY)
    other_input = attack.value(mallory, "signature-input").replace("countermark=", "mallory=", 1)
    other = attack.value(mallory, "signature").replace("countermark=", "mallory=", 1)
    return separator + other_input, separator + other


@pytest.mark.parametrize("separator", [", ", ",", " , "])
@pytest.mark.parametrize("order", ["after", "before"])
def test_a_second_signature_in_the_same_fields_is_refused(separator: str, order: str) -> None:
    more_input, more = _appended(separator)
    request = attack.good()
    if order == "after":
        request = attack.changed(request, "signature-input", lambda old: old + more_input)
        request = attack.changed(request, "signature", lambda old: old + more)
    else:
        request = attack.changed(
            request, "signature-input", lambda old: more_input[len(separator) :] + separator + old
        )
        request = attack.changed(request, "signature", lambda old: more[len(separator) :] + separator + old)
    for key in (attack.ALICE, attack.MALLORY):
        with pytest.raises(SignatureMalformed):
            attack.accept(request, key.verifying_key)


@pytest.mark.parametrize("name", ["Signature", "signature-input", "SIGNATURE"])
def test_a_second_field_line_is_refused(name: str) -> None:
    request = attack.good()
    with pytest.raises(HeaderDuplicated) as refusal:
        attack.accept(request.with_headers(((name, attack.value(request, name.lower())),)))

    assert (refusal.value.code, refusal.value.status) == ("header_duplicated", 400)


def test_a_member_without_its_partner_is_refused() -> None:
    more_input, more = _appended(", ")
    with pytest.raises(SignatureMalformed):
        attack.accept(attack.changed(attack.good(), "signature-input", lambda old: old + more_input))
    with pytest.raises(SignatureMalformed):
        attack.accept(attack.changed(attack.good(), "signature", lambda old: old + more))


@pytest.mark.parametrize("label", ["sig1", "Countermark", "countermark2", "*countermark"])
def test_any_other_label_is_refused_though_labels_are_not_signed(label: str) -> None:
    with pytest.raises(SignatureMalformed, match=r"label|member"):
        attack.accept(attack.payment_signed_with(attack.parameters(), label=label))


def test_fields_with_different_labels_are_refused() -> None:
    with pytest.raises(SignatureMalformed):
        attack.accept(
            attack.changed(attack.good(), "signature", lambda old: old.replace("countermark", "sig1"))
        )


@pytest.mark.parametrize("name", ["signature", "signature-input"])
def test_a_missing_field_is_a_missing_signature(name: str) -> None:
    with pytest.raises(SignatureMissing) as refusal:
        attack.accept(attack.without(attack.good(), name))

    assert (refusal.value.code, refusal.value.status) == ("signature_missing", 401)


def test_mallorys_signature_under_alices_key_id_is_refused() -> None:
    alices, mallorys = attack.good(), attack.good(attack.MALLORY)
    with pytest.raises(RequestSignatureInvalid):
        attack.accept(attack.changed(alices, "signature", lambda _: attack.value(mallorys, "signature")))


def test_mallorys_key_under_alices_request_is_refused() -> None:
    with pytest.raises(RequestSignatureInvalid, match="key id"):
        attack.accept(attack.good(), attack.MALLORY.verifying_key)


@pytest.mark.parametrize(
    "form",
    [
        "countermark=:AAAA:",
        "countermark=::",
        "countermark=",
        "countermark",
        "countermark=:{0}: ",
        " countermark=:{0}:",
        "countermark=:{0}:;x=1",
        "countermark=:{0}",
        "countermark=:{0}=:",
        'countermark="{0}"',
        "countermark=:{0}:\n",
        "countermark=:" + "A" * 2000 + ":",
    ],
)
def test_a_signature_in_another_form_is_refused(form: str) -> None:
    encoded = attack.value(attack.good(), "signature").removeprefix("countermark=:").removesuffix(":")
    with pytest.raises(SignatureMalformed):
        attack.accept(attack.changed(attack.good(), "signature", lambda _: form.format(encoded)))


def test_base64_with_left_over_bits_is_refused() -> None:
    request = attack.good()
    encoded = attack.value(request, "signature")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = encoded[-4]
    twin = encoded[:-4] + alphabet[alphabet.index(last) + 1] + encoded[-3:]
    with pytest.raises(RequestRefused):
        attack.accept(attack.changed(request, "signature", lambda _: twin))
