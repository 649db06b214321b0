"""Payments with a second act, under the same faults: captured later, voided, refunded, reviewed.

Each story asks for what a merchant or a person would, some of it twice or against each other, and ends when
the payment has its outcome; whether all was done once, and for whom, is judged from outside afterwards.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from services.payments.machine.model import REFUND_FINAL
from services.payments.machine.policy import Policy
from tests.faults.client_log import PAYMENTS_PATH
from tests.faults.command_log import Action
from tests.faults.commands import ALICE, BRUNO, Commander
from tests.faults.load import Load
from tests.faults.observed import OUTCOMES

# An outcome may stay unknown for as long as three questions take, and processes die meanwhile.
MOVED_ON_S_MAX: Final = 110.0
LOOK_EVERY_S: Final = 0.25
AMOUNT_MINOR: Final = 1_200
CUT_SHORT: Final = "cut short"  # Counted beside the stories' names.
# Each step has banks that answer late, not at all, or no. Shares are small: an instrument that is used a
# hundred times in ten minutes is taken for a stolen one.
MANUAL_INSTRUMENTS: Final = {
    "tok_visa_ok": 8, "tok_slow": 1, "tok_reset": 2, "tok_capture_reset": 2, "tok_capture_slow": 1,
    "tok_capture_timeout_then_success": 1, "tok_capture_declined_limit_exceeded": 1, "tok_void_reset": 1,
    "tok_void_slow": 1,
}  # fmt: skip
REFUND_INSTRUMENTS: Final = {
    "tok_visa_ok": 8, "tok_refund_reset": 2, "tok_refund_slow": 1, "tok_refund_timeout_then_success": 1,
    "tok_refund_unavailable_once": 1, "tok_refund_declined_limit_exceeded": 1,
}  # fmt: skip
CURRENCY: Final = "EUR"
# Above the rule `large-collect` and the limit from which two persons have to approve.
LARGE_MINOR: Final = Policy().second_approver_minor[CURRENCY] + 1
# Two of these are below every limit and nearly all that the rule `instrument-day` lets one payer spend.
NEARLY_LARGE_MINOR: Final = Policy().second_approver_minor[CURRENCY] - 1
SERVICE_LIMIT_MINOR: Final = Policy().refund_review_minor[CURRENCY]


class Stories:
    """Tells one story at a time for whoever asks; all of one merchant's.

    Attributes:
        told: how often each was told to its end.
    """

    def __init__(self, load: Load, commander: Commander, seed: int) -> None:
        self._load = load
        self._commander = commander
        self._random = random.Random(f"stories {seed}")
        self._plainly = False
        self.told: Counter[str] = Counter()
        self._all: dict[Callable[[], Awaitable[None]], int] = {
            self.captured: 3, self.voided: 2, self.captured_and_voided: 1, self.refunded: 2,
            self.refunded_too_often: 2, self.refund_withdrawn: 1, self.refunded_by_service: 1,
            self.refund_reviewed: 1, self.approved_by_two: 2, self.decided_against_each_other: 1,
            self.approved_by_one: 1,
        }  # fmt: skip

    async def one(self) -> None:
        """Tell one; what does not move on while everything dies is brought to its end by `end_all`."""
        story = self._random.choices(list(self._all), weights=list(self._all.values()))[0]
        name = story.__name__
        try:
            await story()
        except TimeoutError:
            self.told[CUT_SHORT] += 1
        except Exception as fault:  # noqa: BLE001 - whatever it is, nobody else would hear of it.
            self._load.findings.append(f"the story `{name}` ended with {type(fault).__name__}: {fault}")
        else:
            self.told[name] += 1

    async def end_all(self) -> None:
        """Void and reject what stories that were cut short have left: nobody else would, for days.

        What that is the record says: who was cut short may not have heard what was begun.
        """
        with suppress(TimeoutError):  # What is still open then is found by who waits for quiet.
            async with asyncio.timeout(MOVED_ON_S_MAX):
                while (left := await self._commander.left_open()) is not None:
                    await asyncio.gather(*(self._end(*one) for one in left))
                    await asyncio.sleep(LOOK_EVERY_S)  # Told by rows of other processes.

    async def _end(self, status: str, payment_id: str, subject_id: str) -> None:
        if status == "authorized":
            await self._commander.tell("void", payment_id)
        else:
            for person in (BRUNO, ALICE):  # One of them may have asked for it, or decided before.
                await self._commander.decide(person, "reject", payment_id, subject_id)

    async def each(self) -> None:
        """Tell each once as it goes when nothing goes wrong, all at the same time."""
        self._plainly = True
        try:
            await asyncio.gather(*(story() for story in self._all))
        finally:
            self._plainly = False
        self.told.update(story.__name__ for story in self._all)

    async def captured(self) -> None:
        """Captured later, whole or in part, by the merchant or by customer service."""
        payment_id = await self._authorised()
        amount_minor = self._random.choice([None, AMOUNT_MINOR // 3, AMOUNT_MINOR - 1])
        if self._random.random() < 0.5:
            await self._commander.tell("capture", payment_id, amount_minor)
        else:
            await self._commander.as_person(BRUNO, "capture", payment_id, amount_minor)
        await self._ended(payment_id)

    async def voided(self) -> None:
        """Voided, the second time in vain."""
        payment_id = await self._authorised()
        await self._commander.tell("void", payment_id)
        await self._commander.tell("void", payment_id)
        await self._ended(payment_id)

    async def captured_and_voided(self) -> None:
        """Several want it captured and another one voided, at the same moment: one of them gets it."""
        payment_id = await self._authorised()
        await asyncio.gather(
            self._commander.tell("capture", payment_id),
            self._commander.as_person(ALICE, "void", payment_id),
            self._commander.as_person(BRUNO, "capture", payment_id, AMOUNT_MINOR // 2),
        )
        await self._ended(payment_id)

    async def refunded(self) -> None:
        """Refunded whole, in one or in two parts."""
        payment_id = await self._succeeded()
        first = self._random.choice([AMOUNT_MINOR, AMOUNT_MINOR // 4])
        for amount_minor in filter(None, (first, AMOUNT_MINOR - first)):
            await self._refund(payment_id, amount_minor)

    async def refunded_too_often(self) -> None:
        """Three want two thirds of it back at the same moment: only one of them can get it."""
        payment_id = await self._succeeded()
        await asyncio.gather(*(self._refund(payment_id, AMOUNT_MINOR * 2 // 3) for _ in range(3)))

    async def refund_withdrawn(self) -> None:
        """Asked for and withdrawn at the same moment: the bank has it, or the merchant still has."""
        await self._refund(await self._succeeded(), AMOUNT_MINOR, is_withdrawn=True)

    async def refunded_by_service(self) -> None:
        """A person gives a little back."""
        payment_id, refund_id = await self._succeeded(), self._commander.refund_id()
        await self._commander.as_person(ALICE, "refund", payment_id, AMOUNT_MINOR // 2, refund_id)
        await self._refund_ended(refund_id)

    async def refund_reviewed(self) -> None:
        """A person gives much back: another one has to agree, and the same cannot."""
        payment_id = await self._succeeded(SERVICE_LIMIT_MINOR, "tok_visa_ok")
        refund_id = self._commander.refund_id()
        await self._commander.as_person(ALICE, "refund", payment_id, SERVICE_LIMIT_MINOR, refund_id)
        if await self._commander.refund_status(refund_id) == "in_review":
            own = await self._commander.decide(ALICE, "approve", payment_id, refund_id)
            if own is not None and own.applied:
                self._load.findings.append(f"I10 {refund_id}: was approved by the person who asked for it")
            action = self._any_of("approve", "reject")
            await self._commander.decide(BRUNO, action, payment_id, refund_id)
        await self._refund_ended(refund_id)

    async def approved_by_two(self) -> None:
        """Large: two persons agree, at the same moment or one after the other."""
        payment_id = await self._large()
        if await self._moved_on(payment_id, {"in_review"}) == "in_review":
            deciding = [self._commander.decide(p, "approve", payment_id, payment_id) for p in (ALICE, BRUNO)]
            await asyncio.gather(*deciding)
        await self._ended(payment_id)

    async def decided_against_each_other(self) -> None:
        """Large: one agrees and one does not; no bank may be called."""
        payment_id = await self._large()
        if await self._moved_on(payment_id, {"in_review"}) == "in_review":
            await asyncio.gather(
                self._commander.decide(ALICE, "approve", payment_id, payment_id),
                self._commander.decide(BRUNO, "reject", payment_id, payment_id),
            )
        await self._ended(payment_id)

    async def approved_by_one(self) -> None:
        """A payer's third one comes to much on one day: one person is enough to let it pass, or not."""
        instrument = _payer()
        for _ in range(2):
            await self._ended(await self._pay(NEARLY_LARGE_MINOR, instrument))
        payment_id = await self._pay(AMOUNT_MINOR, instrument)
        if await self._moved_on(payment_id, {"in_review"}) == "in_review":
            action = self._any_of("approve", "approve", "reject")
            await self._commander.decide(ALICE, action, payment_id, payment_id)
        await self._ended(payment_id)

    async def _pay(self, amount_minor: int, instrument: str, capture_method: str = "automatic") -> str:
        """Accepted as any payment of the load's is, promise and all.

        Raises:
            TimeoutError: There was no answer.
        """
        body = {
            "kind": "collect",
            "amount": amount_minor,
            "currency": CURRENCY,
            "instrument": instrument,
            "capture_method": capture_method,
        }
        promise = await self._load.accepted_at(PAYMENTS_PATH, json.dumps(body).encode())
        if promise is None:
            raise TimeoutError
        return promise.payment_id

    async def _large(self) -> str:
        return await self._pay(LARGE_MINOR, _payer())

    async def _authorised(self) -> str:
        """One that is captured later, as far as it comes by itself."""
        payment_id = await self._pay(AMOUNT_MINOR, self._one_of(MANUAL_INSTRUMENTS), capture_method="manual")
        await self._moved_on(payment_id, {"authorized"})
        return payment_id

    async def _succeeded(self, amount_minor: int = AMOUNT_MINOR, instrument: str = "") -> str:
        payment_id = await self._pay(amount_minor, instrument or self._one_of(REFUND_INSTRUMENTS))
        await self._ended(payment_id)
        return payment_id

    async def _refund(self, payment_id: str, amount_minor: int, *, is_withdrawn: bool = False) -> None:
        refund_id = await self._commander.refund(payment_id, amount_minor, is_withdrawn=is_withdrawn)
        if refund_id is not None:
            await self._refund_ended(refund_id)

    async def _moved_on(self, payment_id: str, to: set[str]) -> str:
        """Wait until it is in one of these states, or has an outcome; return the state."""
        async with asyncio.timeout(MOVED_ON_S_MAX):
            while (status := await self._commander.status(payment_id)) not in to | set(OUTCOMES):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)  # Told by rows of other processes.
        return status

    async def _ended(self, payment_id: str) -> None:
        """Wait for the outcome; what a bank would not capture is voided, or it would be open for a week."""
        async with asyncio.timeout(MOVED_ON_S_MAX):
            while await self._moved_on(payment_id, {"authorized"}) == "authorized":
                await self._commander.tell("void", payment_id)

    async def _refund_ended(self, refund_id: str) -> None:
        """Wait for the outcome of a refund, if it was begun."""
        async with asyncio.timeout(MOVED_ON_S_MAX):
            while await self._commander.refund_status(refund_id) not in {"", *REFUND_FINAL}:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)  # Told by rows of other processes.

    def _any_of(self, first: Action, *others: Action) -> Action:
        return first if self._plainly else self._random.choice((first, *others))

    def _one_of(self, instruments: dict[str, int]) -> str:
        if self._plainly:
            return next(iter(instruments))
        return self._random.choices(list(instruments), weights=list(instruments.values()))[0]


def _payer() -> str:
    """An instrument that nobody has used before; every bank takes it for an ordinary one."""
    return f"tok_payer_{secrets.token_hex(8)}"
