from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.banks.batches import (
    BATCH_ANSWER_BYTES_MAX,
    BATCH_BYTES_MAX,
    BATCH_ITEMS_MAX,
    AnswersBroken,
    Batch,
    BatchMalformed,
    Item,
    Outstanding,
    is_readable,
    read_batch,
    write_answer,
    write_batch,
)
from services.banks.messages import AMOUNT_MINOR_MAX, Attempt, AttemptAnswer, Inquiry, Operation

UETR = "0d0ff3f3-8f3f-4d0c-9a4e-0f4a3b2c1d0e"
LONGEST = "x" * 128
_names = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
_inquiries = st.builds(Inquiry, _names, _names)
_attempts = st.builds(
    Attempt, _names, _names, st.sampled_from(["collect", "payout"]), st.integers(1, AMOUNT_MINOR_MAX),
    st.from_regex(r"[A-Z]{3}", fullmatch=True), _names, _names, st.just(UETR),
    st.none() | st.from_regex(r"[\x21-\x7e]{1,64}", fullmatch=True),
)  # fmt: skip


def attempt(number: int, operation: Operation = "collect") -> Attempt:
    return Attempt(f"att_{number}", "bank-alpha", operation, 1, "EUR", "tok_x", "pay_eu_1", UETR)


def answered(places: int) -> list[bytes]:
    return [write_answer(place, AttemptAnswer(f"att_{place}", "confirmed")) for place in range(places)]


@given(st.lists(_attempts, max_size=3), st.lists(_inquiries, max_size=3))
def test_a_batch_survives_the_hop_attempts_first(attempts: list[Attempt], inquiries: list[Inquiry]) -> None:
    items: list[Item] = [*attempts, *inquiries]
    if not items:
        with pytest.raises(ValueError, match="1 to 128"):
            write_batch(items)
    else:
        assert items == read_batch(write_batch(items)).items
        assert all(is_readable(item) for item in items)


def test_a_batch_has_a_bound_on_attempts_and_inquiries_together() -> None:
    attempts = [attempt(number) for number in range(BATCH_ITEMS_MAX)]
    assert BATCH_ITEMS_MAX == len(read_batch(write_batch(attempts)).items)

    asked = msgspec.json.encode({"attempts": attempts, "inquiries": [Inquiry("bank-alpha", "att_1")]})
    with pytest.raises(BatchMalformed):
        read_batch(asked)
    with pytest.raises(ValueError, match="1 to 128"):
        write_batch([*attempts, attempt(0)])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b'{"attempts":[],"inquiries":[]}', b"[" * 100_000, b'{"attempts":"\xff"}',
        b'{"attempts":{}}', b'{"inquiries":[{"bank":"b","attempt_id":"a"}],"more":1}',
        b'{"inquiries":[{"bank":"b","attempt_id":"a"}]} ,', b'{"inquiries":[{"bank":"b"}]}',
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    with pytest.raises(BatchMalformed):
        read_batch(body)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_a_batch_or_refused(body: bytes) -> None:
    try:
        items = read_batch(body).items
    except BatchMalformed:
        return
    assert 1 <= len(items) <= BATCH_ITEMS_MAX


@given(st.integers(0, 4), st.sampled_from(["amount_minor", "uetr", "operation", "instrument"]))
def test_one_bad_item_has_its_whole_batch_refused(guilty: int, field: str) -> None:
    attempts = [msgspec.to_builtins(attempt(number)) for number in range(5)]
    attempts[guilty][field] = "1; drop"

    with pytest.raises(BatchMalformed):
        read_batch(msgspec.json.encode({"attempts": attempts}))


@pytest.mark.parametrize(
    "bad",
    [
        msgspec.structs.replace(attempt(1), amount_minor=0),
        msgspec.structs.replace(attempt(1), instrument="4111 1111"),
        msgspec.structs.replace(attempt(1), operation="transfer"),
        msgspec.structs.replace(attempt(1), amount_minor="1"),
        Inquiry("bank-alpha", ""),
        Inquiry("bank-alpha", "\ud800"),
    ],
)
def test_what_the_other_side_would_refuse_is_known_before_it_is_written(bad: Item) -> None:
    assert not is_readable(bad)


def test_the_largest_items_and_answers_fit_into_the_bounds() -> None:
    reference = '"' * 64
    largest = Attempt(
        LONGEST, LONGEST, "authorise", AMOUNT_MINOR_MAX, "EUR", LONGEST, LONGEST, UETR, reference
    )
    answer = AttemptAnswer(
        LONGEST, "confirmed", LONGEST, AMOUNT_MINOR_MAX, "EUR", reference, "d" * 64, '"' * 200
    )

    assert BATCH_BYTES_MAX >= len(write_batch([largest] * BATCH_ITEMS_MAX))
    lines = b"".join(write_answer(place, answer) for place in range(BATCH_ITEMS_MAX))
    assert BATCH_ANSWER_BYTES_MAX >= len(lines)
    assert BATCH_ITEMS_MAX == lines.count(b"\n")


@given(st.permutations(range(5)), st.integers(0, 5))
def test_answers_come_in_any_order_and_what_did_not_come_is_outstanding(order: list[int], came: int) -> None:
    outstanding, lines = Outstanding(5), answered(5)

    for place in order[:came]:
        heard = outstanding.take(lines[place])
        assert (place, f"att_{place}") == (heard.place, heard.answer.attempt_id)

    assert sorted(order[came:]) == outstanding.places


@pytest.mark.parametrize(
    "line",
    [
        answered(1)[0], write_answer(2, AttemptAnswer("att_2", "confirmed")), b"", b"{}", b"[" * 100_000,
        b"\xff", b'{"place":1}', b'{"place":-1,"answer":{"attempt_id":"a","outcome":"unsent"}}',
        b'{"place":1,"answer":{"attempt_id":"a","outcome":"maybe"}}',
        b'{"place":true,"answer":{"attempt_id":"a","outcome":"unsent"}}',
        b'{"place":1,"answer":{"attempt_id":"a","outcome":"unsent"},"more":1}',
    ],
)  # fmt: skip
def test_a_line_that_is_no_answer_to_what_is_asked_ends_the_belief(line: bytes) -> None:
    outstanding = Outstanding(2)
    outstanding.take(answered(1)[0])

    with pytest.raises(AnswersBroken):
        outstanding.take(line)

    assert [1] == outstanding.places


def test_the_same_attempt_may_stand_in_a_batch_twice() -> None:
    batch = read_batch(write_batch([attempt(1), attempt(1)]))

    assert Batch([attempt(1), attempt(1)]) == batch
