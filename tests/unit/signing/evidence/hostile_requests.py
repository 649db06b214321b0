"""Requests, answers and times that a hostile gateway makes up, each logged and bundled by its rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from signing.evidence import TrustedKeys
from signing.evidence.bundle import BundleParts, assemble_files
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.evidence.bundle_samples import World, plain_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from signing.evidence import Record

Bundle = tuple[dict[str, bytes], TrustedKeys]
GATEWAY = samples.GATEWAY_P256
OTHER = samples.p256_key("other merchant")
REGISTERED = samples.MERCHANT_ED25519


def logged_parts(world: World, records: list[Record], revoked_at: int | None = None) -> BundleParts:
    """Append payment, then registrations, in the log's order of the list reversed; return the parts."""
    placed = [(record, world.append(record.entry())) for record in reversed(records)][::-1]
    world.append_others(2)
    return world.bundle_parts(placed, revoked_at)


def assembled(world: World, parts: BundleParts) -> Bundle:
    return assemble_files(parts, world.gateway), world.trust()


def made_with(change_registration: Callable[[World, Record], Record] | None = None,
          change_payment: Callable[[World, Record], Record] | None = None) -> Bundle:  # fmt: skip
    world = plain_world()
    world.append_others(3)
    registration = world.registration(REGISTERED, REGISTERED)
    payment = world.payment("pay_eu_01")
    if change_registration is not None:
        registration = change_registration(world, registration)
    if change_payment is not None:
        payment = change_payment(world, payment)
    return assembled(world, logged_parts(world, [payment, registration]))


def decided_an_hour_later() -> Bundle:
    def later(world: World, record: Record) -> Record:
        world.now += 3600
        return replace(record, decided_at=world.decided_at())

    return made_with(None, later)


def decided_before_it_was_asked() -> Bundle:
    def earlier(world: World, record: Record) -> Record:
        world.now -= 60
        decided_at = world.decided_at()
        world.now += 60
        return replace(record, decided_at=decided_at)

    return made_with(None, earlier)


def an_entry_of_another_kind() -> Bundle:
    return made_with(
        None, lambda _, record: replace(record, kind="key-registration", subject=REGISTERED.key_id)
    )


def another_answer() -> Bundle:
    return made_with(None, lambda _, record: replace(record, response_body=b'{"status":"refused"}'))


def another_body() -> Bundle:
    return made_with(None, lambda _, record: replace(record, request_body=b'{"amount_minor":1}'))


def _head(old: bytes, new: bytes) -> Bundle:
    return made_with(None, lambda _, r: replace(r, request_head=(r.request_head or b"").replace(old, new, 1)))


def head_with_another_target() -> Bundle:
    return _head(b"/v1/payments", b"/v1/payouts")


def head_with_another_idempotency_key() -> Bundle:
    return _head(b"order-2041", b"order-2042")


def head_without_the_digest() -> Bundle:
    return _head(b"Content-Digest:", b"Kontent-Digest:")


def head_with_a_field_twice() -> Bundle:
    return _head(b"Content-Type: application/json\n", b"Content-Type: application/json\n" * 2)


def head_with_an_encoding() -> Bundle:
    return _head(b"Host:", b"Content-Encoding: gzip\nHost:")


def another_method() -> Bundle:
    def put(world: World, record: Record) -> Record:
        parts = world.answered(samples.payment(method="PUT"), REGISTERED, 202, samples.ANSWER)
        return replace(record, **parts)  # type: ignore[arg-type]

    return made_with(None, put)


def a_failure_that_is_called_accepted() -> Bundle:
    def failed(world: World, record: Record) -> Record:
        parts = world.answered(samples.payment(), REGISTERED, 422, samples.ANSWER)
        return replace(record, **parts)  # type: ignore[arg-type]

    return made_with(None, failed)


def receipt_for_another_request() -> Bundle:
    def swapped(world: World, record: Record) -> Record:
        world.now += 1
        other = world.payment("pay_eu_01")
        assert other.response_body == record.response_body
        return replace(record, receipt_base=other.receipt_base, receipt_signature=other.receipt_signature)

    return made_with(None, swapped)


def receipt_by_a_stranger() -> Bundle:
    def signed(world: World, record: Record) -> Record:
        parts = world.answered(samples.payment(), REGISTERED, 202, samples.ANSWER, samples.MALLORY)
        return replace(record, **parts)  # type: ignore[arg-type]

    return made_with(None, signed)


def receipt_an_hour_later() -> Bundle:
    def late(world: World, record: Record) -> Record:
        parts = world.answered(samples.payment(), REGISTERED, 202, samples.ANSWER, delay_s=3600)
        return replace(record, **parts)  # type: ignore[arg-type]

    return made_with(None, late)
