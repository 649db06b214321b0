"""A bank's settlement file: what it has moved, line by line, late, and as wrong as real ones are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from services.banks.messages import SettlementLine, SettlementPage
from services.node.errors import HopUnknown, HopUnsent

if TYPE_CHECKING:
    from tests.simulation.sim_bank import Entry, SimBank

ANSWER_S = (0.002, 0.08)
# A page may be shorter than it was asked to be.
PAGES = (1, 3, 128, 128)
# After the time at which a line that is not there counts as missing.
VERY_LATE_S = (200_000.0, 400_000.0)
FEE_MINOR = 3
_MOVEMENTS = {"bounce": "bounced", "return": "returned"}
_TAKEN_BACK = {"return", "chargeback"}


class SettlementFile:
    """The file of one bank.

    Args:
        batch_s: How long movements are gathered before their lines are written.

    Attributes:
        lines: What can be read by now, in order.
    """

    def __init__(self, bank: SimBank, batch_s: float) -> None:
        self.bank = bank
        self.batch_s = batch_s
        self.lines: list[SettlementLine] = []
        self.watchers: list[Any] = []  # Called when there are new lines.
        self._gathered: list[dict[str, Any]] = []

    def add(self, entry: Entry, operation: str, amount_minor: int) -> None:
        """Something was moved. What nobody is told of otherwise has its line, and a true one."""
        if operation in ("authorise", "void"):
            return
        strikes = self.bank.weather.strikes
        line = {
            "attempt_id": entry.attempt.attempt_id, "end_to_end_id": entry.attempt.end_to_end_id,
            "operation": _MOVEMENTS.get(operation, operation), "amount_minor": amount_minor,
            "fee_minor": FEE_MINOR, "currency": entry.attempt.currency, "bank_reference": entry.reference,
            "value_date": "2026-01-01",
        }  # fmt: skip
        if not entry.is_told_by_file_alone:
            if strikes("settlement_missing"):
                entry.is_misfiled = True
                return
            if operation not in _TAKEN_BACK and strikes("settlement_wrong"):
                entry.is_misfiled = True
                line |= {"amount_minor": amount_minor + 3}
        if strikes("settlement_strange"):
            self._gather(line | {"attempt_id": "att_sim_none_1"})
        if operation not in _TAKEN_BACK and strikes("settlement_twice"):
            self._gather(line)
        if strikes("settlement_late"):
            self.bank.later(self.bank.weather.seconds(*VERY_LATE_S), lambda: self._write([line]))
        else:
            self._gather(line)

    async def read(self, after_line: int, lines_max: int) -> SettlementPage:
        """Answer as `BanksClient.settlement` does.

        Raises:
            HopUnsent, HopUnknown: No page.
        """
        weather = self.bank.weather
        await asyncio.sleep(weather.seconds(*ANSWER_S))
        if self.bank.is_down:
            raise HopUnsent("refused")
        if self.bank.is_deaf or self.bank.is_mute or weather.strikes("settlement_unread"):
            raise HopUnknown("no page")
        page = self.lines[after_line : after_line + min(lines_max, weather.one_of(PAGES))]
        return SettlementPage(page)

    def _gather(self, line: dict[str, Any]) -> None:
        if not self._gathered:
            self.bank.later(self.batch_s * self.bank.weather.chance.random(), self._close_batch)
        self._gathered.append(line)

    def _close_batch(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._write(gathered)

    def _write(self, lines: list[dict[str, Any]]) -> None:
        self.lines += [SettlementLine(line=len(self.lines) + n, **line) for n, line in enumerate(lines, 1)]
        self.bank.trace.note(self.bank.name, "settles", len(self.lines))
        for call in self.watchers:
            call()
