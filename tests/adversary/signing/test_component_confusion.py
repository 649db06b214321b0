"""Attack 2: signatures that are right, but cover less, more or something else (RFC 9421 §7.2.1)."""

from __future__ import annotations

import dataclasses

import pytest

from signing import Request, sign_request
from tests.adversary.signing import attacked_request as attack

_COMPONENTS = attack.COVERED.split(" ")


def _signed_over(components: list[str]) -> Request:
    covered = " ".join(components)
    return attack.payment_signed_with(attack.parameters(), covered)


def test_the_way_these_attacks_are_signed_is_accepted_when_nothing_is_changed() -> None:
    verified = attack.accept(_signed_over(_COMPONENTS))

    assert attack.ALICE.key_id == verified.key_id


@pytest.mark.parametrize("index", range(5))
def test_a_component_taken_out_is_refused(index: int) -> None:
    with attack.refused("signature_malformed", match="covered components"):
        attack.accept(_signed_over(_COMPONENTS[:index] + _COMPONENTS[index + 1 :]))


def test_a_signature_over_nothing_is_refused() -> None:
    with attack.refused("signature_malformed"):
        attack.accept(_signed_over([]))


@pytest.mark.parametrize("index", range(4))
def test_another_order_is_refused(index: int) -> None:
    order = list(_COMPONENTS)
    order[index], order[index + 1] = order[index + 1], order[index]
    with attack.refused("signature_malformed"):
        attack.accept(_signed_over(order))


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("parameter", [";req", ";bs", ";sf", ';key="sha-256"', ";tr", ";x", ";req=?0"])
def test_a_component_with_a_parameter_is_refused(index: int, parameter: str) -> None:
    components = list(_COMPONENTS)
    components[index] += parameter
    with attack.refused("signature_malformed"):
        attack.accept(_signed_over(components))


@pytest.mark.parametrize("component", ['"Content-Type"', '"content-type "', "content-type", "'content-type'"])
def test_a_component_in_another_spelling_is_refused(component: str) -> None:
    spelled = attack.COVERED.replace('"content-type"', component)
    with attack.refused("signature_malformed"):
        attack.accept(
            attack.changed(attack.good(), "signature-input", lambda old: old.replace(attack.COVERED, spelled))
        )


def test_a_gets_coverage_does_not_do_for_a_request_that_acts() -> None:
    get = attack.good_get()
    acting = attack.good()
    borrowed = attack.changed(acting, "signature-input", lambda _: attack.value(get, "signature-input"))
    with attack.refused("signature_malformed"):
        attack.accept(attack.changed(borrowed, "signature", lambda _: attack.value(get, "signature")))
    with attack.refused("signature_malformed"):
        attack.accept(_signed_over(_COMPONENTS[:2]))


def test_a_get_signed_as_if_it_acted_is_refused() -> None:
    request = attack.unsigned()
    fields = sign_request(request, attack.ALICE, now=attack.NOW, nonce=attack.NONCE)
    get = dataclasses.replace(request, method="GET", body=None, headers=fields)
    with attack.refused("signature_malformed"):
        attack.accept(get)
