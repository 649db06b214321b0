"""Post the credits that wait, one transfer for each account's window."""

from __future__ import annotations

import asyncio

from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.config import TURN_ACCOUNTS_MAX, WorkerConfig
from services.payments.record import Record
from services.payments.turns import unbroken

_log = get_log("payments.windows")


class Windows:
    """Looks for full windows each period; several workers share them."""

    def __init__(self, record: Record, config: WorkerConfig) -> None:
        self._record = record
        self._config = config

    async def run(self) -> None:
        """Post until cancelled."""
        config = self._config
        while True:
            pause_s = config.window_period_s
            reach("payments.windows_due")
            try:
                posted = await unbroken(
                    self._record.post_windows(config.window_age, config.window_items_min, TURN_ACCOUNTS_MAX)
                )
            except DATABASE_AWAY as fault:
                _log.warning("the database is away, windows wait", fault=type(fault).__name__)
                pause_s = config.away_s
            except Exception:  # noqa: BLE001 - logged whole; credits must not wait for ever.
                _log.exception("windows could not be posted")
                pause_s = config.away_s
            else:
                if posted:
                    reach("payments.windows_posted")
                counters.WINDOWS.inc(posted)
                if posted >= TURN_ACCOUNTS_MAX:
                    continue
            await asyncio.sleep(pause_s)
