"""How old a connection may become, and when ending it begins.

`connection_age_s_max` is a hard bound, for idle connections too: a rotation counts on nothing being older.
Clients and servers begin to let go at the same age, politely, so that hardly one lives to be cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.node.logs import get_log

CLOSING_BEGINS_SHARE = (
    0.7  # From here on the next answer is the last one; idle clients' connections are ended.
)
IDLE_ENDS_SHARE = 0.9  # Whoever still sits idle on our listener did not want to hear; clients left before.
CUT_SHARE = 0.95  # Even in the middle of something; the rest is for a sweep to come round on a busy host.
SWEEPS_PER_AGE = 50  # An age is known, and acted on, to 2 % of the bound ...
SWEEP_S_MAX = 1.0  # ... or to a second, which costs nothing.

_log = get_log("node.ageing")


def sweep_s(age_s_max: float) -> float:
    """Return the pause between two looks at all connections."""
    return min(age_s_max / SWEEPS_PER_AGE, SWEEP_S_MAX)


async def sweep_for_ever(age_s_max: float, sweep: Callable[[], Awaitable[None]]) -> None:
    """Call `sweep` again and again until cancelled."""
    while True:
        await asyncio.sleep(sweep_s(age_s_max))
        try:
            await sweep()
        except Exception as fault:  # noqa: BLE001 - without sweeps connections would live for ever, unseen.
            _log.error("a sweep over connections failed, the next one follows", fault=repr(fault)[:300])
