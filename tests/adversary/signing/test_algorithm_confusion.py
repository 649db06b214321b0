"""Attack 13: the sender chooses the algorithm (RFC 9421 §7.3.6, CVE-2022-29217, CVE-2024-33663)."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes, hmac

from tests.adversary.signing import attacked_request as attack


def test_a_signed_algorithm_that_is_not_the_keys_is_refused() -> None:
    request = attack.payment_signed_with(attack.parameters(alg='"ecdsa-p256-sha256"'))
    with attack.refused("signature_invalid", match="algorithm"):
        attack.accept(request)


def test_a_public_key_is_no_hmac_secret() -> None:
    request = attack.good()
    parameters = attack.parameters(alg='"hmac-sha256"')
    base = "\n".join(
        [*attack.component_lines(request, attack.COVERED.split(" ")),
         f'"@signature-params": ({attack.COVERED}){parameters}']
    )  # fmt: skip
    spki = attack.ALICE.verifying_key.to_spki_pem()
    mac = hmac.HMAC(spki, hashes.SHA256())
    mac.update(base.encode())
    forged = base64.b64encode(mac.finalize() * 2).decode()
    request = attack.changed(
        request, "signature-input", lambda _: f"countermark=({attack.COVERED}){parameters}"
    )
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(request, "signature", lambda _: f"countermark=:{forged}:"))


@pytest.mark.parametrize(
    "algorithm",
    ["none", "hmac-sha256", "HS256", "rsa-pss-sha512", "rsa-v1_5-sha256", "ES256", "EdDSA",
     "ecdsa-p384-sha384", "ED25519", "ed25519ph", "ml-dsa-65", "", "ed25519,ecdsa-p256-sha256"],
)  # fmt: skip
def test_every_other_algorithm_is_refused_however_it_is_signed(algorithm: str) -> None:
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters(alg=f'"{algorithm}"')))


def test_a_parameter_that_claims_to_be_critical_is_refused_and_not_passed_over() -> None:
    # CVE-2025-59420 and CVE-2026-32597: libraries that ignored what they had to understand.
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters() + ';crit="b64"'))
