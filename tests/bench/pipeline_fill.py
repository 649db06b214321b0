"""SQL that stores and accepts payments in bulk for `pipeline`, as consistent as the engine leaves them.

Arguments: the first number and the one after the last, over how many accounts, and the banks.
"""

from __future__ import annotations

from typing import Final

FILL_AT_ONCE: Final = 20_000  # A transaction of a few seconds.
# What a merchant's payments within one window are: a day of each of 1,000 accounts is 1,000 payments then.
_PER_WINDOW: Final = 5


def _filler(size: int) -> str:
    """Bytes of a size that is usual in their place, other ones for each payment."""
    return f"decode(rpad('', {2 * size}, md5(n::text)), 'hex')"


# Names of 26 characters in the order of their numbers, as ids are in the order of time; keys are hashes.
_GIVEN: Final = f"""
with given as (
    select 'pay_eu_' || lpad(to_hex(n), 26, '0') as payment_id,
           'att_eu_' || lpad(to_hex(n), 26, '0') || '_1' as attempt_id,
           'acc_bench_' || n % $3::int as account_id, 'mer_bench_' || n % $3::int as merchant_id,
           lpad((n % $3::int)::text, 43, 'k') as key_id, sha256(int8send(n)) as key_hash,
           n / $3::int + 1 as version, n / $3::int / {_PER_WINDOW} as window_number,
           -- One a second, the last one a day ago.
           now() - interval '1 day' - (2000000 - n) * interval '1 second' as at,
           ($4::text[])[1 + n % cardinality($4::text[])] as bank, n
    from generate_series($1::bigint, $2::bigint - 1) n
)
"""
OPEN_ACCOUNTS: Final = (
    """
insert into registry.merchant (id, name, home_cell, api_version, created_at)
select 'mer_bench_' || n, 'bench', 'eu', '2026-10-01', now() from generate_series(0, $1::int - 1) n
""",
    """
insert into registry.merchant_key (key_id, merchant_id, jwk, registered_at)
select lpad(n::text, 43, 'k'), 'mer_bench_' || n, '{}', now() from generate_series(0, $1::int - 1) n
""",
    """
insert into payments.account (account_id, merchant_id, currency)
select 'acc_bench_' || n, 'mer_bench_' || n, 'EUR' from generate_series(0, $1::int - 1) n
""",
)
# Without the gateway's door, in one transaction: what follows is measured alone.
FEED: Final = f"""
{_GIVEN}, fed as (
    insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency,
        instrument, status, sequence, accepted_at, updated_at, due)
    select payment_id, account_id, merchant_id, 'collect', 100, 'EUR', 'tok_visa_ok', 'accepted', 1,
           clock_timestamp(), clock_timestamp(), now() + interval '5 minutes'
    from given
    returning payment_id, accepted_at
)
insert into payments.event (payment_id, sequence, type, at)
select payment_id, 1, 'payment.accepted', accepted_at from fed
"""
ACCEPT_AT_ONCE: Final = 128  # What the gateway's door takes.
# By the gateway's door, as role `gateway`.
ACCEPT: Final = f"""
{_GIVEN}, batch as (
    select array_agg(merchant_id) as merchants, array_agg('POST /v1/payments'::text) as routes,
           array_agg(key_hash) as keys, array_agg(payment_id) as ids, array_agg(account_id) as accounts,
           array_agg('collect'::text) as kinds, array_agg(100::bigint) as amounts,
           array_agg('EUR'::text) as currencies,
           array_agg('tok_visa_ok'::text) as instruments, array_agg(null::text) as merchant_references,
           array_agg({_filler(400)}) as answers, array_agg(key_id) as key_ids,
           array_agg({_filler(700)}) as heads,
           array_agg({_filler(500)}) as bases, array_agg({_filler(64)}) as signatures,
           array_agg({_filler(200)}) as bodies, array_agg(clock_timestamp()) as at,
           array_agg('automatic'::text) as methods, array_agg('req_bench'::text) as requests,
           array_agg(null::uuid) as likenesses, array_agg(false) as looks_again,
           cardinality($4::text[]) as banks
    from given
)
select count(*) filter (where a.outcome = 'new') from batch b, payments.accept(b.merchants, b.routes, b.keys,
    b.keys, b.ids, b.accounts, b.kinds, b.amounts, b.currencies, b.instruments, b.merchant_references,
    b.answers, b.key_ids, b.heads, b.bases, b.signatures, b.bodies, b.bases, b.signatures, b.at, b.methods,
    b.requests, b.likenesses, b.looks_again, '') a
"""
FILL: Final = (
    f"""{_GIVEN}
insert into payments.idempotency_key (merchant_id, route, key_hash, fingerprint, response_status,
    response_body, payment_id, request_id, accepted_at)
select merchant_id, 'POST /v1/payments', key_hash, key_hash, 202, {_filler(400)}, payment_id, 'req_bench', at
from given
""",
    f"""{_GIVEN}
insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, request_head,
    request_body, request_base, request_signature, response_body, receipt_base, receipt_signature)
select 'payment', payment_id, merchant_id, key_id, 'accepted', at, {_filler(700)}, {_filler(200)},
       {_filler(500)}, {_filler(64)}, {_filler(400)}, {_filler(500)}, {_filler(64)}
from given
""",
    f"""{_GIVEN}
insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
    status, sequence, account_version, bank, accepted_at, updated_at, captured_minor)
select payment_id, account_id, merchant_id, 'collect', 100, 'EUR', 'tok_visa_ok', 'succeeded', 4, version,
       bank, at, at, 100
from given
""",
    f"""{_GIVEN}
insert into payments.attempt (attempt_id, payment_id, subject_id, operation, number, bank, amount_minor,
    state, epoch, bank_reference, routing, created_at, updated_at)
select attempt_id, payment_id, payment_id, 'collect', 1, bank, 100, 'confirmed', 1, 'bench',
       '{{"how":"share"}}', at, at
from given
""",
    f"""{_GIVEN}
insert into payments.event (payment_id, sequence, type, account_version, details, at)
select payment_id, sequence, type, case when sequence > 1 then version end, case sequence
           when 2 then jsonb_build_object('rule_pack', 'standard@1:' || repeat('0', 64))
           when 3 then jsonb_build_object('bank', bank, 'attempt_id', attempt_id)
           when 4 then jsonb_build_object('bank', bank, 'amount_minor', 100) end, at
from given, unnest(array['payment.accepted', 'payment.screening_passed', 'payment.submitted',
    'payment.succeeded']) with ordinality e (type, sequence)
""",
    f"""{_GIVEN}
insert into payments.screening (payment_id, verdict, rule_pack, inputs_digest, reasons, at)
select payment_id, 'pass', 'standard@1:' || repeat('0', 64), repeat('0', 64), '{{}}', at from given
""",
    f"""{_GIVEN}
insert into payments.ledger_transfer (transfer_id, kind, debit_account, credit_account, amount_minor,
    currency, at)
select account_id || '/window/' || min(n), 'post', 'clearing:EUR', account_id, 100 * count(*), 'EUR', min(at)
from given group by account_id, window_number
""",
    f"""{_GIVEN}
insert into payments.credit (source_id, account_id, payment_id, bank, amount_minor, currency, window_id, at)
select attempt_id, account_id, payment_id, bank, 100, 'EUR',
       account_id || '/window/' || min(n) over (partition by account_id, window_number), at
from given
""",
    f"""{_GIVEN}
insert into payments.settlement_line (bank, line, attempt_id, end_to_end_id, movement, amount_minor,
    fee_minor, currency, bank_reference, value_date, read_at)
select bank, n + 1, attempt_id, payment_id, 'collect', 100, 0, 'EUR', 'bench', at::date::text, at from given
""",
    f"""{_GIVEN}
insert into payments.settlement_search (bank, searched) select distinct bank, now() from given
on conflict (bank) do update set searched = excluded.searched
""",
    f"""{_GIVEN}
update payments.account a set posted_minor = a.posted_minor + s.amount, version = a.version + s.many
from (select account_id, 100 * count(*) as amount, count(*) as many from given group by account_id) s
where a.account_id = s.account_id
""",
)
