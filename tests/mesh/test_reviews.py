"""Held payments through the whole mesh: screened by real rules, decided by persons by their certificates."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from compose.derive.configuration import CONFIG_FILE
from compose.launcher.process_spec import python_environment
from compose.launcher.stack import Stack
from tests.mesh.enrolled_merchant import EnrolledMerchant

# Above the rule `large-collect` and the limit from which two persons have to approve.
LARGE_MINOR = 1_000_001
HELD_S_MAX = 30.0


async def run(stack: Stack, *argv: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(stack.release.python), *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", **python_environment(stack.release)}, cwd="/",
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def review(stack: Stack, person: str, *arguments: str) -> tuple[int, str]:
    config = str(stack.places.run / f"operator-{person}" / CONFIG_FILE)
    return await run(stack, "-m", "services.payments", "review", "--config", config, *arguments)


async def held(stack: Stack, payment_id: str) -> dict[str, Any]:
    """Wait until a person can see the payment."""
    async with asyncio.timeout(HELD_S_MAX):
        while True:
            code, output = await review(stack, "alice", "list", "--json")
            assert 0 == code, output
            for row in json.loads(output)["reviews"]:
                if row["subject_id"] == payment_id:
                    found: dict[str, Any] = row
                    return found


async def test_two_persons_let_a_large_payment_go_on(stack: Stack, merchant: EnrolledMerchant) -> None:
    payment_id = await merchant.pay(amount=LARGE_MINOR, instrument="tok_of_a_payer")
    row = await held(stack, payment_id)
    first = await review(stack, "alice", "approve", payment_id, "--reason", "asked them")
    again = await review(stack, "alice", "approve", payment_id, "--reason", "asked them")
    charges = await merchant.charges(payment_id)
    second = await review(stack, "bruno", "approve", payment_id, "--reason", "seen it")

    assert "large-collect" in row["reasons"]
    assert (0, True) == (first[0], "needs a second approver" in first[1])
    assert 1 == again[0]
    assert 0 == charges
    assert 0 == second[0], second[1]
    assert "succeeded" == await merchant.settled(payment_id)
    assert 1 == await merchant.charges(payment_id)


async def test_a_rejected_payment_reaches_no_bank(stack: Stack, merchant: EnrolledMerchant) -> None:
    payment_id = await merchant.pay(amount=LARGE_MINOR, instrument="tok_of_a_payer")
    await held(stack, payment_id)
    code, output = await review(stack, "bruno", "reject", payment_id, "--reason", "stolen")

    assert 0 == code, output
    assert "failed" == await merchant.settled(payment_id)
    assert 0 == await merchant.charges(payment_id)


async def test_a_listed_instrument_is_rejected_and_the_verdict_can_be_made_again(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    payment_id = await merchant.pay(instrument="tok_test_stolen")
    status = await merchant.settled(payment_id)
    config = str(stack.places.run / "fraud" / CONFIG_FILE)
    code, output = await run(
        stack, "-m", "services.fraud", "replay", payment_id, "--config", config, "--json"
    )

    assert ("failed", 0) == (status, await merchant.charges(payment_id))
    assert 0 == code, output
    assert {"verdict": "reject", "reasons": ["stolen-instruments"]} == json.loads(output)["replayed"]
