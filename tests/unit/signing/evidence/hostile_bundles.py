"""Bundles by a gateway that does not play by the rules: its own signatures all hold, and so does its log."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from signing import registration_statement, sign_possession
from signing.evidence import (
    Checkpoint,
    NamedKey,
    checkpoint_body,
    cosign,
    make_note,
    root,
    sign_note,
)
from signing.evidence.bundle import LoggedRecord
from signing.evidence.layout import Proof, proof_text
from signing.evidence.tiles import node_from_tiles
from signing.evidence.tree import inclusion_path
from tests.unit.signing import signing_samples as samples
from tests.unit.signing.evidence import hostile_requests as requests
from tests.unit.signing.evidence.bundle_samples import (
    LOG,
    MERCHANT_ID,
    WITNESS,
    WITNESS_NAME,
    World,
    ledger_head,
    plain_world,
    resign,
)
from tests.unit.signing.evidence.hostile_requests import (
    GATEWAY,
    OTHER,
    REGISTERED,
    Bundle,
    assembled,
    logged_parts,
    made_with,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from signing.evidence import Record


def revoked_before() -> Bundle:
    world = plain_world()
    parts = world.parts()
    at = parts.registrations[0].index + 1
    return assembled(world, replace(parts, histories=(replace(parts.histories[0], revoked_at=at),)))


def revoked_at_the_payment() -> Bundle:
    world = plain_world()
    parts = world.parts()
    histories = (replace(parts.histories[0], revoked_at=parts.payment.index),)
    return assembled(world, replace(parts, histories=histories))


def revoked_after_the_end() -> Bundle:
    world = plain_world()
    parts = world.parts()
    return assembled(world, replace(parts, histories=(replace(parts.histories[0], revoked_at=parts.size),)))


def registered_afterwards() -> Bundle:
    world = plain_world()
    payment, registration = world.payment("pay_eu_01"), world.registration(REGISTERED, REGISTERED)
    first, second = world.append(payment.entry()), world.append(registration.entry())
    return assembled(world, world.bundle_parts([(payment, first), (registration, second)], None))


def history_of_another_tree() -> Bundle:
    world = plain_world()
    parts = world.parts()
    return assembled(
        world, replace(parts, histories=(replace(parts.histories[0], tree_size=parts.size + 1),))
    )


def registered_for_another_merchant() -> Bundle:
    return made_with(lambda _, record: replace(record, merchant_id="mer_eu_other"))


def paid_for_another_merchant() -> Bundle:
    return made_with(None, lambda _, record: replace(record, merchant_id="mer_eu_other"))


def registered_another_key() -> Bundle:
    return made_with(lambda world, _: world.registration(OTHER, OTHER))


def paid_with_another_key() -> Bundle:
    def paid(world: World, _: Record) -> Record:
        world.merchant_keys = [OTHER]
        record = world.payment("pay_eu_01")
        world.merchant_keys = [REGISTERED]
        return record

    return made_with(None, paid)


def answer_names_another_merchant() -> Bundle:
    def registered(world: World, record: Record) -> Record:
        answer = json.dumps({"key_id": REGISTERED.key_id, "merchant_id": "mer_eu_other"}).encode()
        parts = world.answered(samples.payment(b"{}", target="/v1/keys"), REGISTERED, 201, answer)
        return replace(record, **parts)  # type: ignore[arg-type]

    return made_with(registered)


def _chain(change: Callable[[World, Record], Record]) -> Bundle:
    world = World([samples.MERCHANT_P256, REGISTERED], GATEWAY)
    first = world.registration(REGISTERED, REGISTERED)
    later = change(world, world.registration(samples.MERCHANT_P256, REGISTERED))
    return assembled(world, logged_parts(world, [world.payment("pay_eu_01"), later, first]))


def vouched_without_a_statement() -> Bundle:
    return _chain(lambda _, record: replace(record, statement=None, statement_signature=None))


def statement_by_another_key() -> Bundle:
    return _chain(lambda _, record: replace(record, statement_signature=OTHER.sign(record.statement or b"")))


def statement_for_another_merchant() -> Bundle:
    def stated(world: World, record: Record) -> Record:
        key = samples.MERCHANT_P256
        statement = registration_statement("mer_eu_other", key.key_id, key.alg, world.now)
        return replace(record, statement=statement, statement_signature=sign_possession(statement, key))

    return _chain(stated)


def statement_from_another_day() -> Bundle:
    def stated(world: World, record: Record) -> Record:
        key = samples.MERCHANT_P256
        statement = registration_statement(MERCHANT_ID, key.key_id, key.alg, world.now - 90000)
        return replace(record, statement=statement, statement_signature=sign_possession(statement, key))

    return _chain(stated)


def vouched_by_a_stranger() -> Bundle:
    world = World([samples.MERCHANT_P256, REGISTERED], GATEWAY)
    first = world.registration(REGISTERED, REGISTERED)
    later = world.registration(samples.MERCHANT_P256, OTHER)
    return assembled(world, logged_parts(world, [world.payment("pay_eu_01"), later, first]))


def witnessed_before_the_payment() -> Bundle:
    world = plain_world()
    parts = world.parts()
    body = parts.checkpoint_note.partition(b"\n\n")[0] + b"\n"
    lines = [sign_note(body, parts.log.name, LOG), cosign(body, WITNESS_NAME, WITNESS, world.now - 1000)]
    return assembled(world, replace(parts, checkpoint_note=make_note(body, lines)))


def checkpoint_of_another_log() -> Bundle:
    world = plain_world()
    parts = world.parts()
    body = checkpoint_body(
        Checkpoint("log.other.example", parts.size, root(parts.size, node_from_tiles(world._read)))
    )
    lines = [sign_note(body, "log.other.example", samples.MALLORY), sign_note(body, "log.other.example", LOG)]
    note = make_note(body, [lines[0], cosign(body, WITNESS_NAME, WITNESS, world.now + 60)])
    changed = replace(
        parts, checkpoint_note=note, log=NamedKey("log.other.example", samples.MALLORY.verifying_key)
    )
    return assembled(world, changed)


def checkpoint_that_the_log_did_not_sign() -> Bundle:
    world = plain_world()
    parts = world.parts()
    body = parts.checkpoint_note.partition(b"\n\n")[0] + b"\n"
    lines = [
        sign_note(body, parts.log.name, samples.MALLORY),
        cosign(body, WITNESS_NAME, WITNESS, world.now + 60),
    ]
    return assembled(world, replace(parts, checkpoint_note=make_note(body, lines)))


def proof_of_a_smaller_tree() -> Bundle:
    world = plain_world()
    parts = world.parts()
    node, size = node_from_tiles(world._read), parts.size - 1
    index = parts.payment.index
    payment = LoggedRecord(parts.payment.record, index, tuple(inclusion_path(index, size, node)))
    files, trust = assembled(world, replace(parts, payment=payment))
    proof = files["payment/proof"].replace(b"size %d" % parts.size, b"size %d" % size)
    return resign({**files, "payment/proof": proof}, world.gateway), trust


def an_entry_that_the_log_does_not_hold() -> Bundle:
    world = plain_world()
    parts = world.parts()
    record = replace(parts.payment.record, subject="pay_eu_02")
    return assembled(world, replace(parts, payment=replace(parts.payment, record=record)))


def a_head_of_a_ledger_for_the_payment() -> Bundle:
    world = plain_world()
    entry = ledger_head(world).entry()
    index = world.append(entry)
    parts = world.parts()
    proof = Proof(index, parts.size, tuple(inclusion_path(index, parts.size, node_from_tiles(world._read))))
    files, trust = assembled(world, parts)
    changed = {**files, "payment/entry": entry, "payment/proof": proof_text(proof)}
    return resign(changed, world.gateway), trust


def a_key_with_something_beside_it() -> Bundle:
    world = plain_world()
    files = world.files()
    pem = b"another text\n" + files["keys/merchant.pem"]
    return resign({**files, "keys/merchant.pem": pem}, world.gateway), world.trust()


def a_manifest_by_a_stranger() -> Bundle:
    world = plain_world()
    return resign(world.files(), samples.MALLORY), world.trust()


def a_tree_that_the_log_did_not_sign() -> Bundle:
    world = plain_world()
    stranger = World([OTHER], GATEWAY).parts()
    return assembled(world, replace(stranger, checkpoint_note=world.parts().checkpoint_note))


HOSTILE: list[Callable[[], Bundle]] = [
    revoked_before,
    revoked_at_the_payment,
    revoked_after_the_end,
    registered_afterwards,
    history_of_another_tree,
    registered_for_another_merchant,
    paid_for_another_merchant,
    registered_another_key,
    paid_with_another_key,
    answer_names_another_merchant,
    vouched_without_a_statement,
    statement_by_another_key,
    statement_for_another_merchant,
    statement_from_another_day,
    vouched_by_a_stranger,
    requests.decided_an_hour_later,
    requests.decided_before_it_was_asked,
    requests.an_entry_of_another_kind,
    requests.another_answer,
    requests.another_body,
    requests.head_with_another_target,
    requests.head_with_another_idempotency_key,
    requests.head_without_the_digest,
    requests.head_with_a_field_twice,
    requests.head_with_an_encoding,
    requests.another_method,
    requests.a_failure_that_is_called_accepted,
    requests.receipt_for_another_request,
    requests.receipt_by_a_stranger,
    requests.receipt_an_hour_later,
    witnessed_before_the_payment,
    checkpoint_of_another_log,
    checkpoint_that_the_log_did_not_sign,
    proof_of_a_smaller_tree,
    an_entry_that_the_log_does_not_hold,
    a_head_of_a_ledger_for_the_payment,
    a_key_with_something_beside_it,
    a_manifest_by_a_stranger,
    a_tree_that_the_log_did_not_sign,
]
