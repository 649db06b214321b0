"""What `pipeline` stores in bulk are the rows that gateway's door and engine leave."""

from __future__ import annotations

import json

from tests.bench.pipeline_record import PipelineRecord, prepared
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Request

# Each table with what orders one payment's rows in it, and the columns that are as they are in every payment.
_TABLES = {
    "payments.payment": ("payment_id", ("kind", "status", "sequence", "captured_minor", "tries", "due")),
    "payments.attempt": ("attempt_id", ("operation", "number", "state", "epoch", "tries", "op_key")),
    "payments.event": ("payment_id, sequence", ("sequence", "type")),
    "payments.screening": ("payment_id", ("verdict", "reasons")),
    "payments.credit": ("source_id", ("currency", "amount_minor")),
    "payments.ledger_transfer": ("transfer_id", ("kind", "debit_account", "amount_minor", "payment_id")),
    "payments.idempotency_key": ("payment_id", ("route", "response_status")),
    "evidence.record": ("subject", ("kind", "decision")),
    "payments.account": ("account_id", ("posted_minor", "held_minor", "unposted_minor", "version")),
    "payments.mail": ("mail_id", ()),
}


_OF_ACCOUNT = {"payments.ledger_transfer": "credit_account", "payments.account": "account_id"}


async def _rows(paying: PaymentWorld, payment_id: str, account: str) -> dict[str, list[object]]:
    """By table, of each row the columns that are filled and the values of those that are always the same."""
    found: dict[str, list[object]] = {}
    for table, (order, same) in _TABLES.items():
        by_account = _OF_ACCOUNT.get(table)
        rows = await paying.world.owner.fetch(
            f"select row_to_json(t)::text from {table} t "
            f"where {f'{by_account} = $1' if by_account else 'strpos(t::text, $1) > 0'} order by {order}",
            account if by_account else payment_id.removeprefix("pay_"),
        )
        documents = [json.loads(row[0]) for row in rows]
        found[table] = [
            (
                sorted(name for name, value in document.items() if value is not None),
                [document[name] for name in same],
            )
            for document in documents
        ]
    return found


async def test_filled_rows_are_those_that_the_engine_leaves(paying: PaymentWorld) -> None:
    record: PipelineRecord = await prepared(paying.world.owner, "")
    await record.fill(1)
    filled = await paying.world.owner.fetchval("select payment_id from payments.payment")
    await paying.world.register("mer_bench_1")

    [identifier] = await paying.accept([Request("acc_bench_1", merchant="mer_bench_1")])
    await paying.submit()
    await paying.answer_all()

    assert "succeeded" == await paying.status(identifier)
    assert await _rows(paying, identifier, "acc_bench_1") == await _rows(paying, filled, "acc_bench_0")
    assert [] == await paying.faults()
