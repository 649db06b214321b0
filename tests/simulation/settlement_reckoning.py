"""What must hold of settlement in the end: each line is kept once; what does not agree is an open break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from services.payments.machine.model import Attempt
from services.payments.machine.settlement import FileLine
from tests.simulation.invariants import LATE, Problem
from tests.simulation.rows import Rows
from tests.simulation.settlement_rows import Break, taken_back_minor
from tests.simulation.sim_settlement import Settlements

_TAKEN_BACK = {"returned", "chargeback"}
_MOVES = {"collect", "capture", "payout", "refund"}


def settlement_problems(settlements: Settlements) -> Iterator[Problem]:
    """Everything that is wrong, by what the files say and what the record says, whatever was judged."""
    rows = settlements.database.rows
    of_line: dict[tuple[str, int], Break] = {}
    missing: dict[str, Break] = {}
    for each in settlements.rows.breaks:
        if each.line is None:
            missing[each.attempt_id] = each
        else:
            of_line[each.bank, each.line] = each
    named: set[tuple[str, str]] = set()
    taken, open_by_payment = Counter[str](), set[str]()
    for bank, file in settlements.files.items():
        kept = settlements.rows.lines.get(bank, {})
        if [line.line for line in file.lines] != list(kept):
            yield "settlement", f"{bank} wrote {len(file.lines)} lines, {list(kept)} are kept"
        seen = Counter[tuple[str, str]]()
        for line in kept.values():
            named.add((line.attempt_id, line.movement))
            found = of_line.get((bank, line.line))
            is_open = found is not None and found.reason is None
            attempt = _named(rows, line)
            if attempt is not None and line.movement in _TAKEN_BACK:
                taken[line.end_to_end_id] += line.amount_minor
                if is_open:
                    open_by_payment.add(line.end_to_end_id)
                continue
            wanted = _wanted(rows, line, attempt, seen[line.attempt_id, line.movement])
            seen[line.attempt_id, line.movement] += 1
            if wanted is None and is_open:
                yield "settlement", f"line {line.line} of {bank} agrees, and its break is open: {found}"
            if wanted is not None and not (found is not None and is_open and found.kind == wanted):
                yield "settlement", f"line {line.line} of {bank} is {wanted}, its break is {found}"
    yield from _taken_back(rows, taken, open_by_payment)
    yield from _missing(rows, named, missing)


def _named(rows: Rows, line: FileLine) -> Attempt | None:
    attempt = rows.attempts.get(line.attempt_id)
    if attempt is None or (attempt.bank, attempt.payment_id) != (line.bank, line.end_to_end_id):
        return None
    return attempt


def _wanted(rows: Rows, line: FileLine, attempt: Attempt | None, seen: int) -> str | None:
    """The kind of the break that has to be open in the end; None: none."""
    if attempt is None:
        return "unknown_attempt"
    operation = "refund" if line.movement == "bounced" else line.movement
    currency = rows.payments[attempt.payment_id].currency
    if (operation, line.amount_minor, line.currency) != (attempt.operation, attempt.amount_minor, currency):
        return "different"
    if seen:
        return "twice"
    if line.movement == "bounced":
        return None if attempt.state == "reversed" else "open"
    if _has_moved(attempt):
        return None
    return "open" if attempt.state == "unknown" else "late"


def _has_moved(attempt: Attempt) -> bool:
    return attempt.state in ("confirmed", "reversed") or attempt.decline_code in LATE


def _taken_back(rows: Rows, taken: Counter[str], open_by_payment: set[str]) -> Iterator[Problem]:
    """What banks took back and nobody was told of is an open break of one of the payment's lines."""
    for payment_id, minor in taken.items():
        payment = rows.whole(payment_id)
        booked = taken_back_minor(payment)
        if (minor > booked) != (payment_id in open_by_payment):
            yield (
                "settlement",
                f"banks took {minor} of {payment_id} back, {booked} is booked, and no break says so",
            )


def _missing(rows: Rows, named: set[tuple[str, str]], missing: dict[str, Break]) -> Iterator[Problem]:
    for attempt in rows.attempts.values():
        if attempt.operation in _MOVES and _has_moved(attempt):
            is_there = (attempt.attempt_id, attempt.operation) in named
            found = missing.get(attempt.attempt_id)
            is_open = found is not None and found.reason is None
            if is_there == is_open:
                yield "settlement", f"{attempt.attempt_id} has a line: {is_there}, and its break is {found}"
