"""Which bank a payment goes to: who may take it, who costs least, and how equals share (pure).

Same payment, same facts, same bank, on every worker. A bank that is not eligible is none; a few payments are
tries (of a bank that may be back, of one that is dearer); the others go to the cheapest expected cost. Banks
that cost nearly the same share them by a weighted rendezvous hash of the payment's id, so that a bank that
leaves moves its own payments only. A price that is not known is never compared with one that is.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from services.payments.machine.breaker import BreakerState
from services.payments.machine.choice import Choice
from services.payments.machine.fees import FeeSchedule, Key, fee_minor, schedule_for
from services.payments.machine.figures import Coarse, Fine, figures_for
from services.payments.machine.model import Operation, Payment
from services.payments.machine.terms import BankTerms, instrument_class_of

# Of 1,000 payments, so many go to any bank that may take them, so that a dearer one's figures stay true.
EXPLORED_PERMILLE = 20
# Of 1,000 payments, so many try a bank that may be back while another is there.
PROBES_PERMILLE = 60
# Costs within so many percent of the least count as the same: less is noise of the success rates.
SAME_PERCENT = 5
# What a try that fails costs on top of the next bank's fee, in hundredths of a percent of the amount: the
# payer waits, and some leave.
FAILED_BPS = 50
# What each second costs beyond the first, likewise.
SLOW_BPS = 5
PATIENCE_MS = 1_000

_MASK = (1 << 64) - 1
_PERMILLE = 1_000
_UNKNOWN = '"unknown"'


class BankFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One bank as it is at this moment.

    Attributes:
        drained: An operator keeps new payments from it.
        has_room: Whether this worker has calls left for it.
        breakers: By operation; closed where none is named.
        coarse: What the last calls of each operation came to.
        fine: The same by instrument class and currency, too.
    """

    name: str
    terms: BankTerms
    drained: bool = False
    has_room: bool = True
    breakers: Mapping[Operation, BreakerState] = {}
    coarse: Coarse = {}
    fine: Fine = {}


class _Candidate(NamedTuple):
    name: str
    salt: int
    weight: int
    schedule: FeeSchedule | None
    failed_permille: int
    penalty: int  # Thousandths of a hundredth of a percent of the amount.
    is_priced: bool
    window: str | None


class _Plan(NamedTuple):
    """Everything about one key that does not depend on the payment.

    Attributes:
        compared: Those of `closed` whose costs are reckoned: with a price; where none has one, all of them.
        told: What the explanation says each costs, to be filled in with the costs of the compared.
    """

    closed: tuple[_Candidate, ...]
    compared: tuple[_Candidate, ...]
    half_open: tuple[_Candidate, ...]
    head: str
    told: str
    tail: str


class RoutingTable:
    """Implements `choice.Routes`. Cheap to make: what a key needs is worked out when it is first asked for.

    Args:
        banks: With unique names.
        now: Which fees are in force.

    Attributes:
        banks: By name.
    """

    def __init__(self, banks: Iterable[BankFacts], now: datetime) -> None:
        self.banks = tuple(sorted(banks, key=lambda bank: bank.name))
        self._final = {bank.name for bank in self.banks if bank.terms.not_found_is_final}
        self._now = now
        self._plans: dict[tuple[str, str, str, str, frozenset[str]], _Plan] = {}

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        """Choose a bank; None where none may take it now."""
        operation: Operation = (
            "payout" if payment.kind == "payout"
            else "collect" if payment.capture_method == "automatic"
            else "authorise"
        )  # fmt: skip
        name = payment.payment_id
        region = name[4 : name.index("_", 4)]
        key = (operation, payment.currency, region, instrument_class_of(payment.instrument), excluded)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(Key(*key[:4]), excluded)
        seed = zlib.crc32(name.encode())
        closed, compared, half_open, head, told, tail = plan
        if half_open and (not closed or seed % _PERMILLE < PROBES_PERMILLE):
            return Choice(bank=_race(half_open, seed), explanation=f'{head}"how":"probe"{tail}')
        if not closed:
            return Choice(bank=None, explanation=f'{head}"how":"none"{tail}')
        costs = _costs(compared, payment.amount_minor)
        if len(closed) == 1:
            bank, how = closed[0].name, "only"
        elif seed // _PERMILLE % _PERMILLE < EXPLORED_PERMILLE:
            bank, how = _race(closed, seed), "explored"
        else:
            least = min(costs)
            most = least + least * SAME_PERCENT // 100
            same = [c for c, cost in zip(compared, costs, strict=False) if cost <= most]
            bank, how = (same[0].name, "cost") if len(same) == 1 else (_race(same, seed), "share")
        if compared[0].is_priced:
            told %= tuple(costs)
        return Choice(bank=bank, explanation=f'{head}"how":"{how}","cost_milli":{{{told}}}{tail}')

    def is_not_found_final(self, bank: str) -> bool:
        """Whether the bank's contract says that what it does not find it will never process."""
        return bank in self._final

    def _plan(self, key: Key, excluded: frozenset[str]) -> _Plan:
        closed, half_open, reasons = [], [], {}
        for bank in self.banks:
            reason = _why_not(bank, key, excluded)
            state = bank.breakers.get(key.operation, "closed")
            if reason is None and state == "open":
                reason = "breaker open"
            if reason is not None:
                reasons[bank.name] = reason
            elif state == "half_open":
                half_open.append(self._candidate(bank, key))
            else:
                closed.append(self._candidate(bank, key))
        compared = tuple(c for c in closed if c.is_priced) or tuple(closed)
        head = f'{{"for":{_json(" ".join(key))},'
        told = {
            "window": {c.name: c.window for c in (*closed, *half_open) if c.window is not None},
            "half_open": [c.name for c in half_open],
            "not": reasons,
        }
        tail = "".join(f',"{name}":{_json(value)}' for name, value in told.items() if value)
        return _Plan(tuple(closed), compared, tuple(half_open), head, _told(closed), tail + "}")

    def _candidate(self, bank: BankFacts, key: Key) -> _Candidate:
        seen, window = figures_for(key, bank.coarse, bank.fine)
        schedule = schedule_for(bank.terms.fees.values(), key, self._now)
        return _Candidate(
            bank.name,
            int.from_bytes(hashlib.blake2b(bank.name.encode(), digest_size=8).digest(), "big"),
            bank.terms.weight,
            schedule,
            seen.failed_permille,
            seen.failed_permille * FAILED_BPS + max(0, seen.answer_ms - PATIENCE_MS) * SLOW_BPS,
            # Without any price list a bank costs nothing; with one that has no line for this, nobody knows.
            schedule is not None or not bank.terms.fees,
            window,
        )


def _told(closed: Iterable[_Candidate]) -> str:
    """What an explanation says each costs, with a place for each cost that can be reckoned."""
    return ",".join(f"{_json(c.name).replace('%', '%%')}:{'%d' if c.is_priced else _UNKNOWN}" for c in closed)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _why_not(bank: BankFacts, key: Key, excluded: frozenset[str]) -> str | None:
    terms = bank.terms
    if bank.name in excluded:
        return "excluded"
    for word, words in (
        (key.operation, terms.operations),
        (key.currency, terms.currencies),
        (key.region, terms.regions),
        (key.instrument_class, terms.instrument_classes),
    ):
        if words and word not in words:
            return f"no {word}"
    if terms.retired:
        return "retired"
    if bank.drained:
        return "drained"
    return None if bank.has_room else "no room"


def _costs(candidates: tuple[_Candidate, ...], amount_minor: int) -> list[int]:
    """Expected cost of each, in thousandths of a minor unit: its fee, what failing costs, what waiting costs.

    A try that fails is followed by the cheapest of the others, or by itself where there is none.
    """
    fees = [0 if c.schedule is None else fee_minor(c.schedule, amount_minor) for c in candidates]
    if len(fees) == 1:
        first = second = fees[0]
    else:
        first, second = sorted(fees)[:2]
    costs = []
    for (_, _, _, _, failed, penalty, _, _), fee in zip(candidates, fees, strict=False):
        cost = fee * _PERMILLE
        if penalty:
            cost += failed * (second if fee == first else first) + amount_minor * penalty // 10_000
        costs.append(cost)
    return costs


def _race(candidates: Iterable[_Candidate], seed: int) -> str:
    """Weighted rendezvous: each draws a waiting time from the payment's id and its own name; the first wins.

    Source: the exponential race of Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005).
    """
    best, winner = math.inf, ""
    for name, salt, weight, _, _, _, _, _ in candidates:
        # A finaliser of the MurmurHash3 kind: neighbouring inputs, independent outputs.
        mixed = (seed ^ salt) * 0xFF51AFD7ED558CCD & _MASK
        mixed = (mixed ^ mixed >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
        mixed ^= mixed >> 33
        time = -math.log((mixed + 1) / (_MASK + 2)) / weight
        if time < best:
            best, winner = time, name
    return winner
