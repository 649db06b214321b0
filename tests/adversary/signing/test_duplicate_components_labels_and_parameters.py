"""Attack 6: the same component, label or parameter twice, for parsers that keep one and sign the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from signing import Request
from tests.adversary.signing import attacked_request as attack


def _joined_with(more: str) -> Callable[[str], str]:
    return lambda old: f"{old}, {more}"


_COMPONENTS = attack.COVERED.split(" ")


def _signed_over(components: list[str]) -> Request:
    covered = " ".join(components)
    return attack.payment_signed_with(attack.parameters(), covered)


@pytest.mark.parametrize("component", ['"@authority"', '"@path"', '"@method"'])
@pytest.mark.parametrize("index", [0, 5])
def test_a_component_added_or_repeated_is_refused(component: str, index: int) -> None:
    with attack.refused("signature_malformed"):
        attack.accept(_signed_over([*_COMPONENTS[:index], component, *_COMPONENTS[index:]]))


_NAMES = ("created", "expires", "nonce", "keyid", "alg", "tag")


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
        with attack.refused("signature_malformed"):
            attack.accept(attack.payment_signed_with(repeated))


@pytest.mark.parametrize("field", ["signature-input", "signature", "both"])
def test_a_label_that_occurs_twice_is_refused(field: str) -> None:
    # RFC 9651 lets the last of two equal keys win: which one was verified would depend on the parser.
    request, other = attack.good(), attack.good(attack.MALLORY)
    for name in ("signature-input", "signature") if field == "both" else (field,):
        more = attack.value(other, name)
        request = attack.changed(request, name, _joined_with(more))
    for key in (attack.ALICE, attack.MALLORY):
        with attack.refused("signature_malformed"):
            attack.accept(request, key.verifying_key)


@pytest.mark.parametrize("label", ["sig1", "Countermark", "countermark2", "*countermark"])
def test_any_other_label_is_refused_though_labels_are_not_signed(label: str) -> None:
    with attack.refused("signature_malformed", match=r"label|member"):
        attack.accept(attack.payment_signed_with(attack.parameters(), label=label))
