"""Ask the record the questions that must be answered by zero rows, and tell an operator when they are not.

I1 and I3: `ledger_imbalance`. I2: `reminders_missing`. `overdue`: the engine is away or too slow.
`set_aside`: engine or record have a defect. `undriven`: a bank was taken out of the configuration. Every
worker asks; the answers are gauges, and an error in the log while one is not zero.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.store import Store

OPEN_PERIOD_S = 60.0  # Reads the open payments alone, through their index.
LEDGER_PERIOD_S = 600.0  # Reads the whole ledger.
OVERDUE_GRACE = timedelta(seconds=30)  # Leases and backoff end before; what is later than this was forgotten.

_log = get_log("payments.checks")


class Checks:
    """Runs each check at its period, first of all at once, until cancelled.

    Args:
        bank_names: The banks that this engine drives.
    """

    def __init__(self, store: Store, bank_names: Sequence[str]) -> None:
        self._store = store
        self._bank_names = bank_names

    async def run(self) -> None:
        """Check until cancelled; a database that is away is asked again at the next period."""
        loop = asyncio.get_running_loop()
        ledger_due = loop.time()
        while True:
            try:
                await self.check_open()
                if loop.time() >= ledger_due:
                    ledger_due = loop.time() + LEDGER_PERIOD_S
                    _tell("ledger_imbalance", await self._store.ledger_imbalances())
            except DATABASE_AWAY as fault:
                _log.warning("the record could not be checked", fault=type(fault).__name__)
            await asyncio.sleep(OPEN_PERIOD_S)

    async def check_open(self) -> None:
        """Check the open payments once."""
        _tell("reminders_missing", await self._store.reminders_missing())
        left = await self._store.undriven(self._bank_names)
        for bank, rows in left.items():
            _log.error(
                "a bank has open payments and is not in the configuration: nobody drives them. Put it back, "
                "with retired = true in its terms",
                bank=bank, rows=rows,
            )  # fmt: skip
        _tell("undriven", sum(left.values()))
        _tell("set_aside", await self._store.asides())
        _tell("overdue", await self._store.overdue(OVERDUE_GRACE))


def _tell(check: str, rows: int) -> None:
    counters.CHECK_ROWS.labels(check).set(rows)
    if rows:
        _log.error("the record has rows that must not be", check=check, rows=rows)
