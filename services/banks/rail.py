"""What one rail's words have to be able to say, and when an answer is believed (pure).

A rail turns our attempts into its own requests and its answers into ours; `connector` carries them. Promise
of `believed`: `confirmed` and `declined` only for an answer that is about this very attempt.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, Protocol

from services.banks.messages import (
    Attempt,
    AttemptAnswer,
    Inquiry,
    Operation,
    SettlementAsk,
    SettlementPage,
)


class Call(NamedTuple):
    """One POST."""

    path: str
    body: bytes


class AnswerRefused(Exception):
    """A bank's answer cannot be believed; what it did is unknown. The sentence is for an operator."""

    code = "answer-refused"


class InstrumentRefused(Exception):
    """The rail has no words for this kind of instrument. The sentence is for an operator."""

    code = "instrument-refused"


class Rail(Protocol):
    """The words of one kind of bank.

    Attributes:
        operations: What can be asked of it at all.
    """

    operations: frozenset[Operation]

    def move(self, attempt: Attempt) -> Call:
        """The request; a function of the attempt alone, so that a repeat is byte for byte the same.

        Args:
            attempt: A `PutAttempt` where there is a number.

        Raises:
            AmountRefused: The rail has no words for this amount or currency.
            InstrumentRefused: Nor for this kind of instrument.
        """
        ...

    def inquire(self, inquiry: Inquiry) -> Call:
        """The question what became of an attempt."""
        ...

    def settlement(self, ask: SettlementAsk) -> Call:
        """The question for lines of the settlement file."""
        ...

    def read(self, body: bytes) -> AttemptAnswer:
        """Read the answer to a request or to a question.

        Raises:
            AnswerRefused: It is not one, or it contradicts itself.
        """
        ...

    def read_settlement(self, body: bytes) -> SettlementPage:
        """Read lines of the settlement file.

        Raises:
            AnswerRefused: They are not such lines.
        """
        ...


def believed(answer: AttemptAnswer, attempt: Attempt) -> AttemptAnswer:
    """Return the answer to a request if it is about nothing else.

    Raises:
        AnswerRefused: Another attempt, payment, amount or currency, or not an answer to a request.
    """
    _check_form(answer, attempt.attempt_id)
    if answer.outcome == "not_found":
        raise AnswerRefused("the bank answered a request as if it were a question")
    if answer.outcome in ("confirmed", "declined"):
        asked = (attempt.end_to_end_id, attempt.amount_minor, attempt.currency)
        if (answer.end_to_end_id, answer.amount_minor, answer.currency) != asked:
            raise AnswerRefused("payment, amount or currency of the answer differ from the request")
    return answer


def believed_of_inquiry(answer: AttemptAnswer, inquiry: Inquiry) -> AttemptAnswer:
    """The same for a question. The asker knows amount and currency; here they only have to be there.

    Raises:
        AnswerRefused: Another attempt, or a decision that does not say what it is about.
    """
    _check_form(answer, inquiry.attempt_id)
    if answer.outcome in ("confirmed", "declined") and None in (
        answer.end_to_end_id, answer.amount_minor, answer.currency
    ):  # fmt: skip
        raise AnswerRefused("the bank does not say what it decided about")
    return answer


def believed_page(page: SettlementPage, ask: SettlementAsk) -> SettlementPage:
    """Return lines of a settlement file if they are the ones asked for.

    Raises:
        AnswerRefused: They are too many, not in rising order, or not after the one that is known.
    """
    numbers = [ask.after_line, *(line.line for line in page.lines)]
    if len(page.lines) > ask.lines_max:
        raise AnswerRefused("the settlement file has more lines than were asked for")
    if any(after <= before for before, after in pairwise(numbers)):
        raise AnswerRefused("the lines of the settlement file do not rise")
    return page


def _check_form(answer: AttemptAnswer, attempt_id: str) -> None:
    if answer.attempt_id != attempt_id:
        raise AnswerRefused("the answer is about another attempt")
    if answer.outcome == "unsent" or answer.alarm is not None:
        raise AnswerRefused("the bank says what only we can know")
    if answer.outcome == "confirmed" and answer.bank_reference is None:
        raise AnswerRefused("the bank confirms without a reference")
    if answer.outcome != "declined" and answer.decline_code is not None:
        raise AnswerRefused("a decline code stands beside another outcome")
