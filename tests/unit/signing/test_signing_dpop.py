from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import SigningKey
from signing.dpop import PROOF_AGE_S_MAX, PROOF_CHARS_MAX, make_proof, verify_proof
from signing.errors import ProofRefused
from signing.profile import CLOCK_SKEW_S_MAX

NOW = 1_790_000_000
TOKEN = "cmat_" + "A" * 43
OTHER_TOKEN = "cmat_" + "A" * 42 + "E"
JTI = "0123456789abcdef"
TARGET = "https://pay.example/v1/payments"
KEYS = {alg: SigningKey.generate(alg) for alg in ("ed25519", "ecdsa-p256-sha256")}
KEY = KEYS["ed25519"]


def proof_of(key: SigningKey = KEY, **changes: Any) -> str:
    of: dict[str, Any] = {"method": "GET", "target_uri": TARGET, "token": TOKEN, "now": NOW, "jti": JTI}
    return make_proof(key, **(of | changes))


def verify(proof: str, **changes: Any) -> object:
    of: dict[str, Any] = {
        "bound_to": KEY.key_id, "method": "GET", "target_uri": TARGET, "token": TOKEN, "now": NOW,
    }  # fmt: skip
    return verify_proof(proof, **(of | changes))


def text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def octets(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def signed_anew(change: Callable[[dict[str, Any], dict[str, Any]], None], key: SigningKey = KEY) -> str:
    """A proof whose header and claims were changed before it was signed."""
    header, claims = (json.loads(octets(part)) for part in proof_of(key).split(".")[:2])
    change(header, claims)
    return signed_text(json.dumps(header), json.dumps(claims), key)


def signed_text(header: str, claims: str, key: SigningKey = KEY) -> str:
    signed = f"{text(header.encode())}.{text(claims.encode())}"
    return f"{signed}.{text(key.sign(signed.encode()))}"


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("query", ["", "?limit=10&starting_after=pay_1"])
def test_a_proof_is_good_for_its_own_request(key: SigningKey, query: str) -> None:
    proof = proof_of(key, target_uri=TARGET + query)

    verified = verify_proof(
        proof, bound_to=key.key_id, method="GET", target_uri=TARGET + query, token=TOKEN, now=NOW
    )

    assert (key.key_id, JTI, NOW) == (verified.key_id, verified.jti, verified.issued_at)


def test_the_example_of_the_standard_is_accepted() -> None:
    # RFC 9449 §7.1.
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ"
        "OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs"
        "ImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJj"
        "ZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05y"
        "V0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6"
        "Fy1dqd-jfxSYoMxhAJpLjA"
    )

    verified = verify_proof(
        proof,
        bound_to="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        method="GET",
        target_uri="https://resource.example.org/protectedresource",
        token="Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
        now=1562262618,
    )

    assert "e1j3V_bKic8-LAEB" == verified.jti


@pytest.mark.parametrize(
    "changes",
    [
        {"bound_to": KEYS["ecdsa-p256-sha256"].key_id}, {"method": "POST"}, {"method": "get"},
        {"target_uri": "https://pay.example/v1/events"}, {"target_uri": "https://other.example/v1/payments"},
        {"target_uri": TARGET + "/"}, {"token": OTHER_TOKEN}, {"now": NOW + PROOF_AGE_S_MAX + 1},
        {"now": NOW - CLOCK_SKEW_S_MAX - 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_proof_is_good_for_nothing_else(changes: dict[str, Any]) -> None:
    with pytest.raises(ProofRefused):
        verify(proof_of(), **changes)


@pytest.mark.parametrize("now", [NOW + PROOF_AGE_S_MAX, NOW - CLOCK_SKEW_S_MAX])
def test_a_proof_is_good_to_the_end_of_its_time(now: int) -> None:
    verify(proof_of(), now=now)


def _private(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["jwk"]["d"] = "A" * 43


CHANGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "another type": lambda h, _: h.update(typ="JWT"),
    "no algorithm": lambda h, _: h.update(alg="none"),
    "a secret's algorithm": lambda h, _: h.update(alg="HS256"),
    "another key's algorithm": lambda h, _: h.update(alg="ES256"),
    "no key": lambda h, _: h.pop("jwk"),
    "an address for a key": lambda h, _: h.update(jku="https://evil.example"),
    "something critical": lambda h, _: h.update(crit=["exp"]),
    "a private key": _private,
    "a key that is a list": lambda h, _: h.update(jwk=[1]),
    "no name": lambda _, c: c.pop("jti"),
    "a short name": lambda _, c: c.update(jti="short"),
    "a number for a name": lambda _, c: c.update(jti=12345678901234567890),
    "no time": lambda _, c: c.pop("iat"),
    "a time with a fraction": lambda _, c: c.update(iat=float(NOW)),
    "a truth for a time": lambda _, c: c.update(iat=True),
    "a text for a time": lambda _, c: c.update(iat=str(NOW)),
    "no token's hash": lambda _, c: c.pop("ath"),
    "one claim more": lambda _, c: c.update(exp=NOW + 10_000),
    "a target with its query": lambda _, c: c.update(htu=TARGET + "?a=1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_proof_of_another_form_is_refused_though_its_key_signed_it(change: Any) -> None:
    with pytest.raises(ProofRefused):
        verify(signed_anew(change))


def test_a_member_that_occurs_twice_is_refused() -> None:
    header, claims = (octets(part).decode() for part in proof_of().split(".")[:2])
    verify(signed_text(header, claims))

    for twice in (
        (header, claims.replace('"htm"', '"htm":"POST","htm"')),
        (header.replace('"typ"', '"typ":"x","typ"'), claims),
        (header.replace('"kty"', '"kty":"EC","kty"'), claims),
    ):
        with pytest.raises(ProofRefused):
            verify(signed_text(*twice))


def test_an_altered_or_cut_proof_is_refused() -> None:
    proof = proof_of()
    head, claims, signature = proof.split(".")
    other = proof_of(jti=JTI[::-1]).split(".")[2]

    for wrong in (
        f"{head}.{claims}.{other}", f"{head}.{claims}.", f"{head}.{claims}", f"{head}.{claims}.{signature}.",
        f"{head}.{claims}.{signature}==", f" {proof}", f"{proof}\n", "", "..", "a" * (PROOF_CHARS_MAX + 1),
        f"{head}=.{claims}.{signature}", f"{head}.{claims}.{signature[:-1]}",
    ):  # fmt: skip
        with pytest.raises(ProofRefused):
            verify(wrong)


def test_a_key_of_small_order_proves_nothing() -> None:
    small = {"kty": "OKP", "crv": "Ed25519", "x": text(bytes([1]) + bytes(31))}

    with pytest.raises(ProofRefused):
        verify(signed_anew(lambda header, _: header.update(jwk=small)))


@given(st.text())
def test_whatever_is_sent_is_a_proof_or_refused(sent: str) -> None:
    with pytest.raises(ProofRefused):
        verify(sent)


@given(st.binary(), st.binary())
def test_whatever_stands_in_its_parts_is_a_proof_or_refused(header: bytes, claims: bytes) -> None:
    with pytest.raises(ProofRefused):
        verify(f"{text(header)}.{text(claims)}.{text(bytes(64))}")


@pytest.mark.parametrize("changes", [{"jti": "short"}, {"token": "secret"}])
def test_no_proof_is_made_of_what_would_be_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProofRefused):
        proof_of(**changes)
