"""Ask the record the questions that must be answered by zero rows, and tell an operator when they are not.

I1: `ledger_imbalance`, by account. I2: `reminders_missing`. I3: `claims_imbalance`, payment by payment.
`overdue`: the engine is away or too slow. `set_aside`: engine or record have a defect. `undriven`: a bank was
taken out of the configuration. Every worker asks; the answers are gauges, and an error in the log while one
is not zero. What grows with the record has a share of the time, and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.store import Store

OPEN_PERIOD_S = 60.0  # Reads the open payments alone, through their index.
LEDGER_PERIOD_S = 600.0  # Reads the whole ledger: at least this long after the last time, and
LEDGER_SHARE = 0.01  # the longer that it took, the longer: it has a hundredth of one core at most.
CLAIMS_S = 0.6  # All payments in turn, a hundredth of the time: 1,000,000 within an hour and a half.
CLAIMS_AT_ONCE = 1_000  # A statement of 50 ms: no row that died meanwhile has to be kept for it.
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
        self._ledger_due = 0.0
        # The pass through all payments: where it is, what it has found, and what the one before it found.
        self._claims_after: str | None = None
        self._claims_found = 0
        self._claims_before = 0

    async def run(self) -> None:
        """Check until cancelled; a database that is away is asked again at the next period."""
        while True:
            try:
                await self.check_open()
                await self.check_claims()
                await self.check_ledger()
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

    async def check_ledger(self) -> None:
        """Hold the accounts against the ledger, if it is time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if begun < self._ledger_due:
            return
        try:
            _tell("ledger_imbalance", await self._store.balances_imbalance())
        except (asyncpg.QueryCanceledError, TimeoutError):
            # Told as an error: an absence of the database passes, this would last for ever.
            _log.error("the ledger could not be checked in time", check="ledger_imbalance")
        took_s = loop.time() - begun
        self._ledger_due = begun + max(LEDGER_PERIOD_S, took_s / LEDGER_SHARE)

    async def check_claims(self) -> None:
        """Hold the next payments against their credits, holds, refunds and disputes."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() < begun + CLAIMS_S:
            problems, self._claims_after = await self._store.check_claims(self._claims_after, CLAIMS_AT_ONCE)
            self._claims_found += problems
            if self._claims_after is None:
                self._claims_before, self._claims_found = self._claims_found, 0
                break
        _tell("claims_imbalance", max(self._claims_before, self._claims_found))


def _tell(check: str, rows: int) -> None:
    counters.CHECK_ROWS.labels(check).set(rows)
    if rows:
        _log.error("the record has rows that must not be", check=check, rows=rows)
