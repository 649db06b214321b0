"""What must be true of the answers to one storm, and of what it left (pure)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from signing import Response

IN_PROGRESS = "idempotency_key_in_progress"


@dataclass(frozen=True)
class Verdict:
    """Of one storm.

    Attributes:
        faults: sentences; none if everything held.
        identical: answers with the one body.
        in_progress: answers that said to come again.
        statuses: how often each status came; 0 stands for no answer.
    """

    faults: tuple[str, ...]
    identical: int
    in_progress: int
    statuses: Mapping[int, int]


def judge(answers: Sequence[Response | None], effects: Mapping[str, int]) -> Verdict:
    """Judge one storm.

    Args:
        answers: one for each request; None where none came.
        effects: what the record holds of it, by name; each must be there once.
    """
    faults = [f"the record holds {count} of {name}, not 1" for name, count in effects.items() if count != 1]
    given = [answer for answer in answers if answer is not None]
    statuses = Counter(0 if answer is None else answer.status for answer in answers)
    done = [answer for answer in given if answer.status == 202]
    waiting = [answer for answer in given if answer.status == 409 and _code(answer) == IN_PROGRESS]
    others = len(answers) - len(done) - len(waiting)
    if others:
        faults.append(f"{others} answers are neither the stored one nor {IN_PROGRESS}: {dict(statuses)}")
    bodies = {answer.body for answer in done}
    if len(bodies) != 1:
        faults.append(f"there are {len(bodies)} different accepted answers, not 1")
    first = [answer for answer in done if _field(answer, "idempotent-replayed") is None]
    if len(first) != 1:
        faults.append(f"{len(first)} answers claim to be the first, not 1")
    originals = {_field(answer, "idempotency-original-request") for answer in done if answer not in first}
    if originals - {_field(answer, "request-id") for answer in first}:
        faults.append("a repeat names another request than the one that was answered first")
    return Verdict(tuple(faults), len(done), len(waiting), dict(statuses))


def _field(answer: Response, name: str) -> str | None:
    return next((value for field, value in answer.headers if field.lower() == name), None)


def _code(answer: Response) -> object:
    return json.loads(answer.body).get("code")
