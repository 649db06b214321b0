-- Questions whose cost grew with everything that was ever stored: each is asked by index now, or of a part at a time.

-- An estimate for the newest attempts exists from the moment that their pages are full; before, every search for
-- missing lines read all that had come since the last vacuum.
alter index payments.attempt_created set (autosummarize = on);

-- I2, as before. Attempts are looked up payment by payment: all open ones cannot be found by any index, as the
-- confirmed ones share theirs, and reading all attempts once a minute was what this check cost.
create or replace function payments.reminders_missing()
returns table (subject_id text, status text, problem text)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select p.payment_id, p.status, 'an attempt before its turn'
    from payments.payment p
    where p.status = 'accepted' and exists (
        select from payments.attempt a where a.payment_id = p.payment_id and a.subject_id = p.payment_id
          and a.state in ('intent', 'sending', 'unknown'))
    union all
    select p.payment_id, p.status, case
        when p.waits_for is null then 'an attempt that its status does not know'
        else 'no attempt at its bank that could still end' end
    from payments.payment p
    where p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired')
      and (p.waits_for is not null) <> exists (
          select from payments.attempt a where a.payment_id = p.payment_id and a.subject_id = p.payment_id
            and a.bank = p.bank and a.state in ('intent', 'sending', 'unknown'))
    union all
    select r.refund_id, r.status, case
        when r.waits_for is null then 'an attempt that its status does not know'
        else 'no attempt at its bank that could still end' end
    from payments.refund r
    where r.due is not null and (r.waits_for is not null) <> exists (
        select from payments.attempt a where a.payment_id = r.payment_id and a.subject_id = r.refund_id
          and a.bank = coalesce(r.waits_for, a.bank) and a.state in ('intent', 'sending', 'unknown'))
$$;

-- As before, but that an attempt of a refund is looked for among its payment's: by the subject alone no index
-- finds one that has failed, and each returned line read every attempt there is.
create or replace function payments.booked_of(of_bank text, lines bigint[], attempt_ids text[], movements text[])
returns table (line bigint, attempt_id text, payment_id text, bank text, operation text, state text,
    decline_code text, amount_minor bigint, currency text, lines_before bigint, taken_back_minor bigint,
    taken_before_minor bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select g.line, a.attempt_id, a.payment_id, a.bank, a.operation, a.state, a.decline_code, a.amount_minor,
           p.currency,
           (select count(*) from payments.settlement_line l where l.attempt_id = a.attempt_id
              and l.movement = g.movement and l.bank = of_bank and l.line < g.line),
           case when g.movement in ('returned', 'chargeback') then
               coalesce((select sum(r.amount_minor) from payments.refund r where r.payment_id = a.payment_id
                           and r.origin = 'bank' and r.status = 'succeeded' and not exists (
                               select from payments.attempt t
                               where t.payment_id = a.payment_id and t.subject_id = r.refund_id)), 0)::bigint
               + coalesce((select sum(d.amount_minor) from payments.dispute d where d.payment_id = a.payment_id
                             and d.status in ('lost', 'accepted')), 0)::bigint else 0 end,
           case when g.movement in ('returned', 'chargeback') then
               coalesce((select sum(l.amount_minor) from payments.settlement_line l
                         where l.end_to_end_id = a.payment_id and l.movement in ('returned', 'chargeback')
                           and (l.bank, l.line) < (of_bank, g.line)), 0)::bigint else 0 end
    from unnest(lines, attempt_ids, movements) as g (line, attempt_id, movement)
    join payments.attempt a on a.attempt_id = g.attempt_id
    join payments.payment p on p.payment_id = a.payment_id
$$;

-- As before; but what waits is read twice in all, and not once more for each account that is flushed.
create or replace function payments.flush_credits(account_ids text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    window_name constant text := '/window/' || (extract(epoch from clock_timestamp()) * 1000000)::bigint;
begin
    with waiting as (
        select c.source_id, c.account_id, c.amount_minor, c.currency, a.unposted_minor,
               sum(c.amount_minor) over (partition by c.account_id order by c.queued desc) as from_here
        from payments.credit c join payments.account a on a.account_id = c.account_id
        where c.window_id is null and c.account_id = any (account_ids)
    ), item as (
        select * from waiting where from_here > unposted_minor
    ), posted as (
        insert into payments.ledger_transfer
            (transfer_id, payment_id, kind, debit_account, credit_account, amount_minor, currency)
        select account_id || window_name, null, 'post', 'clearing:' || currency, account_id, sum(amount_minor),
               currency
        from item group by account_id, currency
    )
    update payments.credit c set window_id = i.account_id || window_name
    from item i where c.source_id = i.source_id;
    perform payments.expect_rows('flushed account', 0, count(*)::int)
    from payments.account a left join (
        select c.account_id, sum(c.amount_minor) as amount from payments.credit c
        where c.window_id is null and c.account_id = any (account_ids) group by c.account_id
    ) w on w.account_id = a.account_id
    where a.account_id = any (account_ids) and a.unposted_minor <> coalesce(w.amount, 0);
end $$;

-- I1, by account: balances against the sums of the ledger, each read once. It has to read the whole ledger, so it
-- is asked the more seldom the longer that takes. What one window posted is not looked at, but what all windows of
-- an account did.
create function payments.balances_imbalance()
returns table (subject text, currency text, problem text, expected bigint, found bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with credited as materialized (
        select account_id, bank, currency, sum(amount_minor) as amount,
               coalesce(sum(amount_minor) filter (where window_id is null), 0) as unposted
        from payments.credit group by account_id, bank, currency
    ), entry as (
        select debit_account as account, currency, -sum(amount_minor) as amount
        from payments.ledger_transfer where kind = 'post' group by 1, 2
        union all
        select credit_account, currency, sum(amount_minor) from payments.ledger_transfer
        where kind = 'post' group by 1, 2
        union all
        select 'bank:' || bank || ':' || currency, currency, -sum(amount) from credited group by 1, 2
        union all
        select 'clearing:' || currency, currency, sum(amount) from credited group by 1, 2
    ), booked as materialized (
        select account, currency, sum(amount)::bigint as posted from entry group by account, currency
    ), held as materialized (
        select h.debit_account as account, h.currency, sum(h.amount_minor)::bigint as held
        from payments.ledger_transfer h
        where h.kind = 'hold' and not exists (
            select from payments.ledger_transfer r where r.resolves = h.transfer_id)
        group by h.debit_account, h.currency
    ), queued as materialized (
        select account_id, currency, sum(unposted)::bigint as unposted, sum(amount)::bigint as amount
        from credited group by account_id, currency
    ), windowed as (
        select credit_account as account, currency, sum(amount_minor)::bigint as amount
        from payments.ledger_transfer where payment_id is null group by 1, 2
    )
    select a.account_id, a.currency, n.problem, n.expected, n.found
    from payments.account a
    left join booked b on b.account = a.account_id and b.currency = a.currency
    left join held h on h.account = a.account_id and h.currency = a.currency
    left join queued q on q.account_id = a.account_id and q.currency = a.currency
    left join windowed w on w.account = a.account_id and w.currency = a.currency,
    lateral (values ('posted balance', coalesce(b.posted, 0), a.posted_minor),
                    ('held balance', coalesce(h.held, 0), a.held_minor),
                    ('unposted balance', coalesce(q.unposted, 0), a.unposted_minor),
                    ('sum of the windows', coalesce(q.amount - q.unposted, 0), coalesce(w.amount, 0)))
        n (problem, expected, found)
    where n.expected <> n.found
    union all
    select 'all accounts', currency, 'sum of the ledger', 0, sum(posted)::bigint from booked
    group by currency having sum(posted) <> 0
    union all
    select b.account, b.currency, 'account unknown in this currency', 0, b.posted
    from (select account, currency, posted from booked union select account, currency, held from held) b
    where b.account not like 'bank:%:' || b.currency
      and b.account not in ('clearing:' || b.currency, 'suspense:' || b.currency)
      and not exists (select from payments.account a
                      where a.account_id = regexp_replace(b.account, '^debt:', '') and a.currency = b.currency)
    union all
    select coalesce(b.account, 'clearing:' || q.currency), coalesce(b.currency, q.currency), 'clearing balance',
           coalesce(q.unposted, 0)::bigint, coalesce(b.posted, 0)
    from (select * from booked where account like 'clearing:%') b
    full join (select currency, sum(unposted) as unposted from queued group by currency) q
        on q.currency = b.currency
    where coalesce(b.posted, 0) <> coalesce(q.unposted, 0)
    union all
    select r.transfer_id, r.currency, 'amount of the hold', h.amount_minor, r.amount_minor
    from payments.ledger_transfer r join payments.ledger_transfer h on h.transfer_id = r.resolves
    where (r.amount_minor, r.currency, r.debit_account) <> (h.amount_minor, h.currency, h.debit_account)
$$;

-- Not granted. I3, of the payments with after < id <= last, null for no bound: each payment, its refunds and its
-- disputes against credits, transfers and the columns that sum them up. Everything is found by an index, so that
-- this costs what its payments cost. Credits are in the order of their payments, as their attempts' ids are.
create function payments.claims_between(after text, last text)
returns table (subject text, currency text, problem text, expected bigint, found bigint)
language sql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    with given as materialized (
        select p.payment_id, p.currency, p.kind, p.status, p.amount_minor, p.captured_minor, p.refunded_minor,
               p.refund_reserved_minor, p.disputed_minor
        from payments.payment p
        where p.payment_id > coalesce(after, '') and p.payment_id <= coalesce(last, '~')
    )
    select p.payment_id, p.currency, n.problem, n.expected, n.found
    from given p
    cross join lateral (
        select coalesce(sum(c.amount_minor), 0)::bigint as amount
        from payments.attempt a join payments.credit c on c.source_id = a.attempt_id
        where a.payment_id = p.payment_id and c.payment_id = p.payment_id) paid
    cross join lateral (
        select coalesce(sum(r.amount_minor) filter (where r.status = 'succeeded'), 0)::bigint as refunded,
               coalesce(sum(r.amount_minor) filter (where r.due is not null), 0)::bigint as reserved
        from payments.refund r where r.payment_id = p.payment_id and r.origin <> 'system') claimed
    cross join lateral (
        -- Failed, and given all the same: it counts as refunded.
        select coalesce(sum(a.amount_minor), 0)::bigint as amount from payments.attempt a
        where a.payment_id = p.payment_id and a.operation = 'refund' and a.decline_code = 'late_success') late
    cross join lateral (
        select coalesce(sum(d.amount_minor) filter (where d.status <> 'won'), 0)::bigint as amount
        from payments.dispute d where d.payment_id = p.payment_id) disputed
    cross join lateral (
        select coalesce(sum(h.amount_minor), 0)::bigint as amount from payments.ledger_transfer h
        where h.transfer_id = p.payment_id || '/hold' and not exists (
            select from payments.ledger_transfer r where r.resolves = h.transfer_id)) hold
    cross join lateral (
        select count(*) as many from payments.ledger_transfer t
        where t.transfer_id = p.payment_id || '/post' and p.kind = 'payout') post,
    lateral (values
        ('credits of the payment', case p.kind when 'collect' then p.captured_minor else 0 end, paid.amount),
        ('hold of the payment', case when p.kind = 'payout' and p.status in ('reserved', 'submitted', 'unknown')
                                     then p.amount_minor else 0 end, hold.amount),
        ('refunded column', claimed.refunded + late.amount, p.refunded_minor),
        ('refund reserved column', claimed.reserved, p.refund_reserved_minor),
        ('disputed column', disputed.amount, p.disputed_minor),
        ('posts of the payout', (p.kind = 'payout' and p.status = 'succeeded')::int::bigint, post.many))
        n (problem, expected, found)
    where n.expected <> n.found
    union all
    select r.refund_id, p.currency, 'hold of the refund', n.expected, n.found
    from given p join payments.refund r on r.payment_id = p.payment_id,
    lateral (
        select case when r.origin <> 'system' and r.status in ('reserved', 'submitted', 'unknown')
                    then r.amount_minor else 0 end as expected,
               (select coalesce(sum(h.amount_minor), 0)::bigint from payments.ledger_transfer h
                where h.transfer_id = r.refund_id || '/hold' and not exists (
                    select from payments.ledger_transfer t where t.resolves = h.transfer_id)) as found) n
    where n.expected <> n.found
    union all
    select c.source_id, c.currency, 'credit of no payment of this account', 0, c.amount_minor
    from payments.credit c
    where c.source_id > coalesce('att_' || substr(after, 5) || '`', '')
      and c.source_id <= coalesce('att_' || substr(last, 5) || '`', '~')
      and not exists (
          select from payments.attempt a join payments.payment p on p.payment_id = a.payment_id
          where a.attempt_id = c.source_id and p.payment_id = c.payment_id and p.account_id = c.account_id
            and p.currency = c.currency)
    union all
    select a.subject_id, null, 'attempts that may have moved money', 1, count(*)
    from payments.attempt a
    where a.payment_id > coalesce(after, '') and a.payment_id <= coalesce(last, '~')
      and a.state in ('sending', 'unknown', 'confirmed')
    group by a.subject_id, a.op_key having count(*) > 1
$$;

-- Check the next payments after one, in the order of ids; `problems` is how many ways they disagree in, `last` where
-- to go on, null at the end. One short statement each, so that no old snapshot keeps dead rows alive.
create function payments.check_claims(after text, payments_max int, out problems bigint, out last text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
begin
    last := (select p.payment_id from payments.payment p where p.payment_id > coalesce(after, '')
             order by p.payment_id offset greatest(payments_max, 1) - 1 limit 1);
    problems := (select count(*) from payments.claims_between(after, last));
end $$;

-- Not granted. All payments, slice by slice, for those who ask about everything at once.
create or replace function payments.claims_imbalance()
returns table (subject text, currency text, problem text, expected bigint, found bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
    payments_max constant int := 10000;
    after text;
    last text;
begin
    loop
        last := (select p.payment_id from payments.payment p where p.payment_id > coalesce(after, '')
                 order by p.payment_id offset payments_max - 1 limit 1);
        return query select * from payments.claims_between(after, last);
        exit when last is null;
        after := last;
    end loop;
end $$;

revoke execute on all functions in schema payments from public;
grant execute on function payments.balances_imbalance(), payments.check_claims(text, int) to payments;
