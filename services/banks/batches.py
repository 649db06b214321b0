"""Many attempts and inquiries in one request, and their answers one by one as they are ready (pure).

Promises: a batch that is not wholly well formed is refused whole, before anything of it is begun; an answer
names the place of its item, so that the same attempt may stand in a batch twice; what an answer line says is
believed once for each place, and a line that cannot be one of ours ends the belief in all that follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec

from services.banks.messages import Attempt, AttemptAnswer, Inquiry

BATCHES_PATH: Final = "/v1/batches"
LINES_TYPE: Final = "application/x-ndjson"
# One turn of the engine hands out no more; a bank has as many places there.
BATCH_ITEMS_MAX: Final = 128
# Each item is well under 1 KiB.
BATCH_BYTES_MAX: Final = BATCH_ITEMS_MAX * 1024
# Three identifiers and a sentence for an operator; 2 KiB hold them even if every character is escaped.
BATCH_ANSWER_BYTES_MAX: Final = BATCH_ITEMS_MAX * 2 * 1024

Item: TypeAlias = Attempt | Inquiry


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one request carries; places count the attempts first, then the inquiries, from 0."""

    attempts: Annotated[list[Attempt], msgspec.Meta(max_length=BATCH_ITEMS_MAX)] = []
    inquiries: Annotated[list[Inquiry], msgspec.Meta(max_length=BATCH_ITEMS_MAX)] = []

    def __post_init__(self) -> None:
        """Refuse what is empty or too much."""
        if not 1 <= len(self.attempts) + len(self.inquiries) <= BATCH_ITEMS_MAX:
            raise ValueError(f"a batch has 1 to {BATCH_ITEMS_MAX} items")

    @property
    def items(self) -> list[Item]:
        """In the order of their places."""
        return [*self.attempts, *self.inquiries]


class BatchAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of the item at one place."""

    place: Annotated[int, msgspec.Meta(ge=0, lt=BATCH_ITEMS_MAX)]
    answer: AttemptAnswer


class BatchMalformed(Exception):
    """The request is no batch; nothing of it was begun."""

    code = "batch-malformed"


class AnswersBroken(Exception):
    """A line is no answer to this batch; what the earlier lines said stays true."""

    code = "answers-broken"


_encoder = msgspec.json.Encoder()
_batches = msgspec.json.Decoder(Batch, strict=True)
_attempts = msgspec.json.Decoder(Attempt, strict=True)
_inquiries = msgspec.json.Decoder(Inquiry, strict=True)
_answers = msgspec.json.Decoder(BatchAnswer, strict=True)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def write_batch(items: Sequence[Item]) -> bytes:
    """Write items, which are in order of their places.

    Raises:
        ValueError: None, or too many.
    """
    batch = Batch(
        [item for item in items if isinstance(item, Attempt)],
        [item for item in items if isinstance(item, Inquiry)],
    )
    return _encoder.encode(batch)


def read_batch(body: bytes) -> Batch:
    """Read a batch.

    Raises:
        BatchMalformed: It is none, or one of its items is not one of ours.
    """
    try:
        return _batches.decode(body)
    except _UNREADABLE as fault:
        raise BatchMalformed("the request is no batch of 1 to 128 attempts and inquiries") from fault


def is_readable(item: Item) -> bool:
    """Whether the other side would read it: one bad item would have its whole batch refused, each time."""
    try:
        return item == (_attempts if isinstance(item, Attempt) else _inquiries).decode(_encoder.encode(item))
    except (*_UNREADABLE, UnicodeEncodeError, OverflowError):
        return False


def write_answer(place: int, answer: AttemptAnswer) -> bytes:
    """One line, its end included."""
    return _encoder.encode(BatchAnswer(place, answer)) + b"\n"


class Outstanding:
    """The places of one batch whose answers have not come yet.

    Args:
        items: How many.
    """

    def __init__(self, items: int) -> None:
        self._places = set(range(items))

    @property
    def places(self) -> list[int]:
        """Which, rising."""
        return sorted(self._places)

    def take(self, line: bytes) -> BatchAnswer:
        """Take one line.

        Raises:
            AnswersBroken: It is none of ours, or about a place that is not outstanding.
        """
        try:
            answer = _answers.decode(line)
        except _UNREADABLE as fault:
            raise AnswersBroken("a line is no answer of ours") from fault
        if answer.place not in self._places:
            raise AnswersBroken("a line answers what was not asked, or a second time")
        self._places.remove(answer.place)
        return answer
