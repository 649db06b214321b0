"""kill -9 at each step of a delivery: every event arrives, signed, and in order where that was asked for."""

from __future__ import annotations

import asyncio
import signal

import pytest

from services.node.crash_points import ARMING_FILE, REACHED_FILE
from tests.faults.crash_sites import crash_sites
from tests.integration.notifications.moody_receiver import Moody
from tests.integration.notifications.notifications_process import running_process, write_config
from tests.integration.notifications.stack import WAIT_S_MAX, Stack, event
from tests.integration.notifications.webhook_receiver import Receiver

PAYMENTS, SEQUENCES = range(3), range(1, 5)
POINTS = [site.name for site in crash_sites() if site.process == "notifications"]


@pytest.mark.parametrize("point", POINTS)
async def test_a_process_killed_at_any_step_loses_nothing_and_no_order(
    stack: Stack, receiver: Receiver, other_receiver: Receiver, point: str
) -> None:
    orderly = Moody({}, set())
    receiver.answer = orderly
    await stack.add_endpoint("orderly", receiver.url())
    await stack.add_endpoint("plain", other_receiver.url())
    await stack.query(
        "migrator", "update notifications.endpoint set ordering = 'per_payment' where id = 'orderly'"
    )
    for sequence in SEQUENCES:
        await stack.publish(*(event(payment, sequence) for payment in PAYMENTS))
    config, _ = write_config(stack, receiver, other_receiver)
    arming = stack.folder / ARMING_FILE
    arming.touch(0o600)
    arming.write_text(f"{point} 1\n")

    async with running_process(config) as process, asyncio.timeout(WAIT_S_MAX):
        died = await process.wait()
    # Its leases end by themselves.
    await stack.hasten()
    async with running_process(config):
        rows = await stack.until(
            lambda rows: (
                len(rows) == 2 * len(PAYMENTS) * len(SEQUENCES)
                and {row["state"] for row in rows} == {"delivered"}
            )
        )

    assert -signal.SIGKILL == died
    assert (stack.folder / REACHED_FILE).read_text().startswith(f"{point} ")
    orderly.check_order()
    for each in (receiver, other_receiver):
        seen = {received.verify(stack.key.verifying_key).message_id for received in each.seen}
        assert {row["event_id"] for row in rows} == seen
