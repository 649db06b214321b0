"""Attack 18: signatures that live too long, come too early, or are from the end of time."""

from __future__ import annotations

import pytest

from signing import SignatureExpired, SignatureTooEarly
from tests.adversary.signing import attacked_request as attack


@pytest.mark.parametrize(
    ("created", "expires"),
    [(attack.NOW, attack.NOW), (attack.NOW, attack.NOW - 1), (attack.NOW, attack.NOW + 301), (0, attack.NOW)],
)
def test_a_lifetime_outside_1_to_300_s_is_refused(created: int, expires: int) -> None:
    with attack.refused("signature_malformed", match="expires"):
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
    with attack.refused("signature_too_early"):
        attack.accept(attack.payment_signed_with(late))


@pytest.mark.parametrize("lifetime_s", [1, 10, 299])
def test_a_shorter_lifetime_ends_with_the_skew_after_it(lifetime_s: int) -> None:
    request = attack.payment_signed_with(attack.parameters(expires=str(attack.NOW + lifetime_s)))
    last = min(attack.NOW + lifetime_s + 30, attack.NOW + 300)
    verified = attack.accept(request, now=last)

    assert attack.NOW + lifetime_s == verified.expires
    with attack.refused("signature_expired"):
        attack.accept(request, now=last + 1)
