-- Windows, the outbox's reader, the questions that must always be answered by zero rows, and who may call what.

-- Not granted. A debit needs the credits that wait: post them now, as a window of their own. The account's row was
-- written before, and what it still counts as unposted are the newest credits, those queued after the debit.
create function payments.flush_credits(account_ids text[]) returns void
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
    from payments.account a
    where a.account_id = any (account_ids) and a.unposted_minor <> (
        select coalesce(sum(c.amount_minor), 0) from payments.credit c
        where c.window_id is null and c.account_id = a.account_id);
end $$;

-- Post the windows that are full: of accounts whose oldest credit waits longer than `age`, or where `items_min`
-- wait. Sums are of distinct sources by construction. Accounts in someone else's turn are left for the next round.
create function payments.post_windows(age interval, items_min int, accounts_max int) returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    -- What one round looks at; a backlog takes several rounds, each as short as this.
    items_max constant int := 8192;
    candidates text[];
    locked text[];
    queued_last bigint;
    window_name text;
    windows int;
begin
    with waiting as (
        select account_id, at, queued from payments.credit where window_id is null order by queued limit items_max
    ), full_window as (
        select account_id, min(queued) as first, max(queued) as last from waiting group by account_id
        having min(at) <= now() - age or count(*) >= items_min order by first limit accounts_max
    )
    select array_agg(account_id), max(last) into candidates, queued_last from full_window;
    if candidates is null then
        return 0;
    end if;
    locked := array(select account_id from payments.account where account_id = any (candidates)
                    order by account_id for no key update skip locked);
    -- Under the locks, so that two windows of one account never have one name.
    window_name := '/window/' || (extract(epoch from clock_timestamp()) * 1000000)::bigint;

    -- A new statement: what another round has posted meanwhile waits no more.
    with item as (
        select source_id, account_id, amount_minor, currency from payments.credit
        where window_id is null and queued <= queued_last and account_id = any (locked)
    ), total as (
        select account_id, currency, sum(amount_minor)::bigint as amount_minor from item
        group by account_id, currency
    ), posted as (
        insert into payments.ledger_transfer
            (transfer_id, payment_id, kind, debit_account, credit_account, amount_minor, currency)
        select account_id || window_name, null, 'post', 'clearing:' || currency, account_id, amount_minor, currency
        from total
    ), marked as (
        update payments.credit c set window_id = i.account_id || window_name
        from item i where c.source_id = i.source_id
    )
    update payments.account a
    set posted_minor = a.posted_minor + t.amount_minor, unposted_minor = a.unposted_minor - t.amount_minor
    from total t where a.account_id = t.account_id;
    get diagnostics windows = row_count;
    return windows;
end $$;

-- Events after a position, in order, up to rows_max. A row of a transaction that is older than one still running
-- is held back: it could be overtaken by a row with a smaller position that commits later.
drop function payments.outbox_after(xid8, bigint, int);
create function payments.outbox_after(after_xid xid8, after_position bigint, rows_max int)
returns table (xid xid8, "position" bigint, payment_id text, sequence int, type text, at timestamptz,
    merchant_id text, account_id text, account_version bigint, kind text, amount_minor bigint, currency text,
    merchant_reference text, decline_code text, subject_id text, details jsonb)
language sql stable security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
    select e.xid, e.position, e.payment_id, e.sequence, e.type, e.at, p.merchant_id, p.account_id,
           e.account_version, p.kind, p.amount_minor, p.currency, p.merchant_reference, e.decline_code,
           e.subject_id, e.details
    from (select * from payments.event
          where (xid, position) > (after_xid, after_position)
            and xid < pg_snapshot_xmin(pg_current_snapshot())
          order by xid, position limit rows_max) e
    join payments.payment p on p.payment_id = e.payment_id
    order by e.xid, e.position
$$;

-- I2: payments, refunds and disputes that nobody would ever come back to. Must return 0 rows, always. That there
-- is a reminder is a constraint of the tables; here it is asked whether it would find what it reminds of.
drop function payments.reminders_missing();
create function payments.reminders_missing() returns table (subject_id text, status text, problem text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with open_attempt as (
        select a.subject_id, a.bank from payments.attempt a where a.state in ('intent', 'sending', 'unknown')
    )
    select p.payment_id, p.status, 'an attempt before its turn'
    from payments.payment p
    where p.status = 'accepted' and exists (select from open_attempt a where a.subject_id = p.payment_id)
    union all
    select p.payment_id, p.status, case
        when p.waits_for is null then 'an attempt that its status does not know'
        else 'no attempt at its bank that could still end' end
    from payments.payment p
    where p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired')
      and (p.waits_for is not null) <> exists (
          select from open_attempt a where a.subject_id = p.payment_id and a.bank = p.bank)
    union all
    select r.refund_id, r.status, case
        when r.waits_for is null then 'an attempt that its status does not know'
        else 'no attempt at its bank that could still end' end
    from payments.refund r
    where r.due is not null and (r.waits_for is not null) <> exists (
        select from open_attempt a where a.subject_id = r.refund_id and a.bank = coalesce(r.waits_for, a.bank))
$$;

-- Reminders that have passed by more than `grace`, and mail that nobody has read for as long: the engine is away
-- or too slow. Oldest first.
drop function payments.overdue(interval, int);
create function payments.overdue(grace interval, rows_max int)
returns table (payment_id text, subject_id text, status text, due timestamptz, late interval)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select d.*, now() - d.due from (
        select p.payment_id, p.payment_id, p.status, p.due from payments.payment p
        where p.status = 'accepted' and p.due < now() - grace
        union all
        select p.payment_id, p.payment_id, p.status, p.due from payments.payment p
        where p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired') and p.due < now() - grace
        union all
        select r.payment_id, r.refund_id, r.status, r.due from payments.refund r where r.due < now() - grace
        union all
        select r.payment_id, r.dispute_id, r.status, r.due from payments.dispute r where r.due < now() - grace
        union all
        select m.payment_id, 'mail ' || m.mail_id, 'unread', m.created_at from payments.mail m
        where m.done_at is null and m.created_at < now() - grace
    ) d (payment_id, subject_id, status, due)
    order by d.due limit rows_max
$$;

-- Not granted. Payments, refunds and disputes against the ledger and against the columns that sum them up.
create function payments.claims_imbalance()
returns table (subject text, currency text, problem text, expected bigint, found bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with paid as (
        select payment_id, sum(amount_minor)::bigint as amount from payments.credit group by payment_id
    ), claimed as (
        select payment_id,
               coalesce(sum(amount_minor) filter (where status = 'succeeded'), 0)::bigint as refunded,
               coalesce(sum(amount_minor) filter (where due is not null), 0)::bigint as reserved
        from payments.refund where origin <> 'system' group by payment_id
    ), disputed as (
        select payment_id,
               coalesce(sum(amount_minor) filter (where status <> 'won'), 0)::bigint as amount
        from payments.dispute group by payment_id
    ), hold as (
        select split_part(h.transfer_id, '/', 1) as subject,
               sum(h.amount_minor) filter (where not exists (
                   select from payments.ledger_transfer r where r.resolves = h.transfer_id))::bigint as amount
        from payments.ledger_transfer h where h.kind = 'hold' group by 1
    )
    select p.payment_id, p.currency, n.problem, n.expected, n.found
    from payments.payment p
    left join paid c on c.payment_id = p.payment_id
    left join claimed r on r.payment_id = p.payment_id
    left join disputed d on d.payment_id = p.payment_id
    left join hold h on h.subject = p.payment_id,
    lateral (values
        ('credits of the payment', case p.kind when 'collect' then p.captured_minor else 0 end,
         coalesce(c.amount, 0)),
        ('hold of the payment', case when p.kind = 'payout' and p.status in ('reserved', 'submitted', 'unknown')
                                     then p.amount_minor else 0 end, coalesce(h.amount, 0)),
        ('refunded column', coalesce(r.refunded, 0), p.refunded_minor),
        ('refund reserved column', coalesce(r.reserved, 0), p.refund_reserved_minor),
        ('disputed column', coalesce(d.amount, 0), p.disputed_minor)) n (problem, expected, found)
    where n.expected <> n.found
    union all
    select c.source_id, c.currency, 'credit of no payment of this account', 0, c.amount_minor
    from payments.credit c
    where not exists (select from payments.payment p where p.payment_id = c.payment_id
                      and p.account_id = c.account_id and p.currency = c.currency)
    union all
    select r.refund_id, p.currency, 'hold of the refund', n.expected, n.found
    from payments.refund r join payments.payment p on p.payment_id = r.payment_id
    left join hold h on h.subject = r.refund_id,
    lateral (select case when r.origin <> 'system' and r.status in ('reserved', 'submitted', 'unknown')
                         then r.amount_minor else 0 end as expected, coalesce(h.amount, 0) as found) n
    where n.expected <> n.found
    union all
    select p.payment_id, p.currency, 'posts of the payout', (p.status = 'succeeded')::int, count(t.transfer_id)
    from payments.payment p
    left join payments.ledger_transfer t on t.transfer_id = p.payment_id || '/post'
    where p.kind = 'payout' group by p.payment_id having count(t.transfer_id) <> (p.status = 'succeeded')::int
$$;

-- I1 and I3: every way in which balances, transfers and payments could disagree. Must return 0 rows, always.
drop function payments.ledger_imbalance();
create function payments.ledger_imbalance()
returns table (subject text, currency text, problem text, expected bigint, found bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with booked as (
        select account, currency, coalesce(sum(amount) filter (where kind = 'post'), 0)::bigint as posted
        from payments.ledger_entry group by account, currency
    ), held as (
        -- What was held, less what was resolved, where the hold was made.
        select h.debit_account as account, h.currency, sum(h.amount_minor)::bigint as held
        from payments.ledger_transfer h
        where h.kind = 'hold' and not exists (
            select from payments.ledger_transfer r where r.resolves = h.transfer_id)
        group by h.debit_account, h.currency
    ), queued as (
        select account_id, currency, sum(amount_minor)::bigint as unposted from payments.credit
        where window_id is null group by account_id, currency
    ), balance as (
        select a.account_id, a.currency, n.problem, n.expected, n.found
        from payments.account a
        left join booked b on b.account = a.account_id and b.currency = a.currency
        left join held h on h.account = a.account_id and h.currency = a.currency
        left join queued q on q.account_id = a.account_id and q.currency = a.currency,
        lateral (values ('posted balance', coalesce(b.posted, 0), a.posted_minor),
                        ('held balance', coalesce(h.held, 0), a.held_minor),
                        ('unposted balance', coalesce(q.unposted, 0), a.unposted_minor))
            n (problem, expected, found)
    )
    select * from balance where expected <> found
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
    select t.transfer_id, t.currency, 'sum of the window''s items', coalesce(sum(c.amount_minor), 0)::bigint,
           t.amount_minor
    from payments.ledger_transfer t
    left join payments.credit c on c.window_id = t.transfer_id and c.account_id = t.credit_account
        and c.currency = t.currency
    where t.payment_id is null
    group by t.transfer_id having coalesce(sum(c.amount_minor), 0) <> t.amount_minor
    union all
    select r.transfer_id, r.currency, 'amount of the hold', h.amount_minor, r.amount_minor
    from payments.ledger_transfer r join payments.ledger_transfer h on h.transfer_id = r.resolves
    where (r.amount_minor, r.currency, r.debit_account) <> (h.amount_minor, h.currency, h.debit_account)
    union all
    select * from payments.claims_imbalance()
    union all
    select a.subject_id, null, 'attempts that may have moved money', 1, count(*)
    from payments.attempt a where a.state in ('sending', 'unknown', 'confirmed')
    group by a.subject_id, a.op_key having count(*) > 1
$$;

drop function payments.claim(text[], int, int, interval);
drop function payments.record(text[], int[], text[], text[], text[]);
drop function payments.redrive(text, int, interval);
drop function payments.inquiry_delay(int);

revoke execute on all functions in schema payments from public;
grant execute on function
    payments.take_waiting(int, int), payments.take_overdue(text, int), payments.take_about(text[]),
    payments.write_turn(json, json, json, json, json, json, json, json, json, json, json, json, text[]),
    payments.post_windows(interval, int, int), payments.outbox_after(xid8, bigint, int)
    to payments;
grant execute on function
    payments.reminders_missing(), payments.ledger_imbalance(), payments.overdue(interval, int)
    to payments, operator;
