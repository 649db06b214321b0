from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.node.trace_context import (
    is_sampled,
    parse_traceparent,
    root_span_id_of,
    span_id_of,
    trace_id_of,
    traceparent,
)

IDS = st.text(min_size=1, max_size=40)


@given(IDS, IDS)
def test_a_trace_is_of_one_payment_and_every_process_derives_it_alike(one: str, two: str) -> None:
    assert (one == two) == (trace_id_of(one) == trace_id_of(two))
    assert (one == two) == (root_span_id_of(one) == root_span_id_of(two))
    assert root_span_id_of(one) != span_id_of("attempt", one)


@given(IDS)
def test_what_is_written_is_read_back(payment_id: str) -> None:
    pair = (trace_id_of(payment_id), root_span_id_of(payment_id))

    assert pair == parse_traceparent([traceparent(*pair)])


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["00-" + "0" * 32 + "-00f067aa0ba902b7-01"],
        ["00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01"],
        ["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
        ["01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n"],
        ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] * 2,
    ],
)
def test_anything_unusual_is_no_trace(values: list[str]) -> None:
    assert parse_traceparent(values) is None


@given(IDS, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_tells_whatever_a_smaller_one_told(name: str, one: float, two: float) -> None:
    smaller, larger = sorted((one, two))

    assert is_sampled(trace_id_of(name), 1.0)
    assert not is_sampled(trace_id_of(name), 0.0)
    assert is_sampled(trace_id_of(name), larger) or not is_sampled(trace_id_of(name), smaller)
