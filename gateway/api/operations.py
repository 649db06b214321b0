"""What an operation of the public interface is: route, caller, what it takes and answers.

Routing, scopes, the refusal of what nobody declared and the OpenAPI document all come from these. Each stands
beside its handler; `gateway.api.surface` lists them all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Literal, TypeAlias

import msgspec
from aiohttp import web

from gateway.api.problems import PROBLEMS
from gateway.errors import KeyScope

# Refusals that any request to a signed route can meet, before its handler or instead of it.
SIGNED_PROBLEMS = frozenset(
    {
        "cell_unavailable", "header_duplicated", "header_malformed", "idempotency_key_invalid",
        "internal_error", "key_revoked", "key_scope", "key_unknown", "method_not_canonical", "rate_limited",
        "request_refused", "sender_gone", "signature_expired", "signature_invalid", "signature_malformed",
        "signature_missing", "signature_too_early", "target_not_canonical", "too_large",
        "unsupported_media", "wrong_cell",
    }
)  # fmt: skip
READ_PROBLEMS = frozenset({"body_not_allowed", "signature_replayed", "token_invalid", "token_proof_invalid"})
PUBLIC_PROBLEMS = frozenset({"cell_unavailable", "internal_error", "rate_limited"})
ACT_PROBLEMS = frozenset(
    {
        "body_missing", "digest_malformed", "digest_mismatch", "idempotency_key_expired",
        "idempotency_key_in_progress", "idempotency_key_missing", "idempotency_key_reused", "malformed_json",
        "validation_failed",
    }
)  # fmt: skip


class Scope(Enum):
    """What a key may do; a key has at least one."""

    INSTRUMENTS = "instruments"
    MANAGE_KEYS = "manage_keys"
    MANAGE_WEBHOOKS = "manage_webhooks"
    PAY = "pay"
    READ = "read"
    REFUND = "refund"


ALL_SCOPES: frozenset[str] = frozenset(scope.value for scope in Scope)

# What a body holds: a structure in JSON, or bytes of a media type.
Content: TypeAlias = type[msgspec.Struct] | str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one route.

    Attributes:
        name: camelCase, never changed: clients generate methods from it.
        path: the template as aiohttp spells it.
        summary: one line for the page.
        scope: what the key needs; None where a scope is nothing to ask for.
        signed: false for what anyone may read.
        body: what a request that acts carries.
        query: the parameters of a read; None where it has none.
        answers: status to content, successes alone; a conditional one answers 304, too.
        problems: codes beyond those that every operation of its sort can answer.
        conditional: whether it has an entity tag and heeds If-None-Match.
        waits: whether it heeds `Prefer: wait=N`.
        fields: header fields of its successes beyond those that every answer of its sort has.

    Raises:
        ValueError: a problem that is not in the table.
    """

    name: str
    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    summary: str
    answers: Mapping[int, Content]
    scope: Scope | None = None
    signed: bool = True
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    problems: frozenset[str] = field(default_factory=frozenset)
    conditional: bool = False
    waits: bool = False
    fields: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if unknown := self.problems - set(PROBLEMS):
            raise ValueError(f"{self.name} declares problems that are not in the table: {sorted(unknown)}")

    @property
    def acts(self) -> bool:
        """Whether it changes something, and so has a body and an idempotency key."""
        return self.method != "GET"

    @property
    def sort_problems(self) -> frozenset[str]:
        """Codes that every operation of its sort can be refused with."""
        if not self.signed:
            return PUBLIC_PROBLEMS
        return SIGNED_PROBLEMS | (ACT_PROBLEMS if self.acts else READ_PROBLEMS)

    @property
    def admits_tokens(self) -> bool:
        """Whether an access token is enough: it reads, and needs the scope for reading."""
        return self.signed and self.method == "GET" and self.scope is Scope.READ

    def all_problems(self) -> frozenset[str]:
        """Return every code that this operation can be refused with."""
        return self.problems | self.sort_problems

    def admits(self, status: int, code: str | None) -> bool:
        """Tell whether an answer is one that is declared here.

        Args:
            status: of the answer.
            code: of the problem; None for a success.
        """
        if code is None:
            return status in self.answers or (self.conditional and status == HTTPStatus.NOT_MODIFIED)
        return code in self.all_problems() and status == PROBLEMS[code].status


def require_scope(scopes: frozenset[str], needed: Scope | None) -> None:
    """Let through whoever was given what an operation needs.

    Raises:
        KeyScope: the key has other scopes.
    """
    if needed is not None and needed.value not in scopes:
        raise KeyScope(f"this needs a key with the scope {needed.value}: register one, or use another")


Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
# An operation and the method that carries it out.
Bound: TypeAlias = tuple[Operation, Handler]
