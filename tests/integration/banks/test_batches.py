"""Many attempts in one request: whole or not at all on the way in, one by one on the way back."""

from __future__ import annotations

import asyncio

import msgspec

from services.bank_simulator.script import BankScript
from services.banks.batches import BATCH_BYTES_MAX, BATCH_ITEMS_MAX, BATCHES_PATH, write_batch
from services.banks.messages import MESSAGE_BYTES_MAX
from tests.integration.banks.bank_parts import Parts, attempt


async def test_a_slow_item_holds_up_none_of_its_batch(parts: Parts) -> None:
    slow = asyncio.create_task(parts.client.send(attempt("slow", "tok_timeout_then_success")))
    answers = await asyncio.gather(*(parts.client.send(attempt(number)) for number in range(40)))

    assert {"confirmed"} == {answer.outcome for answer in answers}
    assert not slow.done()
    assert "unknown" == (await slow).outcome
    assert 41 == len(parts.ledger("bank-alpha"))


async def test_answers_find_their_own_items_whatever_order_they_come_in(parts: Parts) -> None:
    await parts.script("bank-alpha", BankScript(latency_ms_max=100))
    many = range(BATCH_ITEMS_MAX + 72)  # More than one batch takes; every fifth goes to a bank that exists.
    banks = {number: "bank-nobody" if number % 5 else "bank-alpha" for number in many}

    answers = await asyncio.gather(
        *(parts.client.send(attempt(number, amount_minor=1 + number, bank=banks[number])) for number in many)
    )

    assert [
        (f"att_eu_{number}", *(("unsent", None) if number % 5 else ("confirmed", 1 + number)))
        for number in many
    ] == [(answer.attempt_id, answer.outcome, answer.amount_minor) for answer in answers]
    assert len(many) // 5 == len(parts.ledger("bank-alpha"))


async def test_a_bank_that_is_away_costs_its_neighbours_in_the_batch_nothing(parts: Parts) -> None:
    await parts.stop_bank("bank-bravo")

    away, nobody, there, asked = await asyncio.gather(
        parts.client.send(attempt(1, bank="bank-bravo")),
        parts.client.send(attempt(2, bank="bank-nobody")),
        parts.client.send(attempt(3)),
        parts.client.inquire("bank-alpha", "att_eu_4"),
    )

    assert ("unsent", "unsent", "confirmed", "not_found") == (
        away.outcome, nobody.outcome, there.outcome, asked.outcome
    )  # fmt: skip
    assert (None, "no such bank is configured") == (away.alarm, nobody.alarm)


async def test_one_bad_item_on_the_wire_has_the_whole_batch_refused(parts: Parts) -> None:
    hop = await parts.hop("payments", "banks")
    items = [msgspec.to_builtins(attempt(number)) for number in range(3)]
    items[1]["amount_minor"] = -1

    answer = await hop.call("POST", BATCHES_PATH, msgspec.json.encode({"attempts": items}))

    assert (400, {"code": "batch-malformed"}) == (answer.status, msgspec.json.decode(answer.body))
    assert [] == parts.ledger("bank-alpha")


async def test_a_bad_item_never_leaves_and_its_neighbours_do(parts: Parts) -> None:
    bad, good = await asyncio.gather(
        parts.client.send(attempt(1, "4111 1111 1111 1111")), parts.client.send(attempt(2))
    )

    assert ("unsent", "confirmed") == (bad.outcome, good.outcome)
    assert bad.alarm is not None


async def test_a_request_above_the_bounds_is_refused_before_anything_is_begun(parts: Parts) -> None:
    hop = await parts.hop("payments", "banks")
    bank = await parts.hop("bank-alpha", "banks")
    padded = write_batch([attempt(1)]).ljust(BATCH_BYTES_MAX + 1)

    assert 413 == (await hop.call("POST", BATCHES_PATH, padded)).status
    assert 413 == (await hop.call("POST", "/v1/settlement", b" " * (MESSAGE_BYTES_MAX + 1))).status
    assert 413 == (await bank.call("POST", "/v1/callbacks", b" " * (MESSAGE_BYTES_MAX + 1))).status
    assert [] == parts.ledger("bank-alpha")


async def test_nobody_but_payments_sends_batches(parts: Parts) -> None:
    bank = await parts.hop("bank-alpha", "banks")

    assert 403 == (await bank.call("POST", BATCHES_PATH, write_batch([attempt(1)]))).status
