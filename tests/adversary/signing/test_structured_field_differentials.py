"""Attack 23: one field, two readings. What is accepted has one spelling; a general parser reads the same."""

from __future__ import annotations

import hashlib
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adversary.signing import attacked_request as attack


def test_the_order_of_parameters_is_free() -> None:
    turned = "".join(f";{part}" for part in reversed(attack.parameters().split(";")[1:]))
    verified = attack.accept(attack.payment_signed_with(turned))

    assert verified.expires == attack.NOW + 300


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
    with attack.refused("signature_malformed"):
        attack.accept(
            attack.changed(attack.good(), "signature-input", lambda text: text.replace(old, new, 1))
        )


def test_a_signature_input_of_more_than_2_kib_is_refused() -> None:
    with attack.refused("signature_malformed", match="long"):
        attack.accept(attack.changed(attack.good(), "signature-input", lambda old: old + ";" * 2048))


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
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(attack.good(), "signature", lambda _: form.format(encoded)))


def test_base64_with_left_over_bits_is_refused() -> None:
    request = attack.good()
    encoded = attack.value(request, "signature")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = encoded[-4]
    twin = encoded[:-4] + alphabet[alphabet.index(last) + 1] + encoded[-3:]
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(request, "signature", lambda _: twin))


@pytest.mark.parametrize(
    ("name", "code"), [("signature", "signature_malformed"), ("content-digest", "digest_malformed")]
)
def test_base64url_is_not_base64(name: str, code: str) -> None:
    request = next(
        request
        for number in range(100)
        if {"+", "/"} & set(attack.value(request := attack.good(body=b"%d" % number), name))
    )
    with attack.refused(code):
        attack.accept(attack.changed(request, name, lambda old: old.replace("+", "-").replace("/", "_")))


def _read_in_general(field: str) -> Any:
    return http_sf.parse(field.encode("ascii"), tltype="dictionary")


@given(st.permutations(attack.parameters().split(";")[1:]))
def test_a_general_parser_reads_what_is_accepted_in_the_same_way(order: list[str]) -> None:
    request = attack.payment_signed_with("".join(f";{part}" for part in order))
    verified = attack.accept(request)
    field = attack.value(request, "signature-input")
    ((label, (covered, read)),) = _read_in_general(field).items()

    assert ("countermark", attack.COVERED) == (label, " ".join(f'"{name}"' for name, _ in covered))
    assert {
        "created": verified.created,
        "expires": verified.expires,
        "nonce": verified.nonce,
        "keyid": verified.key_id,
        "alg": verified.alg,
        "tag": "countermark-request-v1",
    } == read
    assert field == http_sf.ser({label: (covered, read)})


def test_a_general_parser_reads_signature_and_digest_in_the_same_way() -> None:
    request = attack.good()
    verified = attack.accept(request)
    signature = _read_in_general(attack.value(request, "signature"))
    digest = _read_in_general(attack.value(request, "content-digest"))

    assert {"countermark": (verified.signature, {})} == signature
    assert {"sha-256": (hashlib.sha256(request.body or b"").digest(), {})} == digest
