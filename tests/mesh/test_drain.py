"""All gateways of a cell replaced one after the other while merchants pay over the edge: nobody notices."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg

from compose.launcher.accounts import command_as
from compose.launcher.process_spec import plan_processes, python_environment
from compose.launcher.stack import Stack
from compose.launcher.supervisor import Supervisor
from pki.tls import client_context
from tests.faults.doors import open_record
from tests.integration.node.load import CONDITION_S_MAX, Meter, under_load, until, until_seen
from tests.integration.node.mtls import connected
from tests.mesh.enrolled_merchant import EnrolledMerchant

SENDERS = 16
PAUSE_S = 0.15  # 100 payments/s together: less than one merchant may send.
BEFORE, BETWEEN, AFTER = 60, 60, 60
SECOND = "gateway-second"
LOOK_EVERY_S = 0.1
LOGGED_S_MAX = 20.0  # Rows follow within a tenth of a second, leaves within half a second more.
# What was accepted without evidence, rows of accesses, and batches of them that are no leaf of the log yet.
_LEFT = """
    select (select count(*) from unnest($2::text[]) as accepted (payment_id) where not exists (
                select from payments.payment p join evidence.record r
                on r.kind = 'payment' and r.subject = p.payment_id
                where p.payment_id = accepted.payment_id)) as without,
           (select count(*) from audit.access
            where merchant_id = $1 and request_id = any ($3::text[]) and status = 202) as rows,
           (select count(*) from evidence.record r where kind = 'access-batch' and not exists (
                select from evidence.leaf l where (l.kind, l.subject) = (r.kind, r.subject))) as waiting
"""


class Paid:
    """What one merchant was told while it paid."""

    def __init__(self, merchant: EnrolledMerchant) -> None:
        self._merchant = merchant
        self.payment_ids: list[str] = []
        self.request_ids: list[str] = []

    async def pay(self) -> None:
        """Pay once; nothing is sent again, and anything but an acceptance is a fault."""
        exchange = await self._merchant.wire.send(self._merchant.sign_payment())
        if exchange.response.status != 202:
            raise AssertionError(exchange.response.status, exchange.response.body)
        self.payment_ids.append(json.loads(exchange.response.body)["id"])
        self.request_ids.append(exchange.header("request-id"))
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def second_gateway(stack: Stack) -> AsyncIterator[Supervisor]:
    """Another worker on the same listener, watched by itself: stopping it is one SIGTERM, as everywhere."""
    specs = plan_processes(stack.mesh, stack.places, stack.release, stack.accounts)
    gateway = next(spec for spec in specs if spec.name == "gateway")
    supervisor = Supervisor(stack.layout, lambda *_: None)
    log = stack.layout.log / f"{SECOND}.log"
    log.unlink(missing_ok=True)
    supervisor.start([replace(gateway, name=SECOND, after=())])
    try:
        # Readiness is asked on the listener that both share: its own log tells that it listens, too.
        await until(lambda: log.exists() and '"listening"' in log.read_text(encoding="utf-8"))
        yield supervisor
    finally:
        await supervisor.stop()


async def until_one_says_no(stack: Stack) -> bool:
    """Ask as the sidecar does for the edge until a worker drains; return whether it still served then."""
    address = stack.places.addresses["gateway.app"]
    context = client_context(
        stack.places.identity("gateway-sidecar"), expect=frozenset({stack.mesh.spiffe("gateway")})
    )
    as_edge = ("x-forwarded-client-cert", f"URI={stack.mesh.spiffe('edge')}")
    async with asyncio.timeout(CONDITION_S_MAX):
        while True:
            async with connected(address.port, context) as worker:
                told = await worker.ask("/healthz/ready", as_edge)
                if told is None or told.status == 200:
                    continue
                assert (503, "draining") == (told.status, json.loads(told.body)["status"])
                served = await worker.ask("/.well-known/countermark-keys", as_edge)
                return served is not None and (served.status, served.headers.get("connection")) == (200, None)


def lines_of(log: Path, event: str) -> Iterable[dict[str, object]]:
    found = (
        json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if f'"{event}"' in line
    )
    return [line for line in found if line["event"] == event]


async def roll(stack: Stack, second: Supervisor, meter: Meter) -> None:
    """Replace the first gateway, then end the second one, while payments go on."""
    await meter.until_more(BEFORE)
    first = stack.supervisor.pids()["gateway"]
    os.kill(first, signal.SIGTERM)
    assert await until_one_says_no(stack), "it refused before it said that it would"

    async def is_replaced() -> bool:
        return stack.supervisor.pids().get("gateway", first) != first

    await until_seen(is_replaced)
    await until(lambda: stack.supervisor.has_been_ready("gateway"))
    await until(lambda: len(list(lines_of(stack.layout.log / "gateway.log", "listening"))) > 1)
    await meter.until_more(BETWEEN)
    await second.stop()
    await meter.until_more(AFTER)


async def test_gateways_that_are_replaced_under_load_lose_nothing(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    paid = Paid(merchant)
    async with second_gateway(stack) as second, under_load(paid.pay, workers=SENDERS) as meter:
        await roll(stack, second, meter)

    assert [] == meter.faults
    assert len(set(paid.payment_ids)) == len(paid.payment_ids) >= BEFORE + BETWEEN + AFTER
    for name in ("gateway", SECOND):
        assert 0 == list(lines_of(stack.layout.log / f"{name}.log", "drained"))[-1]["unanswered"]
    async with open_record(stack) as record:
        await until_logged(record, merchant, paid)
    told = await verify_accesses(stack)
    assert "the accesses hold" in told


async def until_logged(record: asyncpg.Connection, merchant: EnrolledMerchant, paid: Paid) -> None:
    """Every acceptance has its payment, its evidence, its row of the access log, and that row its leaf."""
    wanted, left = (0, len(paid.request_ids), 0), (0, 0, 0)
    async with asyncio.timeout(LOGGED_S_MAX):
        while wanted != left:
            (row,) = await record.fetch(_LEFT, merchant.merchant_id, paid.payment_ids, paid.request_ids)
            left = (row["without"], row["rows"], row["waiting"])
            assert 0 == left[0], "accepted without a payment or its evidence"
            await asyncio.sleep(LOOK_EVERY_S)


async def verify_accesses(stack: Stack) -> str:
    """As the operator: compare all rows with what the log says."""
    config = str(stack.places.run / "operator" / "config.toml")
    argv = [str(stack.release.python), "-m", "gateway.operator", "--config", config, "verify-accesses"]
    process = await asyncio.create_subprocess_exec(
        *command_as(stack.accounts["operator"], argv, parent_death_signal="TERM"),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", **python_environment(stack.release)}, cwd="/",
    )  # fmt: skip
    told, faults = await process.communicate()
    assert 0 == process.returncode, faults.decode()
    return told.decode()
