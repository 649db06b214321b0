"""What the load's process is told to do, and what it tells: lines of JSON over its standard streams."""

from __future__ import annotations

import msgspec


class Target(msgspec.Struct, frozen=True):
    """Whom the requests go to.

    Attributes:
        origin: `https://NAME:PORT`, as it is signed.
        host: Address.
        trust_file: Authority of the server's certificate, which is for `NAME`; empty where `identity` is.
        identity: A generation to prove oneself with, where the server wants mutual TLS.
        expect: The server's SPIFFE id then.
    """

    origin: str
    host: str
    port: int
    trust_file: str = ""
    identity: str = ""
    expect: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        requests: How many.
        connections: How many are open and used at once.
        rate_per_s: Open loop at an even rate; 0: closed loop, each connection sends as soon as it is free.
        signs_before: Whether all are signed before the run begins; else each one just before it is sent.
        verifies: Whether each receipt is verified, after the run.
        outcome: File for a `Outcome`.
    """

    target: Target
    requests: int
    connections: int
    rate_per_s: float = 0.0
    signs_before: bool = True
    verifies: bool = True
    outcome: str


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """One request that was answered.

    Attributes:
        due_s: When it was to be sent (monotonic clock of this machine, the same for all processes).
        ended_s: When its answer was there.
        payment_id: Empty where the answer names none.
    """

    due_s: float
    ended_s: float
    status: int
    payment_id: str


class Outcome(msgspec.Struct, frozen=True):
    """What one run came to.

    Attributes:
        failures: What was sent and not answered, or refused.
        refused_receipts: Answers without a receipt that holds; always 0 where none is verified.
    """

    sent: list[Sent]
    failures: list[str]
    refused_receipts: int


class Arrivals(msgspec.Struct, frozen=True):
    """What came to the webhook receiver.

    Attributes:
        ended_s: When a payment's end was told first (monotonic clock), by payment.
        succeeded: How many of these ended well.
        deliveries: Verified webhooks, those of other events and repeated ones included.
        refused: Webhooks whose signature did not hold.
    """

    ended_s: dict[str, float]
    succeeded: int
    deliveries: int
    refused: int
