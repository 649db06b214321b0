"""Attack 11: a second valid spelling of a signature must be the same request, never a new one."""

from __future__ import annotations

import base64

import pytest

from tests.adversary.signing import attacked_request as attack

_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_an_ecdsa_twin_is_accepted_but_leaves_every_claim_as_it_was() -> None:
    request = attack.good(attack.ALICE_P256)
    first = attack.accept(request, attack.ALICE_P256.verifying_key)
    s = int.from_bytes(first.signature[32:], "big")
    twin = first.signature[:32] + (_ORDER_P256 - s).to_bytes(32, "big")
    encoded = f"countermark=:{base64.b64encode(twin).decode()}:"
    again = attack.accept(
        attack.changed(request, "signature", lambda _: encoded), attack.ALICE_P256.verifying_key
    )

    assert first.signature != again.signature
    assert (first.nonce, first.idempotency_key, first.signature_base) == (
        again.nonce,
        again.idempotency_key,
        again.signature_base,
    )


def test_an_ed25519_twin_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    request = attack.good()
    signature = attack.accept(request).signature
    s = int.from_bytes(signature[32:], "little") + order
    twin = base64.b64encode(signature[:32] + s.to_bytes(32, "little")).decode()
    with attack.refused("signature_invalid"):
        attack.accept(attack.changed(request, "signature", lambda _: f"countermark=:{twin}:"))


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (_ORDER_P256, 1),
        (1, _ORDER_P256),
        (_ORDER_P256, _ORDER_P256),
        (2**256 - 1, 2**256 - 1),
    ],
)
def test_degenerate_ecdsa_values_are_refused(r: int, s: int) -> None:
    encoded = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    request = attack.changed(
        attack.good(attack.ALICE_P256), "signature", lambda _: f"countermark=:{encoded}:"
    )
    with attack.refused("signature_invalid"):
        attack.accept(request, attack.ALICE_P256.verifying_key)
