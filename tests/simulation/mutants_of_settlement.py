"""Planted bugs of reconciliation: what a line of a file is taken for, and when a break is closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import msgspec

from services.payments import reconciler
from services.payments.machine import settlement
from services.payments.machine.settlement import AGREED, Booked, FileLine, Judgement
from services.payments.reconciler import Reconciler
from tests.simulation.mutants import mutant
from tests.simulation.settlement_rows import SettlementRows
from tests.simulation.sim_settlement import SimSettlementStore

Patch = AbstractContextManager[Any]
_judge = settlement.judge


@mutant("a line that is there twice agrees twice")
def line_counts_twice() -> Patch:
    def forget(line: FileLine, booked: Booked | None) -> Judgement:
        return _judge(line, booked and msgspec.structs.replace(booked, lines_before=0))

    return _judged_by(forget)


@mutant("lines of one page do not know of each other")
def line_counts_twice_on_one_page() -> Patch:
    return patch.object(reconciler, "_with_page", lambda row, *_: row)


@mutant("a break is closed at the next round, whatever line and record say")
def break_is_closed_silently() -> Patch:
    async def close_all(self: Reconciler) -> None:
        lines = await self._store.lines_in_break(self._bank, reconciler.REJUDGED_MAX)
        if lines:
            await self._store.close(self._bank, [line.line for line in lines])

    return patch.object(Reconciler, "_judge_again", close_all)


@mutant("a break stays open although line and record agree by now")
def break_is_never_closed() -> Patch:
    async def leave(_: Reconciler) -> None:
        return None

    return patch.object(Reconciler, "_judge_again", leave)


@mutant("what a bank has done after its decline stands in its file, and the payment is not told")
def late_line_is_not_told() -> Patch:
    return _judged_by(lambda line, booked: msgspec.structs.replace(_judge(line, booked), tell=None))


@mutant("a line with another amount is told as if it were ours")
def other_amount_is_told() -> Patch:
    def tell(line: FileLine, booked: Booked | None) -> Judgement:
        judged = _judge(line, booked)
        if judged.kind == "different" and booked is not None:
            ours = msgspec.structs.replace(line, amount_minor=booked.amount_minor)
            return msgspec.structs.replace(judged, tell=settlement._told(ours, "confirmed"))
        return judged

    return _judged_by(tell)


@mutant("the amount of a line is not looked at")
def amount_of_a_line_is_ignored() -> Patch:
    def ignore(line: FileLine, booked: Booked | None) -> Judgement:
        return _judge(line, booked and msgspec.structs.replace(booked, amount_minor=line.amount_minor))

    return _judged_by(ignore)


@mutant("a line of an attempt that does not exist is passed over")
def strange_line_is_passed_over() -> Patch:
    return _judged_by(lambda line, booked: AGREED if booked is None else _judge(line, booked))


@mutant("a bounce agrees although the refund counts as paid")
def bounced_line_agrees() -> Patch:
    def agree(line: FileLine, booked: Booked | None) -> Judgement:
        state_is_known = booked is not None and line.movement == "bounced" and booked.operation == "refund"
        return AGREED if state_is_known else _judge(line, booked)

    return _judged_by(agree)


@mutant("a line is kept again when its page is read again")
def line_is_kept_again() -> Patch:
    """Two workers read the same page; the second writes what it judged once more."""
    keep = SettlementRows.keep

    def keep_again(
        self: SettlementRows, bank: str, lines: Sequence[FileLine], judged: Sequence[Judgement]
    ) -> list[tuple[FileLine, Judgement]]:
        known = self.lines.get(bank, {})
        free = max(known, default=0) + 1
        moved = [
            msgspec.structs.replace(line, line=free + place) if line.line in known else line
            for place, line in enumerate(lines)
        ]
        return keep(self, bank, moved, judged)

    return patch.object(SettlementRows, "keep", keep_again)


@mutant("lines are kept in one commit, and what they tell payments is sent in another")
def line_is_told_in_another_commit() -> Patch:
    async def keep(
        self: SimSettlementStore, bank: str, lines: Sequence[FileLine], judged: Sequence[Judgement]
    ) -> int:
        silent = [msgspec.structs.replace(each, tell=None) for each in judged]
        new = await self._call(lambda: self.keep_at_once(bank, lines, silent), writes=True)
        await self._call(lambda: _tell(self, bank, lines, judged), writes=True)
        return new

    return patch.object(SimSettlementStore, "keep", keep)


@mutant("what no file has is noticed, and its break stays when the line has come")
def missing_is_never_closed() -> Patch:
    def wait(self: SettlementRows, attempt: Any) -> int:
        before = [(each, each.reason) for each in self.breaks if each.line is None]
        opened = look(self, attempt)
        for each, reason in before:
            each.reason = reason
        return opened

    look = SettlementRows._await
    return patch.object(SettlementRows, "_await", wait)


@mutant("what a bank does after its decline is booked, and its line is never looked for")
def late_success_is_not_awaited() -> Patch:
    return patch.object(SettlementRows, "_late_at", lambda _self, _attempt: None)


def _tell(
    store: SimSettlementStore, bank: str, lines: Sequence[FileLine], judged: Sequence[Judgement]
) -> None:
    for line, judgement in zip(lines, judged, strict=True):
        if judgement.tell is not None:
            store.database.mail_in(judgement.tell, f"settlement:{bank}", str(line.line))


def _judged_by(judge: Callable[[FileLine, Booked | None], Judgement]) -> Patch:
    return patch.object(reconciler, "judge", judge)
