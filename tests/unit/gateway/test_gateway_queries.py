from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.queries import PAGE_ITEMS_MAX, Page, page_body, parse_query
from gateway.errors import BothCursors, ValidationFailed

URI = "https://pay.example/v1/payments"


def test_no_query_is_the_first_page() -> None:
    assert Page() == parse_query(URI, Page)


def test_each_parameter_is_read() -> None:
    assert Page(limit=7, starting_after="pay_eu_1") == parse_query(
        f"{URI}?limit=7&starting_after=pay_eu_1", Page
    )


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        (f"limit={PAGE_ITEMS_MAX + 1}", "?limit"),
        ("limit=", "?limit"),
        ("limit=-1", "?limit"),
        ("limit=1.0", "?limit"),
        ("limit=01", "?limit"),
        ("limit=1&limit=1", "?"),
        ("limits=1", "?"),
        ("starting_after=", "?starting_after"),
        ("starting_after=a.b", "?starting_after"),
        ("&", "?"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(query: str, pointer: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_query(f"{URI}?{query}", Page)

    assert [pointer] == [fault.pointer for fault in refused.value.faults]


def test_a_page_has_one_cursor() -> None:
    with pytest.raises(BothCursors):
        parse_query(f"{URI}?starting_after=a&ending_before=b", Page)


@given(st.text(alphabet="abcdef=&_0129.-%", max_size=60))
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        page = parse_query(f"{URI}?{query}", Page)
    except (ValidationFailed, BothCursors):
        return
    assert 1 <= page.limit <= PAGE_ITEMS_MAX


def test_a_page_that_ends_before_an_item_is_shown_newest_first_too() -> None:
    body = page_body("/v1/payments", [4, 5, 6], Page(limit=2, ending_before="x"))

    assert {"object": "list", "url": "/v1/payments", "has_more": True, "data": [5, 4]} == body
