-- The outbox's reader, the questions that must always be answered by zero rows, and who may call what.

-- Events after a position, in order, up to rows_max. A row of a transaction that is older than one still running
-- is held back: it could be overtaken by a row with a smaller position that commits later.
create function payments.outbox_after(after_xid xid8, after_position bigint, rows_max int)
returns table (xid xid8, "position" bigint, payment_id text, sequence int, type text, at timestamptz,
    merchant_id text, account_id text, account_version bigint, kind text, amount_minor bigint, currency text,
    merchant_reference text, decline_code text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
    select e.xid, e.position, e.payment_id, e.sequence, e.type, e.at, p.merchant_id, p.account_id,
           e.account_version, p.kind, p.amount_minor, p.currency, p.merchant_reference, e.decline_code
    from (select * from payments.event
          where (xid, position) > (after_xid, after_position)
            and xid < pg_snapshot_xmin(pg_current_snapshot())
          order by xid, position limit rows_max) e
    join payments.payment p on p.payment_id = e.payment_id
    order by e.xid, e.position
$$;

-- I2: payments that nobody would ever come back to. Must return 0 rows, always.
create function payments.reminders_missing() returns table (payment_id text, status text, problem text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.payment_id, p.status,
           case when p.due is null then 'no reminder'
                when p.status = 'accepted' then 'an attempt before its turn'
                else 'no attempt that could still end' end
    from payments.payment p
    where p.status in ('accepted', 'submitted', 'unknown')
      and (p.due is null
           or (p.status = 'accepted') = exists (
               select from payments.attempt a
               where a.payment_id = p.payment_id and a.state in ('intent', 'sending', 'unknown')))
$$;

-- Payments whose reminder has passed by more than `grace`: the engine is away or too slow. Oldest first.
create function payments.overdue(grace interval, rows_max int)
returns table (payment_id text, merchant_id text, status text, due timestamptz, late interval)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.payment_id, p.merchant_id, p.status, p.due, now() - p.due
    from payments.payment p
    where p.status in ('accepted', 'submitted', 'unknown') and p.due < now() - grace
    order by p.due limit rows_max
$$;

-- I1 and I3: every way in which balances, transfers and payments could disagree. Must return 0 rows, always.
create function payments.ledger_imbalance()
returns table (subject text, currency text, problem text, expected bigint, found bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with entry as (
        select debit_account as account, currency, kind, resolves, -amount_minor as amount
        from payments.ledger_transfer
        union all
        select credit_account, currency, kind, resolves, amount_minor from payments.ledger_transfer
    ), booked as (
        select account, currency, coalesce(sum(amount) filter (where kind = 'post'), 0)::bigint as posted,
               -- What was held, less what was resolved; seen from the account that pays, hence the sign.
               -coalesce(sum(amount) filter (where kind = 'hold'), 0)::bigint
               + coalesce(sum(amount) filter (where resolves is not null), 0)::bigint as held
        from entry group by account, currency
    ), should as (
        select payment_id, kind, currency, amount_minor,
               (status = 'succeeded')::int as posts,
               (kind = 'payout' and exists (
                   select from payments.attempt a where a.payment_id = p.payment_id))::int as holds
        from payments.payment p
    ), transferred as (
        select payment_id, count(*) filter (where kind = 'post') as posts,
               count(*) filter (where kind = 'hold') as holds
        from payments.ledger_transfer group by payment_id
    )
    select a.account_id, a.currency, 'posted balance', coalesce(b.posted, 0), a.posted_minor
    from payments.account a left join booked b on b.account = a.account_id and b.currency = a.currency
    where a.posted_minor <> coalesce(b.posted, 0)
    union all
    select a.account_id, a.currency, 'held balance', coalesce(b.held, 0), a.held_minor
    from payments.account a left join booked b on b.account = a.account_id and b.currency = a.currency
    where a.held_minor <> coalesce(b.held, 0)
    union all
    select b.account, b.currency, 'account unknown in this currency', 0, b.posted
    from booked b where b.account not like 'bank:%' and not exists (
        select from payments.account a where a.account_id = b.account and a.currency = b.currency)
    union all
    select 'all accounts', e.currency, 'sum of the ledger', 0, sum(e.amount)::bigint
    from entry e where e.kind = 'post' group by e.currency having sum(e.amount) <> 0
    union all
    select s.payment_id, s.currency, 'posts of the payment', s.posts, coalesce(t.posts, 0)
    from should s left join transferred t using (payment_id) where s.posts <> coalesce(t.posts, 0)
    union all
    select s.payment_id, s.currency, 'holds of the payment', s.holds, coalesce(t.holds, 0)
    from should s left join transferred t using (payment_id) where s.holds <> coalesce(t.holds, 0)
    union all
    select t.payment_id, t.currency, 'amount of the transfer', s.amount_minor, t.amount_minor
    from payments.ledger_transfer t join should s using (payment_id)
    where t.amount_minor <> s.amount_minor or t.currency <> s.currency
    union all
    select a.payment_id, null, 'attempts that may have moved money', 1, count(*)
    from payments.attempt a where a.state in ('sending', 'unknown', 'confirmed')
    group by a.payment_id having count(*) > 1
$$;

revoke execute on all functions in schema payments from public;
grant usage on schema payments to gateway, payments, operator;
grant execute on function
    payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[], text[], text[], text[],
        bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[]),
    payments.accounts_of(text), payments.find_payment(text, text), payments.events_of(text, text),
    payments.find_repeat(text, text, bytea)
    to gateway;
grant execute on function
    payments.claim(text[], int, int, interval),
    payments.record(text[], int[], text[], text[], text[]),
    payments.redrive(text, int, interval), payments.outbox_after(xid8, bigint, int)
    to payments;
grant execute on function
    payments.reminders_missing(), payments.ledger_imbalance(), payments.overdue(interval, int)
    to payments, operator;
grant execute on function payments.open_account(text, text, text) to operator;
