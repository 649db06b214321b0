"""The service as its process, and the commands of whoever holds the keys."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from compose.derive.process_config import to_toml
from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.node.errors import HopUnsent
from services.node.hop_client import HopClient
from services.node.peers import XFCC_HEADER
from services.vault.cell_keys import parse_keys
from services.vault.client import VaultClient
from services.vault.messages import Resolution
from tests.integration.vault.test_instruments_kept import VISA, card
from tests.integration.vault.vault_stack import VaultStack, free_port

START_S_MAX = 20.0
LOOK_S = 0.05


def configured(stack: VaultStack) -> Path:
    file = stack.folder / "vault.toml"
    file.write_text(to_toml(msgspec.to_builtins(stack.config())))
    return file


def run(stack: VaultStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.vault", *arguments, "--config", str(configured(stack))]
    if arguments:
        command.append("--json")
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_S_MAX)


@asynccontextmanager
async def process(stack: VaultStack) -> AsyncIterator[tuple[subprocess.Popen[bytes], HopClient]]:
    with (stack.folder / "vault.log").open("ab") as log:
        started = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [sys.executable, "-m", "services.vault", "--config", configured(stack)], stderr=log
        )
    try:
        async with stack.hop("gateway") as hop:
            yield started, hop
    finally:
        started.kill()
        started.wait()


def attested(name: str) -> dict[str, str]:
    """What a sidecar says about the caller that it has checked."""
    return {XFCC_HEADER: f"URI={spiffe_id(name, TRUST_DOMAIN_DEFAULT)}"}


async def status(hop: HopClient) -> int:
    try:
        return (await hop.call("GET", "/healthz", headers=attested("supervisor"))).status
    except HopUnsent:
        return 0


async def test_the_process_keeps_nothing_in_dumps_or_logs_and_stops(stack: VaultStack) -> None:
    alone = VaultStack(stack.folder, stack.server, stack.database, free_port())
    wrong = VISA[:-1] + "3"
    async with process(alone) as (started, hop), asyncio.timeout(START_S_MAX):
        while await status(hop) != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(LOOK_S)
        bodies = [
            b'{"merchant_id":"mer_eu_one","card":{"number":"%s","expiry_month":12,"expiry_year":2039}}'
            % number
            for number in (VISA.encode(), wrong.encode(), VISA.encode() + b'","cvc":"123')
        ]
        answers = [
            await hop.call("POST", "/v1/instruments", body, headers=attested("gateway-sidecar"))
            for body in (*bodies, bodies[0][:-2])
        ]
        limits = Path(f"/proc/{started.pid}/limits").read_text()
        metrics = await hop.call("GET", "/metrics", headers=attested("supervisor"))
        started.terminate()
        code = await asyncio.to_thread(started.wait, 10)

    told = [answer.body.decode() for answer in answers] + [(stack.folder / "vault.log").read_text()]
    assert [200, 422, 400, 400] == [answer.status for answer in answers]
    assert [] == [text for text in told if VISA[:12] in text]
    assert b'vault_kept_total{how="new",kind="card"} 1.0' in metrics.body
    assert "Max core file size        0                    0" in limits
    assert 0 == code


async def test_the_process_does_not_start_without_its_keys(stack: VaultStack) -> None:
    stack.key_file.write_bytes(b"1 not-a-key\n")

    done = await asyncio.to_thread(run, stack)

    assert 1 == done.returncode
    assert "the file of cell keys has lines" in done.stderr
    assert "not-a-key" not in done.stdout + done.stderr


async def test_a_cell_key_is_added_moved_to_and_retired_beside_a_running_service(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await gateway.keep(card())
    owner = (stack.key_file.stat().st_uid, stack.key_file.stat().st_mode)

    added = await asyncio.to_thread(run, stack, "keys", "add")
    early = await asyncio.to_thread(run, stack, "keys", "retire", "1")
    moved = await asyncio.to_thread(run, stack, "rewrap")
    retired = await asyncio.to_thread(run, stack, "keys", "retire", "1")
    shown = await asyncio.to_thread(run, stack, "keys", "show")

    [found] = await banks.resolve([Resolution(kept.token, "att_eu_1")])
    assert {"wraps": 2} == json.loads(added.stdout)
    assert (1, "vault: the cell key 1 still wraps keys: run `rewrap` first\n") == (
        early.returncode,
        early.stderr,
    )
    assert {"merchants": 1, "instruments": 1} == json.loads(moved.stdout)
    assert {"retired": 1} == json.loads(retired.stdout)
    assert {"versions": [2], "wraps": 2} == json.loads(shown.stdout)
    assert [2] == list(parse_keys(stack.key_file.read_bytes()))
    assert owner == (stack.key_file.stat().st_uid, stack.key_file.stat().st_mode)
    assert "found" == found.outcome


async def test_a_merchant_is_shredded_by_command(stack: VaultStack, gateway: VaultClient) -> None:
    await gateway.keep(card())

    done = await asyncio.to_thread(run, stack, "shred-merchant", "mer_eu_one")
    wrong = await asyncio.to_thread(run, stack, "shred-merchant", "mer'; drop")

    assert {"merchant_id": "mer_eu_one", "shredded": 1} == json.loads(done.stdout)
    assert 2 == wrong.returncode
