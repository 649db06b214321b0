"""SQL that stores and accepts payments in bulk for `pipeline`, as consistent as the engine leaves them.

Arguments: the first number and the one after the last, over how many accounts, and the banks.
"""

from __future__ import annotations

from typing import Final

FILL_AT_ONCE: Final = 20_000  # One transaction of a second or two.

# Names of 26 characters in the order of their numbers, as ids are in the order of time.
_GIVEN = """
with given as (
    select 'pay_eu_' || lpad(to_hex(n), 26, '0') as payment_id,
           'att_eu_' || lpad(to_hex(n), 26, '0') || '_1' as attempt_id,
           'acc_bench_' || n % $3::int as account_id, 'mer_bench_' || n % $3::int as merchant_id,
           ($4::text[])[1 + n % cardinality($4::text[])] as bank, n, $1::bigint as first
    from generate_series($1::bigint, $2::bigint - 1) n
)
"""
OPEN_ACCOUNTS: Final = """
insert into payments.account (account_id, merchant_id, currency)
select 'acc_bench_' || n, 'mer_bench_' || n, 'EUR' from generate_series(0, $1::int - 1) n
"""
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
FILL: Final = (
    f"""{_GIVEN}
insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
    status, sequence, account_version, bank, accepted_at, updated_at, captured_minor)
select payment_id, account_id, merchant_id, 'collect', 100, 'EUR', 'tok_visa_ok', 'succeeded', 4, n + 1, bank,
       now() - interval '1 day', now() - interval '1 day', 100
from given
""",
    f"""{_GIVEN}
insert into payments.attempt (attempt_id, payment_id, subject_id, operation, number, bank, amount_minor,
    state, epoch, bank_reference, routing)
select attempt_id, payment_id, payment_id, 'collect', 1, bank, 100, 'confirmed', 2, 'bench',
       '{{"how":"share"}}'
from given
""",
    f"""{_GIVEN}
insert into payments.event (payment_id, sequence, type, account_version, details, at)
select payment_id, sequence, type, case when sequence > 1 then n + 1 end, '{{"bank":"bank-alpha"}}', now()
from given, unnest(array['payment.accepted', 'payment.screening_passed', 'payment.submitted',
    'payment.succeeded']) with ordinality e (type, sequence)
""",
    f"""{_GIVEN}
insert into payments.screening (payment_id, verdict, rule_pack, inputs_digest, reasons)
select payment_id, 'pass', 'standard@1', repeat('0', 64), '{{}}' from given
""",
    f"""{_GIVEN}
insert into payments.ledger_transfer (transfer_id, kind, debit_account, credit_account, amount_minor,
    currency)
select account_id || '/window/' || first, 'post', 'clearing:EUR', account_id, 100 * count(*), 'EUR'
from given group by account_id, first
""",
    f"""{_GIVEN}
insert into payments.credit (source_id, account_id, payment_id, bank, amount_minor, currency, window_id)
select attempt_id, account_id, payment_id, bank, 100, 'EUR', account_id || '/window/' || first from given
""",
    f"""{_GIVEN}
update payments.account a set posted_minor = a.posted_minor + s.amount
from (select account_id, 100 * count(*) as amount from given group by account_id) s
where a.account_id = s.account_id
""",
)
