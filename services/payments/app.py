"""How the engine is put together, on one screen."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import prometheus_client
from aiohttp import web

from services.banks.client import BanksClient
from services.fraud.client import FraudClient
from services.node.config_file import EgressConfig
from services.node.hop_client import HopClient
from services.node.postgres import DATABASE_AWAY, open_pool
from services.node.process import cancel_until_heard, until_stopped
from services.node.server import serve
from services.payments.bank_calls import BankCalls
from services.payments.bank_health import BankHealth, controls_of
from services.payments.checks import Checks
from services.payments.config import FRAUD_HOP_CALL_S_MAX, HOP_CALL_S_MAX, PaymentsConfig, WorkerConfig
from services.payments.fraud_calls import FraudCalls
from services.payments.machine.terms import terms_of
from services.payments.outlets import outlets_for
from services.payments.reconciler import Reconciler
from services.payments.relay import Relay
from services.payments.settlement_store import SettlementStore
from services.payments.store import Store
from services.payments.worker import Worker

# One each for waiting accounts, answers, verdicts, windows and the relay, and a few for watchdogs and checks.
CONNECTIONS_MAX = 8
CALLERS = {"/metrics": frozenset({"supervisor"})}


async def main(config: PaymentsConfig) -> None:
    """Run worker and relay until stopped; then let the calls under way end."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(config, config.postgres, connections_max=CONNECTIONS_MAX)
        )
        store = Store(pool)
        # One client for each bank: connections are a bulkhead too.
        banks = {
            name: BanksClient(await _hop(stack, config, config.banks, HOP_CALL_S_MAX, "banks"))
            for name in config.bank_names
        }
        fraud = FraudClient(await _hop(stack, config, config.fraud, FRAUD_HOP_CALL_S_MAX, "fraud"))
        health = BankHealth(
            terms_of(config.bank_names, config.bank_terms), controls_of(pool, config.bank_names)
        )
        worker = Worker(
            store,
            BankCalls(banks),
            FraudCalls(fraud),
            health,
            config.approvals.policy(),
            WorkerConfig(bank_names=tuple(config.bank_names)),
        )
        with suppress(*DATABASE_AWAY):
            await health.follow()
        app = web.Application()
        app.router.add_get("/metrics", _metrics)
        await stack.enter_async_context(
            serve(app, config, config.listen, callers=CALLERS, ready=lambda: worker.reached)
        )
        async with asyncio.TaskGroup() as group:
            working = group.create_task(worker.run())
            beside = [
                *(
                    Relay(config, config.nats, store, outlet).run()
                    for outlet in outlets_for(config.subscribers)
                ),
                Checks(store, config.bank_names).run(),
                health.run(),
            ]
            settled = SettlementStore(pool)
            beside += [Reconciler(settled, banks[name], name).run() for name in banks]
            tasks = [group.create_task(loop) for loop in beside]
            await until_stopped()
            worker.stop(HOP_CALL_S_MAX)
            await working
            await cancel_until_heard(tasks)


async def _hop(
    stack: AsyncExitStack, config: PaymentsConfig, egress: EgressConfig, timeout_s: float, callee: str
) -> HopClient:
    hop = HopClient(config, egress, timeout_s=timeout_s, believes_unsent=True, callee=callee)
    await hop.start()
    stack.push_async_callback(hop.close)
    return hop


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=prometheus_client.generate_latest(),
        headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST},
    )
