"""Deliveries carry the codes of their endpoint's secrets; what cannot be opened is not sent without."""

from __future__ import annotations

from services.notifications.sealing import SecretOpener, SecretSealer, new_seal_key
from signing import WebhookSecret
from tests.integration.notifications.stack import Stack, event
from tests.integration.notifications.webhook_receiver import Receiver

OLD, NEW = WebhookSecret(b"o" * 32), WebhookSecret(b"n" * 32)


async def keep(stack: Stack, secret: WebhookSecret, generation: int, *, ends: str, seal_key: bytes) -> None:
    """Let an endpoint have a secret that ends then."""
    sealer = SecretSealer(SecretOpener(seal_key).public_pem())
    await stack.query(
        "migrator",
        "insert into notifications.endpoint_secret values ('one', $1, $2, $3, now(), $4::text::timestamptz)",
        generation,
        sealer.seal(secret.octets, "one", generation),
        bytes.fromhex(secret.fingerprint),
        ends or None,
    )


async def test_a_delivery_carries_our_signature_and_a_code_for_each_good_secret(
    stack: Stack, receiver: Receiver
) -> None:
    await stack.add_endpoint("one", receiver.url())
    await keep(stack, WebhookSecret(b"e" * 32), 1, ends="2026-01-01T00:00:00Z", seal_key=stack.seal_key)
    await keep(stack, OLD, 2, ends="2999-01-01T00:00:00Z", seal_key=stack.seal_key)
    await keep(stack, NEW, 3, ends="", seal_key=stack.seal_key)

    async with stack.running(receiver.address):
        await stack.publish(event(1))
        await stack.until(lambda rows: [r["state"] for r in rows] == ["delivered"])

    (received,) = receiver.seen
    assert ["v1a", "v1", "v1"] == [each[:3].rstrip(",") for each in signatures(received.headers)]
    for holder in (stack.key.verifying_key, OLD, NEW):
        assert "evt_1_1" == received.verify(holder).message_id


async def test_a_secret_that_was_sealed_for_somebody_else_stops_its_own_deliveries_alone(
    stack: Stack, receiver: Receiver, other_receiver: Receiver
) -> None:
    await stack.add_endpoint("one", receiver.url())
    await stack.add_endpoint("two", other_receiver.url())
    await keep(stack, NEW, 1, ends="", seal_key=new_seal_key())

    async with stack.running(receiver.address, other_receiver.address):
        await stack.publish(event(1))
        rows = await stack.until(
            lambda rows: (
                [r["last_error"] is None for r in rows] == [False, True] and rows[1]["state"] != "pending"
            )
        )

    assert [("pending", "secret-unreadable"), ("delivered", None)] == [
        (row["state"], row["last_error"]) for row in rows
    ]
    assert [] == receiver.seen


def signatures(headers: list[tuple[str, str]]) -> list[str]:
    (value,) = [value for name, value in headers if name.lower() == "webhook-signature"]
    return value.split(" ")
