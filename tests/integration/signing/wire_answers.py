"""What a gateway, a proxy or a network answers, right and wrong: steps for the wire server's script."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.signing.wire_server import CUT, http, signed_answer
from tests.unit.signing import signing_samples as samples


def accept(raw: bytes) -> bytes:
    return signed_answer(raw, samples.GATEWAY, 202, samples.ANSWER)


def problem(status: int, code: str, **members: object) -> bytes:
    return json.dumps({"status": status, "code": code, "title": "Words", **members}).encode()


def refuse(status: int, code: str, *further: tuple[str, str], **members: object) -> Any:
    """A signed refusal."""
    return lambda raw: signed_answer(
        raw, samples.GATEWAY, status, problem(status, code, **members),
        kind="application/problem+json", further=further,
    )  # fmt: skip


def refuse_unsigned(status: int, code: str, *further: tuple[str, str], **members: object) -> Any:
    kind = ("Content-Type", "application/problem+json")
    return lambda _: http(status, (kind, *further), problem(status, code, **members))


def cut(_: bytes) -> bytes:
    return CUT


def busy(_: bytes) -> bytes:
    return http(503, (("Retry-After", "3"),), b"upstream connect error")
