"""One engine worker in a process of its own, for `pipeline`: `python -m tests.bench.pipeline_worker FILE`."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from compose.launcher.release import checkout_root
from services.banks.messages import AttemptAnswer
from services.fraud.evaluation import PreparedRules
from services.fraud.inputs import Facts, Inputs, Question, canonical, facts_of
from services.fraud.messages import Screening
from services.fraud.rules import parse_rules
from services.fraud.velocity import Tally, ask_of
from services.node.config_file import NodeConfig, PostgresConfig
from services.node.logs import set_up_logs
from services.node.postgres import open_pool
from services.node.process import cancel_until_heard
from services.payments.bank_health import BankHealth, controls_of
from services.payments.config import WorkerConfig
from services.payments.machine.events import Answered, Asking, Decisions, Order, Screened
from services.payments.machine.policy import Policy
from services.payments.machine.terms import terms_of
from services.payments.outcomes import classify
from services.payments.record import About, Decide, Record, Waiting, Work
from services.payments.store import Store
from services.payments.worker import Worker

_CONNECTIONS_MAX: Final = 8  # As the product's process has.
_DRAIN_S_MAX: Final = 5.0
BANKS: Final = ("bank-alpha", "bank-bravo")
# Nobody signs the rules here; the place of the digest is filled.
_RULE_PACK: Final = "standard@1:" + "0" * 64


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker is given.

    Attributes:
        node, postgres: Who it is, and where its record is.
        seed: Of the bank's pauses.
        answer_s_max: The bank answers within this time, evenly spread from 0.
        one_at_a_time: One event a transaction, one payment a question.
    """

    node: NodeConfig
    postgres: PostgresConfig
    seed: int
    answer_s_max: float
    one_at_a_time: bool = False


class InProcessBank:
    """Confirms what it is sent, after a pause; what it says is classified as any bank's answer is."""

    def __init__(self, seed: int, answer_s_max: float) -> None:
        self._pauses = random.Random(seed)
        self._answer_s_max = answer_s_max

    async def carry(self, order: Order) -> Answered:
        """See `record.Banks`."""
        await asyncio.sleep(self._pauses.random() * self._answer_s_max)
        answer = AttemptAnswer(
            attempt_id=order.attempt_id,
            outcome="confirmed",
            bank_reference="bench",
            amount_minor=order.amount_minor,
            currency=order.currency,
            end_to_end_id=order.payment_id,
        )
        return classify(order, answer).answered


class InProcessScreener:
    """The fraud service's own rules and code without its store: velocity is counted within a question."""

    def __init__(self) -> None:
        document = (checkout_root() / "services" / "fraud" / "standard_rules.toml").read_bytes()
        self._rules = PreparedRules(parse_rules(document))

    async def screen(self, askings: Sequence[Asking]) -> list[Screened]:
        """See `record.Screener`."""
        facts = [facts_of(msgspec.convert(asking, Screening, from_attributes=True)) for asking in askings]
        questions = {said.payment_id: self._rules.questions(said) for said in facts}
        asks = dict.fromkeys(
            ask_of(said, question) for said in facts for question in questions[said.payment_id]
        )
        tally = Tally(asks, ())
        return [self._verdict(said, tally, questions[said.payment_id]) for said in facts]

    def _verdict(self, said: Facts, tally: Tally, questions: Sequence[Question]) -> Screened:
        tally.add(said)
        inputs = Inputs(facts=said, velocity=tally.answers(said, questions))
        evaluation = self._rules.evaluate(inputs)
        return Screened(
            payment_id=said.payment_id,
            verdict=evaluation.verdict,
            rule_pack=_RULE_PACK,
            inputs_digest=hashlib.sha256(canonical(inputs)).hexdigest(),
            reasons=evaluation.reasons,
        )


class OneByOne:
    """A record that is used as if there were no batches: one event a transaction."""

    def __init__(self, record: Record) -> None:
        self._record = record

    async def turn(self, work: Work, decide: Decide) -> Decisions:
        """See `record.Record`."""
        if isinstance(work, Waiting):
            one = Waiting(items_max=1, accounts_max=1, mail_only=work.mail_only)
            return await self._record.turn(one, decide)
        if not isinstance(work, About):
            return await self._record.turn(work, decide)
        whole = Decisions()
        for event in work.events:
            decisions = await self._record.turn(About(events=[event]), decide)
            whole.orders += decisions.orders
            whole.askings += decisions.askings
        return whole

    async def set_aside(self, payment_id: str, problem: str) -> None:
        """See `record.Record`."""
        await self._record.set_aside(payment_id, problem)

    async def post_windows(self, age: timedelta, items_min: int, accounts_max: int) -> int:
        """See `record.Record`."""
        return await self._record.post_windows(age, items_min, accounts_max)


async def work(options: WorkerOptions) -> None:
    """Work until standard input ends; says `ready` once the database has been reached."""
    async with open_pool(options.node, options.postgres, connections_max=_CONNECTIONS_MAX) as pool:
        store = Store(pool)
        health = BankHealth(terms_of(list(BANKS), {}), controls_of(pool, BANKS))
        worker = Worker(
            OneByOne(store) if options.one_at_a_time else store,
            InProcessBank(options.seed, options.answer_s_max),
            InProcessScreener(),
            health,
            Policy(),
            WorkerConfig(bank_names=BANKS),
        )
        watching = asyncio.create_task(health.run())
        working = asyncio.create_task(worker.run())
        while not worker.reached:  # noqa: ASYNC110 - the product's own readiness is asked, not told
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        worker.stop(_DRAIN_S_MAX)
        await working
        await cancel_until_heard([watching])


def main(file: Path) -> None:
    """Run one worker as `services.node.process` does."""
    options = msgspec.json.decode(file.read_bytes(), type=WorkerOptions)
    set_up_logs(options.node.name, options.node.log_level)
    uvloop.run(work(options))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
