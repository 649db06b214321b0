"""Whose turn it is, and what has come for them: the queries of `payments.take_waiting` over rows in memory.

Payments and mail each have half of the places, or what the other leaves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.payments.machine.events import Event, TurnCame
from services.payments.record import Waiting
from tests.simulation.rows import Rows

# So many times the places are looked at, so that one busy account hides nobody.
WINDOW_FACTOR = 4


class Turn(msgspec.Struct, frozen=True, gc=False):
    """The accounts that have waited longest, and the last that had come for them by then.

    Attributes:
        last_payment, last_mail: Places in the common order of arrival; 0 where nothing had come.
    """

    accounts: list[str]
    last_payment: int = 0
    last_mail: int = 0


def whose_turn(rows: Rows, work: Waiting, now: datetime) -> Turn:
    """Choose the accounts, as the first statement does."""
    payments = sorted(
        (rows.arrivals[key], row.account_id)
        for key, row in rows.accepted.items()
        if not (work.mail_only or rows.is_aside(key, now))
    )
    mail = sorted(
        (letter.arrival, letter.account_id)
        for letter in rows.undone.values()
        if not rows.is_aside(letter.event.payment_id, now)
    )
    window = work.items_max * WINDOW_FACTOR
    first: dict[str, tuple[int, float]] = {}
    for place, (_, account_id) in enumerate(payments[:window], 1):
        first.setdefault(account_id, (place, math.inf))
    for place, (arrival, account_id) in enumerate(mail[:window], 1):
        known = first.get(account_id, (place, math.inf))
        first[account_id] = (min(place, known[0]), min(arrival, known[1]))
    chosen = sorted(first, key=first.__getitem__)[: work.accounts_max]
    return Turn(
        chosen,
        max((arrival for arrival, account_id in payments[:window] if account_id in chosen), default=0),
        max((arrival for arrival, account_id in mail[:window] if account_id in chosen), default=0),
    )


def what_came(rows: Rows, turn: Turn, accounts: Sequence[str], work: Waiting, now: datetime) -> list[Event]:
    """Read what has come for these of the accounts, as the statement after the lock does."""
    items_max = work.items_max
    payments: Sequence[tuple[int, Event]] = sorted(
        (
            (rows.arrivals[key], TurnCame(payment_id=key))
            for key, row in rows.accepted.items()
            if row.account_id in accounts
            and rows.arrivals[key] <= turn.last_payment
            and not (work.mail_only or rows.is_aside(key, now))
        ),
        key=_arrival,
    )[:items_max]
    mail: Sequence[tuple[int, Event]] = sorted(
        (
            (letter.arrival, msgspec.structs.replace(letter.event, mail_id=letter.mail_id))
            for letter in rows.undone.values()
            if letter.account_id in accounts
            and letter.arrival <= turn.last_mail
            and not rows.is_aside(letter.event.payment_id, now)
        ),
        key=_arrival,
    )[:items_max]
    placed = [(place, arrival, event) for half in (payments, mail)
              for place, (arrival, event) in enumerate(half, 1)]  # fmt: skip
    placed.sort(key=lambda each: each[:2])
    return [event for _, event in sorted(((a, e) for _, a, e in placed[:items_max]), key=_arrival)]


def _arrival(came: tuple[int, Event]) -> int:
    return came[0]
