"""Each question to the record looks at what it is about, however much else is stored."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.bench.pipeline_record import PipelineRecord, prepared
from tests.integration.payments.payments_samples import SCHEMAS
from tests.integration.postgres_server import PostgresServer

STORED = 20_000  # A scan of any table that grows reads at least these.
# What one call below may look at, rows and entries of indexes of all tables together: 10 items each, and
# small tables such as refunds are scanned. The most that was counted is 2,300, for 100 payments' claims.
LOOKED_AT_MAX = 4_000

_ITEMS = "generate_series(1, 10) n"
_PAYMENTS = f"array(select 'pay_eu_' || lpad(to_hex(n * 100), 26, '0') from {_ITEMS})"
_ATTEMPTS = f"array(select 'att_eu_' || lpad(to_hex(n * 100), 26, '0') || '_1' from {_ITEMS})"
_ONE = "'mer_bench_100', 'pay_eu_' || lpad(to_hex(100), 26, '0')"
_LINES = f"array(select n::bigint from {_ITEMS})"
_MAIL = f"""
{_PAYMENTS},
array(select json_build_object('type', 'VoidAsked', 'payment_id', 'pay_eu_' || lpad(to_hex(n * 100), 26, '0'))
      from {_ITEMS}),
array_fill('x'::text, array[10]), array(select n::text from {_ITEMS})
"""
_SAID = f"""
array_fill('bank-alpha'::text, array[10]), array(select 'event' || n from {_ITEMS}),
array_fill(''::bytea, array[10]), array(select json_build_object('type', 'BankTold', 'bank', 'bank-alpha',
    'payment_id', 'pay_eu_' || lpad(to_hex(n * 100), 26, '0'), 'what', 'confirmed', 'amount_minor', 100,
    'attempt_id', 'att_eu_' || lpad(to_hex(n * 100), 26, '0') || '_1', 'currency', 'EUR') from {_ITEMS})
"""
_FILE = f"""
(select json_agg(json_build_object('bank', 'bank-alpha', 'line', 1000000 + n, 'movement', 'returned',
    'attempt_id', 'att_eu_' || lpad(to_hex(n * 100), 26, '0') || '_1', 'amount_minor', 10, 'fee_minor', 0,
    'end_to_end_id', 'pay_eu_' || lpad(to_hex(n * 100), 26, '0'), 'currency', 'EUR', 'bank_reference', 'x',
    'value_date', '2026-11-26')) from {_ITEMS}), '[]', '[]', 'bank-alpha', '{{}}'
"""
DOORS = {
    "take_waiting": ("payments", "payments.take_waiting(10, 10)"),
    "take_overdue of a bank": ("payments", "payments.take_overdue('bank-alpha', 10)"),
    "take_overdue of no bank": ("payments", "payments.take_overdue(null, 10)"),
    "take_about": ("payments", f"payments.take_about({_PAYMENTS})"),
    "post_windows": ("payments", "payments.post_windows('0 s', 1, 10)"),
    "outbox_after": ("payments", "payments.outbox_after('0', 0, 10)"),
    "reminders_missing": ("payments", "payments.reminders_missing()"),
    "overdue": ("payments", "payments.overdue('30 s', 1000)"),
    "check_claims": ("payments", "payments.check_claims('pay_eu_' || lpad('1', 26, '0'), 100)"),
    "settled_until": ("payments", "payments.settled_until('bank-alpha')"),
    "booked_of": (
        "payments",
        f"payments.booked_of('bank-alpha', {_LINES}, {_ATTEMPTS}, array_fill('collect'::text, array[10]))",
    ),
    "booked_of what came back": (
        "payments",
        f"payments.booked_of('bank-alpha', {_LINES}, {_ATTEMPTS}, array_fill('returned'::text, array[10]))",
    ),
    "keep_settlement": ("payments", f"payments.keep_settlement({_FILE})"),
    "find_missing_lines": ("payments", "payments.find_missing_lines('bank-alpha', '1 hour')"),
    "lines_in_break": ("payments", "payments.lines_in_break('bank-alpha', 10)"),
    "settlement_breaks_open": ("payments", "payments.settlement_breaks_open()"),
    "find_payment": ("gateway", f"payments.find_payment({_ONE})"),
    "events_of": ("gateway", f"payments.events_of({_ONE})"),
    "accounts_of": ("gateway", "payments.accounts_of('mer_bench_100')"),
    "find_repeat": (
        "gateway",
        "payments.find_repeat('mer_bench_100', 'POST /v1/payments', sha256(int8send(100)))",
    ),
    "mail_in": ("gateway", f"payments.mail_in({_MAIL})"),
    "find_record": (
        "gateway",
        "evidence.find_record('mer_bench_100', 'payment', 'pay_eu_' || lpad(to_hex(100), 26, '0'))",
    ),
    "anything_pending": ("evidence", "evidence.anything_pending()"),
    "pending": ("evidence", "evidence.pending('0', 0, 10)"),
    "take_callback": ("banks", f"banks.take_callback({_SAID})"),
    "reviews_open": ("operator", "payments.reviews_open()"),
    "settlement_breaks": ("operator", "payments.settlement_breaks(null, false, 10)"),
}
# No credit and no break waits here, and keeping a new line looks nowhere.
NOTHING_THERE = {
    "post_windows", "keep_settlement", "lines_in_break", "settlement_breaks", "settlement_breaks_open",
}  # fmt: skip
# Of each kind some that are due, among the many that have ended.
_OPEN = (
    """
insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
    status, sequence, accepted_at, updated_at, due, account_version, bank)
select 'pay_us_' || lpad(to_hex(n), 26, '0'), 'acc_bench_' || n, 'mer_bench_' || n, 'collect', 100, 'EUR',
       'tok_visa_ok', status, 1, now(), now(), now() - interval '1 minute',
       case when status <> 'accepted' then 1 end, case when status = 'submitted' then 'bank-alpha' end
from generate_series(1, 30) n,
     lateral (select (array['accepted', 'submitted', 'in_review'])[1 + n % 3]) s (status)
""",
    """
insert into payments.attempt (attempt_id, payment_id, subject_id, operation, number, bank, amount_minor,
    state, epoch)
select 'att_' || substr(payment_id, 5) || '_1', payment_id, payment_id, 'collect', 1, bank, 100, 'sending', 1
from payments.payment where status = 'submitted'
""",
    """
insert into payments.refund (refund_id, payment_id, origin, amount_minor, status, reason, asked_by, due,
    asked_at)
select 'ref_eu_' || lpad(to_hex(n), 26, '0'), 'pay_eu_' || lpad(to_hex(n * 100), 26, '0'), 'bank', 10,
       'succeeded', 'returned', 'bank-alpha', null, now() from generate_series(1, 10) n
""",
    # Fifty attempts have become old enough since lines were last missed.
    """
update payments.settlement_search set searched = (
    select max(created_at) - interval '100 seconds' from payments.attempt where state = 'confirmed')
""",
    "vacuum analyze",
)


@pytest.fixture(scope="module")
async def stored(postgres: PostgresServer) -> AsyncIterator[PipelineRecord]:
    """One record for this module, full of payments that have ended; what a door writes is rolled back."""
    database = await postgres.create_database(f"test_{uuid.uuid4().hex}", SCHEMAS)
    owner = await postgres.connect("migrator", database)
    record = await prepared(owner, database)
    await record.fill(STORED)
    for statement in _OPEN:
        await owner.execute(statement)
    yield record
    await owner.close()


async def _looked_at(owner: asyncpg.Connection) -> dict[str, int]:
    await owner.execute("select pg_stat_clear_snapshot()")
    rows = await owner.fetch(
        "select 'index ' || indexrelname as name, idx_tup_read as n from pg_stat_user_indexes "
        "union all select 'all of ' || relname, seq_tup_read from pg_stat_user_tables "
        "union all select 'rows of ' || relname, idx_tup_fetch from pg_stat_user_tables"
    )
    return {row["name"]: row["n"] for row in rows}


@pytest.mark.parametrize("name", DOORS)
async def test_a_door_looks_at_what_it_is_about(
    stored: PipelineRecord, postgres: PostgresServer, name: str
) -> None:
    role, call = DOORS[name]
    person = "operator-alice" if role == "operator" else None
    connection = await postgres.connect(role, stored.database, person=person)
    try:
        await connection.execute("select pg_stat_force_next_flush()")
        before = await _looked_at(stored.owner)
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch(f"select * from {call}")
        await transaction.rollback()
        await connection.execute("select pg_stat_force_next_flush()")
        after = await _looked_at(stored.owner)
    finally:
        await connection.close()

    looked = {what: n - before.get(what, 0) for what, n in after.items() if n != before.get(what, 0)}
    assert LOOKED_AT_MAX > sum(looked.values()), looked
    assert looked or name in NOTHING_THERE
