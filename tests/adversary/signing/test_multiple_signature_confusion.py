"""Attack 4: several signatures, of which another one is verified than the one believed (RFC 9421 §7.2.6)."""

from __future__ import annotations

import pytest

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
        with attack.refused("signature_malformed"):
            attack.accept(request, key.verifying_key)


@pytest.mark.parametrize("name", ["Signature", "signature-input", "SIGNATURE"])
def test_a_second_field_line_is_refused(name: str) -> None:
    request = attack.good()
    with attack.refused("header_duplicated") as refusal:
        attack.accept(request.with_headers(((name, attack.value(request, name.lower())),)))

    assert (refusal.value.code, refusal.value.status) == ("header_duplicated", 400)


def test_a_member_without_its_partner_is_refused() -> None:
    more_input, more = _appended(", ")
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(attack.good(), "signature-input", lambda old: old + more_input))
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(attack.good(), "signature", lambda old: old + more))


def test_fields_with_different_labels_are_refused() -> None:
    with attack.refused("signature_malformed"):
        attack.accept(
            attack.changed(attack.good(), "signature", lambda old: old.replace("countermark", "sig1"))
        )


@pytest.mark.parametrize("name", ["signature", "signature-input"])
def test_a_missing_field_is_a_missing_signature(name: str) -> None:
    with attack.refused("signature_missing") as refusal:
        attack.accept(attack.without(attack.good(), name))

    assert (refusal.value.code, refusal.value.status) == ("signature_missing", 401)


def test_mallorys_signature_under_alices_key_id_is_refused() -> None:
    alices, mallorys = attack.good(), attack.good(attack.MALLORY)
    with attack.refused("signature_invalid"):
        attack.accept(attack.changed(alices, "signature", lambda _: attack.value(mallorys, "signature")))


def test_mallorys_key_under_alices_request_is_refused() -> None:
    with attack.refused("signature_invalid", match="key id"):
        attack.accept(attack.good(), attack.MALLORY.verifying_key)


def test_a_tampered_signature_followed_by_a_valid_one_of_somebody_else_is_refused() -> None:
    # A library was seen to return the last result alone: true, whatever the first one was.
    more_input, more = _appended(", ")
    alices = attack.good()
    tampered = attack.changed(alices, "signature", lambda old: old.replace(":", ":AAAA", 1)[:-5] + ":")
    both = attack.changed(tampered, "signature-input", lambda old: old + more_input)
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(both, "signature", lambda old: old + more))


def test_what_was_verified_says_whose_key_it_was() -> None:
    for key in (attack.ALICE, attack.ALICE_P256, attack.MALLORY):
        verified = attack.accept(attack.good(key), key.verifying_key)

        assert (key.key_id, key.alg) == (verified.key_id, verified.alg)
