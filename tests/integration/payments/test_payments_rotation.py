"""Engine, connector and banks take new certificates under payments, and no payment is the worse for it."""

from __future__ import annotations

import json
import os
import signal
import tomllib
from collections import Counter
from typing import Any

from pki.tls import client_context
from services.node.config_file import NodeConfig
from services.node.identity import identity_in_force
from tests.integration.node.generations import renew, serial_of
from tests.integration.node.mtls import connected
from tests.integration.payments.payments_samples import BANKS, Request, accept
from tests.integration.payments.payments_stack import Program, Stack, spiffe, until

ROTATIONS = 3
PAYMENTS = 24  # Of each round: some before, some while certificates change.


async def report(stack: Stack, engine: Program) -> dict[str, Any]:
    """What the engine says to `pki`, whom its sidecar attests."""
    port = tomllib.loads(engine.config.read_text())["listen"]["port"]
    identity = stack.server.pki.identity("payments-sidecar")
    context = client_context(identity, expect=frozenset({spiffe("payments")}))
    async with connected(port, context) as connection:
        answer = await connection.ask("/identity", ("x-forwarded-client-cert", f"URI={spiffe('pki')}"))
    assert answer is not None
    document: dict[str, Any] = json.loads(answer.body)
    return document


async def test_certificates_rotate_under_payments_and_none_becomes_unknown(stack: Stack) -> None:
    world, pki = stack.world, stack.server.pki
    merchant = await world.open_account("acc_rotate")
    engine = stack.add_engine("engine")
    requests: list[Request] = []

    async def pay() -> None:
        batch = [Request("acc_rotate", merchant=merchant) for _ in range(PAYMENTS)]
        await accept(world.gateway, batch)
        requests.extend(batch)

    async def the_new_ones_are_used() -> bool:
        seen = await report(stack, engine)
        clients = seen["clients"]
        found = {seen["server"]["serial"], *(serial for c in clients for serial in c["serials_open"])}
        connector = identity_in_force(NodeConfig(**stack.node("banks")))
        return (
            {serial_of(pki.identity("payments"))} == found
            and {"postgres", "nats", "banks", "fraud"} == {c["name"] for c in clients}
            and connector.generation.serial == serial_of(pki.identity("banks"))
        )

    await pay()
    await until(stack.all_ended, 30)
    for _ in range(ROTATIONS):
        await pay()
        for name in ("postgres", "nats", "payments", "banks", *BANKS):
            await renew(pki, name)
        assert stack.bus._process is not None
        for process_id in (stack.server.process_id, stack.bus._process.pid):
            os.kill(process_id, signal.SIGHUP)
        await pay()
        await until(the_new_ones_are_used, 20)
    await until(stack.all_ended, 30)

    async def every_event_is_published() -> bool:
        rows = await world.owner.fetch("select payment_id, sequence from payments.event")
        events = await stack.published()
        return {tuple(row) for row in rows} == {(e["payment_id"], e["sequence"]) for e in events}

    await until(every_event_is_published, 20)
    steps = {tuple(await world.events(request.payment_id)) for request in requests}
    published = Counter((event["payment_id"], event["sequence"]) for event in await stack.published())
    charges = Counter(line.end_to_end_id for line in await stack.charges([r.payment_id for r in requests]))

    assert {("accepted", "screening_passed", "submitted", "succeeded")} == steps
    assert {1} == set(published.values())
    assert Counter({request.payment_id: 1 for request in requests}) == charges
    assert [] == await world.faults()
    assert "cut at its age" not in engine.log.read_text()
