"""Any one process killed while a payment is under way: it is started again, the payment has one outcome."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from compose.launcher.certificate_daemon import NAME as CERTIFICATE_DAEMON
from compose.launcher.release import checkout_root
from compose.launcher.stack import Stack
from compose.mesh import read_mesh
from signing.evidence.archive import unpack
from signing.evidence.verification import verify_bundle
from tests.mesh.enrolled_merchant import EnrolledMerchant, send_until_answered

BACK_S_MAX = 10.0  # What the product promises after a fault has ended.

MESH = read_mesh(checkout_root() / "compose" / "mesh.toml")
PROCESSES = sorted(
    {s.name for s in MESH.services.values() if s.kind != "role"}
    | {s.sidecar_name for s in MESH.services.values() if s.sidecar}
    | {CERTIFICATE_DAEMON}
)


async def wait_until_replaced(stack: Stack, name: str, killed: int) -> None:
    async with asyncio.timeout(BACK_S_MAX):
        while stack.supervisor.pids().get(name, killed) == killed:  # noqa: ASYNC110 - a kernel's news, not ours
            await asyncio.sleep(0.02)
        await stack.supervisor.wait_ready_again(name)


@pytest.mark.parametrize("name", PROCESSES)
async def test_a_killed_process_comes_back_and_the_payment_has_one_outcome(
    stack: Stack, merchant: EnrolledMerchant, name: str
) -> None:
    slow = await merchant.pay(instrument="tok_slow")  # The bank takes 2 s: the kill falls into the attempt.
    under_way = [await merchant.pay() for _ in range(5)]
    request = merchant.sign_payment()

    pid = stack.supervisor.pids()[name]
    os.kill(pid, signal.SIGKILL)
    during = await send_until_answered(merchant, request)
    await wait_until_replaced(stack, name, pid)
    again = await send_until_answered(merchant, request)

    assert 202 == during.response.status
    assert during.response.body == again.response.body
    accepted = [slow, *under_way, json.loads(again.response.body)["id"]]
    outcomes = [await merchant.settled(payment_id) for payment_id in accepted]

    assert ["succeeded"] * 7 == outcomes
    proven = verify_bundle(unpack(await merchant.evidence(accepted[-1])), merchant.trusted_keys())
    assert accepted[-1] == proven.subject
    assert [1] * 7 == [await merchant.charges(payment_id) for payment_id in accepted]
