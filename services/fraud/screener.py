"""Decide about payments in batches: what waits is taken together, one transaction at a time.

Promises: a payment is decided once, and every later question gets that verdict; its velocity is counted once,
in the same commit; whoever gets no verdict must hold the payment and ask again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence

from services.fraud import counters
from services.fraud.errors import RulesStale
from services.fraud.inputs import Facts, Inputs, canonical, facts_of
from services.fraud.messages import Screening, Verdict
from services.fraud.rules_in_force import RulesInForce
from services.fraud.store import Batch, Decided, Store
from services.fraud.velocity import Tally, ask_of, is_timely
from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY

# Four full questions in one commit: above that a batch only takes longer.
BATCH_ITEMS_MAX = 512
# Full questions that are answered within the callers' deadline; who comes then is told at once to come again.
WAITING_MAX = 64

_log = get_log("fraud.screener")
_Waiting = tuple[Sequence[Screening], "asyncio.Future[list[Verdict]]"]


class Unanswered(Exception):
    """No verdict now; the sentence says why."""


class Screener:
    """The one loop that decides; any number of callers wait for it."""

    def __init__(self, store: Store, rules: RulesInForce) -> None:
        self._store = store
        self._rules = rules
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()

    async def screen(self, items: Sequence[Screening]) -> list[Verdict]:
        """Wait for the verdicts; a payment may be missing among them.

        Raises:
            Unanswered: The database is away, too much waits, or this process has old rules.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise Unanswered("busy")
        answer: asyncio.Future[list[Verdict]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, answer))
        self._arrived.set()
        return await answer

    async def run(self) -> None:
        """Decide about what arrives, for ever."""
        while True:
            await self._arrived.wait()
            taken = self._take()
            if not taken:
                self._arrived.clear()
                continue
            verdicts: dict[str, Verdict] = {}
            reason = None
            try:
                with counters.BATCH_S.time():
                    verdicts = await self._decide([item for items, _ in taken for item in items])
            except RulesStale:
                self._rules.doubt()
                reason = "rules-stale"
            except DATABASE_AWAY as fault:
                _log.warning("payments are held, the database is away", fault=type(fault).__name__)
                reason = "database-away"
            for items, answer in taken:
                if answer.done():  # Whoever asked has gone; the verdict is kept for the next question.
                    continue
                if reason is not None:
                    answer.set_exception(Unanswered(reason))
                else:
                    told = dict.fromkeys(item.payment_id for item in items)
                    answer.set_result([verdicts[payment_id] for payment_id in told if payment_id in verdicts])

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        room = BATCH_ITEMS_MAX
        while self._waiting and (len(self._waiting[0][0]) <= room or not taken):
            waiting = self._waiting.popleft()
            if not waiting[1].done():
                taken.append(waiting)
                room -= len(waiting[0])
        return taken

    async def _decide(self, items: Sequence[Screening]) -> dict[str, Verdict]:
        facts: dict[str, Facts] = {}
        contradicted: set[str] = set()
        for item in items:
            said = facts_of(item)
            if facts.setdefault(said.payment_id, said) != said:
                contradicted.add(said.payment_id)
        async with self._rules.turn, self._store.batch(self._rules.signed) as batch:
            verdicts = {}
            for inputs, verdict in await batch.decided(list(facts)):
                payment_id = verdict.payment_id
                if facts.pop(payment_id) != inputs.facts:
                    contradicted.add(payment_id)
                else:
                    verdicts[payment_id] = verdict
                    counters.REPEATED.inc()
            fresh = [said for payment_id, said in facts.items() if payment_id not in contradicted]
            verdicts |= await self._decide_fresh(batch, fresh)
            reach("fraud.verdicts_written")
        reach("fraud.verdicts_committed")
        for payment_id in contradicted:
            counters.CONTRADICTED.inc()
            verdicts.pop(payment_id, None)
            _log.error("a payment is asked about in two ways; it gets no verdict", payment_id=payment_id)
        return verdicts

    async def _decide_fresh(self, batch: Batch, fresh: Sequence[Facts]) -> dict[str, Verdict]:
        if not fresh:
            return {}
        rules, label = self._rules.prepared, self._rules.signed.label
        timely = {said.payment_id for said in fresh if is_timely(said.accepted_at, batch.now)}
        questions = {
            said.payment_id: rules.questions(said) if said.payment_id in timely else [] for said in fresh
        }
        asks = list(
            dict.fromkeys(ask_of(said, question) for said in fresh for question in questions[said.payment_id])
        )
        tally = Tally(asks, await batch.seen(asks))
        decisions, verdicts = [], {}
        for said in fresh:
            if said.payment_id in timely:
                tally.add(said)
            inputs = Inputs(facts=said, velocity=tally.answers(said, questions[said.payment_id]))
            evaluation, document = rules.evaluate(inputs), canonical(inputs)
            decision = Decided(said.payment_id, evaluation, document, hashlib.sha256(document).digest())
            decisions.append(decision)
            verdicts[said.payment_id] = Verdict(
                payment_id=said.payment_id,
                verdict=evaluation.verdict,
                rule_pack=label,
                inputs_digest=decision.inputs_digest.hex(),
                reasons=evaluation.reasons,
            )
            counters.SCREENED.labels(evaluation.verdict).inc()
        await batch.record(decisions, tally.increments())
        return verdicts
