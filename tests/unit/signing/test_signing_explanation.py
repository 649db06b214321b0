from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import SignatureMissing, explain, first_difference, signature_base
from tests.unit.signing import signing_samples as samples

BASE = samples.parsed(samples.signed(samples.payment())).signature_base


def test_the_base_of_a_signed_request_is_shown_whatever_its_signature_is_worth() -> None:
    request = samples.signed(samples.payment())
    broken = samples.with_header(request, "signature", f"countermark=:{'A' * 86}==:")

    assert signature_base(broken) == BASE
    with pytest.raises(SignatureMissing):
        signature_base(samples.payment())


@pytest.mark.parametrize(
    ("old", "new", "component", "advice"),
    [
        (b"POST", b"post", "@method", "method"),
        (b"/v1/payments", b"/v1/./payments", "@target-uri", "proxies"),
        (b"sha-256=:", b"sha-256=:A", "content-digest", "serialised again"),
        (b"attempt-1", b"attempt-2", "idempotency-key", "quotes"),
        (b"application/json", b"application/xml", "content-type", "application/json"),
        (b";created=", b";keyid=", "@signature-params", "Signature-Input"),
    ],
)
def test_the_first_difference_names_its_component(
    old: bytes, new: bytes, component: str, advice: str
) -> None:
    difference = first_difference(BASE, BASE.replace(old, new))

    assert difference is not None
    assert component == difference.component
    assert advice in explain(BASE, BASE.replace(old, new))


def test_equal_bases_have_no_difference_and_point_at_the_key() -> None:
    assert first_difference(BASE, BASE) is None
    assert "key" in explain(BASE, BASE)


def test_a_base_that_ends_early_differs_at_its_end() -> None:
    shorter = first_difference(BASE[:10], BASE)
    longer = first_difference(BASE, BASE[:10])

    assert shorter is not None
    assert longer is not None
    assert (shorter.offset, longer.offset) == (10, 10)
    assert (shorter.component, shorter.ours) == ("", "(ends here)")
    assert longer.theirs == "(ends here)"


@given(ours=st.binary(max_size=60), theirs=st.binary(max_size=60))
def test_the_difference_is_where_the_common_part_ends(ours: bytes, theirs: bytes) -> None:
    difference = first_difference(ours, theirs)
    if difference is None:
        assert ours == theirs
        return

    assert ours[: difference.offset] == theirs[: difference.offset]
    assert (
        ours[difference.offset : difference.offset + 1] != theirs[difference.offset : difference.offset + 1]
    )
    assert str(difference).isascii()
