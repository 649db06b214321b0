from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.notifications.breaker import count_failures
from services.notifications.schedule import Dead, Delivered, EndpointGone, Retry, Verdict

VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(
    [Delivered(), Retry(after_s=5.0, refused=False), Retry(after_s=5.0, refused=True), Dead(), EndpointGone()]
)


@given(st.lists(st.tuples(st.sampled_from("abc"), VERDICTS), max_size=30))
def test_an_endpoint_that_took_anything_has_not_failed_in_a_row(verdicts: list[tuple[str, Verdict]]) -> None:
    failures = count_failures(verdicts)

    for endpoint_id in "abc":
        own = [verdict for each, verdict in verdicts if each == endpoint_id]
        failed = [verdict for verdict in own if isinstance(verdict, Retry | Dead)]
        assert failures[endpoint_id] == (0 if Delivered() in own else len(failed))
    assert all(failures.values())
    assert isinstance(failures, Counter)
