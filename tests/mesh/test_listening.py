"""`listen` and `trigger` beside the running stack, as a merchant's developer uses them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
import pytest_asyncio

from compose.derive.process_config import TRUST_KEYS_FILE
from compose.launcher.ports import LOOPBACK
from compose.launcher.release import checkout_root
from compose.launcher.stack import Stack
from signing.trigger_command import SCENARIOS
from tests.mesh.enrolled_merchant import EnrolledMerchant

AT_ONCE = 4  # Triggers; each follows the feed while it waits.
TOLD_S_MAX = 10.0
# From the engine's commit to the developer's terminal, on a busy host; a quarter of a second on a quiet one.
SHOWN_S_MAX = 3.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def environment(
    stack: Stack, merchant: EnrolledMerchant, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """As `./start --env` prints it, of this test's own merchant."""
    key = tmp_path_factory.mktemp("developer") / "merchant.pem"
    key.write_bytes(merchant.key.to_pem())
    key.chmod(0o600)
    return {
        "PATH": os.defpath,
        "CM_KEY": str(key),
        "CM_ORIGIN": stack.places.origins[0],
        "CM_CONNECT": f"{LOOPBACK}:{stack.ports['edge.public']}",
        "CM_CACERT": str(stack.places.identity("supervisor") / "trust.pem"),
        "CM_TRUST": str(stack.layout.run / TRUST_KEYS_FILE),
    }


async def command(environment: dict[str, str], *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signing", *arguments,
        cwd=checkout_root(), env=environment, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip


@asynccontextmanager
async def listening(environment: dict[str, str], *arguments: str) -> AsyncIterator[Process]:
    """A `listen` that has begun; it is ended as by Ctrl-C."""
    process = await command(environment, "listen", *arguments)
    assert process.stderr is not None
    assert b"listening to" in await asyncio.wait_for(process.stderr.readline(), TOLD_S_MAX)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.communicate(), TOLD_S_MAX)
    assert 0 == process.returncode


async def test_a_payment_is_told_step_by_step_as_it_happens(
    merchant: EnrolledMerchant, environment: dict[str, str]
) -> None:
    async with listening(environment, "--json", "--since=1s") as listener:
        assert listener.stdout is not None
        payment_id = await merchant.pay(merchant_reference="told-as-it-happens")
        told: list[str] = []
        while "payment.succeeded" not in told:
            event = json.loads(await asyncio.wait_for(listener.stdout.readline(), TOLD_S_MAX))
            if event["payment_id"] == payment_id:
                told.append(event["type"])
                age_s = time.time() - datetime.fromisoformat(event["at"]).timestamp()
                assert age_s < SHOWN_S_MAX, (event["type"], age_s)

    story = await merchant.read(f"/v1/payments/{payment_id}/events")
    assert [each["type"] for each in story["data"]][: len(told)] == told


async def test_every_scenario_happens(environment: dict[str, str]) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def trigger(name: str) -> tuple[str, int | None, str, str]:
        async with room:
            process = await command(environment, "trigger", name, "--json")
            out, err = await process.communicate()
            happened = json.loads(out).get("type", "") if process.returncode == 0 else ""
            return name, process.returncode, happened, err.decode() if process.returncode else ""

    found = await asyncio.gather(*(trigger(name) for name in SCENARIOS))

    assert [(name, 0, scenario.ends, "") for name, scenario in SCENARIOS.items()] == found
