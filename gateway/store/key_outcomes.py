"""What the record says of an idempotency key that cannot be used, in one spelling for all that acts."""

from __future__ import annotations

from gateway.errors import (
    GatewayRefusal,
    IdempotencyKeyExpired,
    IdempotencyKeyInProgress,
    IdempotencyKeyReused,
)


def key_refusal(outcome: str) -> GatewayRefusal:
    """Return the refusal that an outcome of one of the record's functions stands for.

    Args:
        outcome: `mismatch`, `expired` or `in_progress`.

    Raises:
        RuntimeError: it is none of these; the functions and this process do not fit each other.
    """
    match outcome:
        case "mismatch":
            return IdempotencyKeyReused("this idempotency key was used for another request: take a new one")
        case "expired":
            return IdempotencyKeyExpired(
                "this idempotency key was used long ago and its answer is not kept: look up what it made, or"
                " take a new key"
            )
        case "in_progress":
            return IdempotencyKeyInProgress(
                "the request that uses this idempotency key is not answered yet: send the same again"
            )
    raise RuntimeError(f"the record answered {outcome}")
