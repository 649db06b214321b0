"""The service as its process: it screens, takes new rules by itself, and stops when it is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import msgspec

from compose.derive.process_config import to_toml
from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.node.config_file import EgressConfig, NodeConfig
from services.node.errors import HopUnsent
from services.node.hop_client import HopClient
from services.node.peers import XFCC_HEADER
from tests.integration.fraud.fraud_stack import FraudStack
from tests.integration.fraud.test_screenings import now_item
from tests.unit.services.fraud.rule_samples import BURST, pack_text

START_S_MAX = 20.0
LOOK_S = 0.05


def attested(name: str) -> dict[str, str]:
    """What a sidecar says about the caller that it has checked."""
    return {XFCC_HEADER: f"URI={spiffe_id(name, TRUST_DOMAIN_DEFAULT)}"}


@asynccontextmanager
async def process(stack: FraudStack) -> AsyncIterator[tuple[subprocess.Popen[bytes], HopClient]]:
    config = stack.config()
    file = stack.folder / "fraud.toml"
    file.write_text(to_toml(msgspec.to_builtins(config)))
    with (stack.folder / "fraud.log").open("ab") as log:
        started = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [sys.executable, "-m", "services.fraud", "--config", file], stderr=log
        )
    egress = EgressConfig(
        url=f"https://127.0.0.1:{config.listen.port}", expect=spiffe_id("fraud", TRUST_DOMAIN_DEFAULT)
    )
    hop = HopClient(NodeConfig(**stack.node("payments")), egress, timeout_s=5, believes_unsent=False)
    await hop.start()
    try:
        yield started, hop
    finally:
        await hop.close()
        started.kill()
        started.wait()


async def status(hop: HopClient) -> int:
    try:
        return (await hop.call("GET", "/healthz", headers=attested("supervisor"))).status
    except HopUnsent:
        return 0


async def verdict_of(hop: HopClient, payment_id: str) -> dict[str, str]:
    body = msgspec.json.encode({"items": [now_item(payment_id)]})
    answer = await hop.call("POST", "/v1/screenings", body, headers=attested("payments-sidecar"))
    assert HTTPStatus.OK == answer.status
    found: dict[str, str] = json.loads(answer.body)["verdicts"][0]
    return found


async def test_the_process_screens_takes_new_rules_and_stops(stack: FraudStack) -> None:
    async with process(stack) as (started, hop), asyncio.timeout(START_S_MAX):
        while HTTPStatus.OK != await status(hop):  # noqa: ASYNC110 - another process
            await asyncio.sleep(LOOK_S)
        first = await verdict_of(hop, "pay_0")
        stack.write_rules(pack_text(BURST, version=4))
        number, found = 0, first
        while found["rule_pack"] == first["rule_pack"]:
            number += 1
            found = await verdict_of(hop, f"pay_{number}")
            await asyncio.sleep(LOOK_S)
        metrics = await hop.call("GET", "/metrics", headers=attested("supervisor"))
        started.terminate()
        code = await asyncio.to_thread(started.wait, 10)

    assert ("pass", "test@4") == (first["verdict"], found["rule_pack"].partition(":")[0])
    assert b"fraud_rules_version 4.0" in metrics.body
    assert 0 == code


async def test_rules_that_were_rolled_back_end_the_process(stack: FraudStack, tmp_path: Path) -> None:
    old = (stack.folder / "rules.toml").read_bytes()
    stack.write_rules(pack_text(BURST, version=4))
    async with stack.running():
        pass
    (stack.folder / "rules.toml").write_bytes(old)
    began = time.monotonic()
    async with process(stack) as (started, _):
        code = await asyncio.to_thread(started.wait, START_S_MAX)

    assert 1 == code
    assert "older than the rules used last" in (stack.folder / "fraud.log").read_text()
    assert time.monotonic() - began < START_S_MAX
