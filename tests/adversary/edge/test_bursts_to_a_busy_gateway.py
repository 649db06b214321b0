"""Many merchants at once, to a gateway that is busy for seconds: they wait, and are not told it is away."""

from __future__ import annotations

import asyncio
import time

from tests.adversary.edge.recording_gateway import Door, octets
from tests.adversary.gateway.edge_in_front import read_answer

MERCHANTS = 64
# Longer than any handshake was given once; well below what Envoy gives one now.
BUSY_S = 4.0
READ = octets("GET /v1/payments")


async def test_a_burst_waits_for_a_gateway_that_takes_up_no_connection_for_seconds(door: Door) -> None:
    before = len(door.arrived)
    merchants = await asyncio.gather(*(door.edge.connect() for _ in range(MERCHANTS)))
    try:
        for _, writer in merchants:
            writer.write(READ)
        # The gateway runs in this very loop: as long as this holds it, nobody accepts.
        time.sleep(BUSY_S)  # noqa: ASYNC251 - the point of it
        answers = await asyncio.gather(*(read_answer(reader) for reader, _ in merchants))
    finally:
        for _, writer in merchants:
            writer.close()

    assert {200} == {answer.status for answer in answers}
    assert MERCHANTS == len(door.new(before))
