from __future__ import annotations

import pytest

from signing import Algorithm, SigningKey
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import first_key_request, payment_request


@pytest.mark.parametrize("alg", ["ed25519", "ecdsa-p256-sha256"])
async def test_a_key_that_nobody_registered_is_refused(stack: Gateway, alg: Algorithm) -> None:
    stranger = SigningKey.generate(alg)

    await refuse(stack, stack.sign(payment_request(), stranger), 401, "key_unknown", rows=0, signed=False)


async def test_an_unknown_key_cannot_introduce_itself_with_an_invented_token(stack: Gateway) -> None:
    stranger = SigningKey.generate("ed25519")
    invented = {"merchant_id": "mer_eu_nobody", "enrolment_token": f"cmet_eu_{'0' * 26}.{'A' * 43}"}
    request = stack.sign(first_key_request(stranger, invented), stranger)

    # Possession of the key is proven, so the refusal is signed; whose key it is, is not.
    await refuse(stack, request, 403, "not_permitted", rows=0, signed=True)
