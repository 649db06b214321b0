"""Read the banks' settlement files and hold them against the record, bank by bank.

Promises: a line is kept as the bank wrote it before anything follows from it, in the same transaction; what a
file says reaches a payment through its mailbox, once; nothing here moves money. Any number of workers may run
this beside each other: the second to keep a line changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from msgspec.structs import replace

from services.banks.messages import SettlementLine, SettlementPage
from services.node.errors import HopUnknown, HopUnsent
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments import counters
from services.payments.machine.settlement import AGREED, Booked, FileLine, Judgement, judge
from services.payments.settlement_store import SettlementStore

# Files are a matter of hours; half a minute shows a break while people still remember the day.
PERIOD_S = 30.0
# Small enough for one quick transaction; the mailbox takes 128 at a time.
LINES_MAX = 128
# Breaks that are judged again each time, the newest first; older ones are for people.
REJUDGED_MAX = 128
# What a bank settles later than this after the attempt is missing meanwhile.
SETTLED_WITHIN = timedelta(hours=48)

_log = get_log("payments.reconciler")


class SettlementFiles(Protocol):
    """Where the files are read; `services.banks.client.BanksClient` is one."""

    async def settlement(self, bank: str, after_line: int, lines_max: int) -> SettlementPage:
        """Lines after one, in order.

        Raises:
            HopUnsent, HopUnknown: No file.
        """
        ...


class Reconciler:
    """Reconciles one bank.

    Args:
        settled_within: What has no line by then is a break.
    """

    def __init__(
        self,
        store: SettlementStore,
        files: SettlementFiles,
        bank: str,
        settled_within: timedelta = SETTLED_WITHIN,
    ) -> None:
        self._store = store
        self._files = files
        self._bank = bank
        self._settled_within = settled_within

    async def run(self) -> None:
        """Reconcile until cancelled; a bank or database that is away is asked again at the next period.

        What goes wrong with one bank's file is logged whole and tried again: payments go on all the same.
        """
        while True:
            try:
                await self.reconcile()
            except (HopUnsent, HopUnknown, *DATABASE_AWAY) as fault:
                _log.warning("not reconciled", bank=self._bank, fault=type(fault).__name__)
            except Exception:  # noqa: BLE001 - one bank's file must not end the engine.
                _log.exception("a bank could not be reconciled", bank=self._bank)
            await asyncio.sleep(PERIOD_S)

    async def reconcile(self) -> int:
        """Read what is new, judge it, judge open breaks again, look for missing lines; return the new lines.

        Raises:
            HopUnsent, HopUnknown: The bank gave no file; what was read before is kept.
            DATABASE_AWAY: One of them.
        """
        read = 0
        while True:
            after = await self._store.settled_until(self._bank)
            page = await self._files.settlement(self._bank, after, LINES_MAX)
            lines = [_line(self._bank, line) for line in page.lines]
            if lines:
                read += await self._store.keep(self._bank, lines, await self._judge(lines))
            if len(page.lines) < LINES_MAX:
                break
        await self._judge_again()
        missing = await self._store.find_missing(self._bank, self._settled_within)
        if missing:
            _log.error("booked, but in no settlement file", bank=self._bank, attempts=missing)
        counters.BREAKS_OPEN.set(await self._store.breaks_open())
        return read

    async def _judge(self, lines: Sequence[FileLine]) -> list[Judgement]:
        booked = await self._store.booked(self._bank, lines)
        judged = []
        earlier: Counter[tuple[str, str]] = Counter()
        taken: defaultdict[str, int] = defaultdict(int)
        for line in lines:
            row = booked.get(line.line)
            judgement = judge(line, row and _with_page(row, line, earlier, taken))
            if judgement.kind is not None:
                _log.warning("a settlement break", bank=self._bank, line=line.line, kind=judgement.kind)
            judged.append(judgement)
            earlier[line.attempt_id, line.movement] += 1
            # What a line of nobody's attempt took back was not taken from this payment.
            if judgement.kind != "unknown_attempt" and line.movement in ("returned", "chargeback"):
                taken[line.end_to_end_id] += line.amount_minor
        return judged

    async def _judge_again(self) -> None:
        lines = await self._store.lines_in_break(self._bank, REJUDGED_MAX)
        if not lines:
            return
        booked = await self._store.booked(self._bank, lines)
        agreed = [line.line for line in lines if judge(line, booked.get(line.line)) is AGREED]
        if agreed:
            await self._store.close(self._bank, agreed)


def _line(bank: str, line: SettlementLine) -> FileLine:
    return FileLine(
        bank=bank,
        line=line.line,
        attempt_id=line.attempt_id,
        end_to_end_id=line.end_to_end_id,
        movement=line.operation,
        amount_minor=line.amount_minor,
        fee_minor=line.fee_minor,
        currency=line.currency,
        bank_reference=line.bank_reference,
        value_date=line.value_date,
    )


def _with_page(
    row: Booked, line: FileLine, earlier: Counter[tuple[str, str]], taken: defaultdict[str, int]
) -> Booked:
    """What is booked, with the lines of the same page that come before and are not kept yet."""
    return replace(
        row,
        lines_before=row.lines_before + earlier[line.attempt_id, line.movement],
        taken_before_minor=row.taken_before_minor + taken[line.end_to_end_id],
    )
