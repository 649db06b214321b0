"""Two numbers that occur nowhere else go through the whole mesh; then all that was written is searched."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from compose.launcher.stack import Stack
from signing import ReceiptMissing, Request
from tests.mesh.enrolled_merchant import EnrolledMerchant, send_until_answered
from tests.mesh.leaks import files_with, rows_with, spellings
from tests.mesh.test_instruments import card, ends, keep
from tests.unit.services.vault.number_samples import check_digit, iban_of

PAN = "497193771628304" + check_digit("497193771628304")
IBAN = iban_of("DE", "508726419305718264")
WRONG = PAN[:-1] + str((int(PAN[-1]) + 1) % 10)


def order(members: dict[str, object], **more: object) -> bytes:
    return json.dumps({**members, **more}).encode()


def act(merchant: EnrolledMerchant, body: bytes, path: str) -> Request:
    return merchant.wire.sign(merchant.key, "POST", path, body, secrets.token_hex(16))


async def send(merchant: EnrolledMerchant, body: bytes) -> int:
    return (await send_until_answered(merchant, act(merchant, body, "/v1/instruments"))).response.status


async def test_nothing_of_a_number_is_written_anywhere_but_under_the_vaults_seal(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    blind = secrets.token_urlsafe(24)
    unblinded, cvc = order(card(PAN)), order({"card": {**card(PAN)["card"], "cvc": "973"}}, blind=blind)  # type: ignore[dict-item]
    statuses = [
        await send(merchant, unblinded),
        await send(merchant, order({"iban": IBAN})),
        await send(merchant, cvc),
        await send(merchant, order(card(WRONG), blind=blind)),
        await send(merchant, order(card(PAN), blind=blind)[:-1]),
        await send(merchant, order(card(PAN), blind=blind, surprise=PAN)),
        await send(merchant, merchant.payment_body(instrument=PAN)),
    ]
    for request in (
        merchant.wire.sign(merchant.key, "GET", f"/v1/instruments/{PAN}"),
        merchant.wire.sign(merchant.key, "GET", f"/v1/instruments/{IBAN}"),
        act(merchant, order(card(PAN), blind=blind), f"/v1/instrument/{PAN}"),
    ):
        with pytest.raises(ReceiptMissing):  # The edge answers itself, and what it writes has no paths.
            await merchant.wire.send(request)
    tokens = [await keep(merchant, card(PAN)), await keep(merchant, {"iban": IBAN})]
    ended = [await ends(merchant, token, 1000) for token in tokens]

    wanted = spellings(PAN, unblinded) | spellings(IBAN, order({"iban": IBAN})) | {WRONG.encode()}
    in_files = sorted({str(path) for path, _ in files_with(stack.layout.root, wanted)})
    in_rows = sorted({table async for table, _ in rows_with(stack, wanted)})
    assert [422, 422, 422, 422, 400, 422, 422] == statuses
    assert ["succeeded", "succeeded"] == ended
    assert [] == in_files
    assert [] == in_rows


async def test_the_search_finds_what_is_there(stack: Stack, merchant: EnrolledMerchant) -> None:
    """Without it the test above could look in the wrong places."""
    reference = secrets.token_hex(12)
    await merchant.pay(merchant_reference=reference)
    kept = stack.layout.root / "found"
    kept.write_bytes(
        b"x" * (4 * 1024 * 1024 - 5) + " ".join([PAN[i : i + 4] for i in range(0, 16, 4)]).encode()
    )

    try:
        tables = {table async for table, _ in rows_with(stack, {reference.encode()})}
        files = {path for path, _ in files_with(stack.layout.root, spellings(PAN))}
    finally:
        kept.unlink()
    assert {"payments.payment", "evidence.record"} <= tables
    assert kept in files


@pytest.mark.parametrize("name", ["vault", "gateway", "banks"])
async def test_who_has_numbers_in_memory_leaves_no_core_dump(stack: Stack, name: str) -> None:
    pid = stack.supervisor.pids()[name]
    limits = Path(f"/proc/{pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max core file size")]

    assert ["0", "0"] == line.split()[4:6]
    if os.geteuid() == 0:
        # Of a process that cannot be dumped, the kernel gives these files to root (proc(5)).
        assert 0 == Path(f"/proc/{pid}/environ").stat().st_uid


def test_a_request_shows_no_body_when_it_is_printed() -> None:
    request = Request("POST", "https://a.example/v1/instruments", (), order(card(PAN)))

    assert PAN not in repr(request)
