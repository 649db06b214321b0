-- What the engine asks when it takes a refund's id, what it has to set aside, and what counts as given back.

-- Whose these refunds are; an id that no refund has is left out.
create function payments.refund_owners(refund_ids text[]) returns table (refund_id text, payment_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select r.refund_id, r.payment_id from payments.refund r where r.refund_id = any (refund_ids)
$$;

-- A refund that its bank gave after declining it was paid from suspense and counted nowhere: such are left as they
-- are, under the code of what an operator has to settle.
update payments.attempt set decline_code = 'late_excess'
where operation = 'refund' and decline_code = 'late_success';

-- Not granted. Payments, refunds and disputes against the ledger and against the columns that sum them up.
create or replace function payments.claims_imbalance()
returns table (subject text, currency text, problem text, expected bigint, found bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with paid as (
        select payment_id, sum(amount_minor)::bigint as amount from payments.credit group by payment_id
    ), claimed as (
        select payment_id,
               coalesce(sum(amount_minor) filter (where status = 'succeeded'), 0)::bigint as refunded,
               coalesce(sum(amount_minor) filter (where due is not null), 0)::bigint as reserved
        from payments.refund where origin <> 'system' group by payment_id
    ), late as (
        -- Failed, and given all the same: it counts as refunded.
        select payment_id, sum(amount_minor)::bigint as amount from payments.attempt
        where operation = 'refund' and decline_code = 'late_success' group by payment_id
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
    left join late l on l.payment_id = p.payment_id
    left join disputed d on d.payment_id = p.payment_id
    left join hold h on h.subject = p.payment_id,
    lateral (values
        ('credits of the payment', case p.kind when 'collect' then p.captured_minor else 0 end,
         coalesce(c.amount, 0)),
        ('hold of the payment', case when p.kind = 'payout' and p.status in ('reserved', 'submitted', 'unknown')
                                     then p.amount_minor else 0 end, coalesce(h.amount, 0)),
        ('refunded column', coalesce(r.refunded, 0) + coalesce(l.amount, 0), p.refunded_minor),
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

-- Payments with an event, a mail or a reminder that could not be decided or written. Every worker passes them over
-- until then; the wait grows with each time. The row goes when the event has been dealt with.
create table payments.set_aside (
    payment_id text collate "C" primary key,
    until      timestamptz not null,
    times      int not null check (times >= 1),
    problem    text not null check (length(problem) between 1 and 300),
    since      timestamptz not null default now()
) with (fillfactor = 50);

-- Set a payment aside, the first time for `least_wait`, then twice as long each time, `most_wait` at the most. Two
-- workers that stumble over it at once count as one.
create function payments.put_aside(payment_id text, problem text, least_wait interval, most_wait interval)
returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    insert into payments.set_aside as s (payment_id, until, times, problem)
    values (put_aside.payment_id, now() + least_wait, 1, put_aside.problem)
    on conflict (payment_id) do update
    set until = now() + least(most_wait, least_wait * power(2, least(s.times, 30))), times = s.times + 1,
        problem = excluded.problem
    where s.until <= now()
$$;

-- What is set aside and still waits, by whoever it is looked for, the longest first. Must return 0 rows, always.
create function payments.asides(rows_max int)
returns table (payment_id text, merchant_id text, status text, since timestamptz, times int, until timestamptz,
    problem text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.payment_id, p.merchant_id, p.status, s.since, s.times, s.until, s.problem
    from payments.set_aside s join payments.payment p on p.payment_id = s.payment_id
    where p.due is not null
       or exists (select from payments.mail m where m.done_at is null and m.payment_id = s.payment_id)
       or exists (select from payments.refund r where r.payment_id = s.payment_id and r.due is not null)
       or exists (select from payments.dispute d where d.payment_id = s.payment_id and d.due is not null)
    order by s.since, s.payment_id limit rows_max
$$;

-- The accounts' turn: lock those whose accepted payments or mail waited longest, then read what waits for them.
-- `arrivals`, in order: a payment's turn (its id alone), or a mail with its body. What is set aside is passed over;
-- what is not any more is forgotten with the turn's commit, and remembered if it fails again.
drop function payments.take_waiting(int, int);
create function payments.take_waiting(items_max int, accounts_max int, mail_only boolean default false,
    out taken_at timestamptz, out accounts json, out payments json, out arrivals json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
-- Plans are kept for the life of a connection and may have been made while a table was empty.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    -- Looking past the first items_max keeps one busy, locked account from hiding everybody else's turn.
    window_factor constant int := 4;
    candidates text[];
    payment_last bigint;
    mail_last bigint;
    locked text[];
    ids text[];
begin
    taken_at := now();
    -- Payments and mail each have half of the places, or what the other leaves: a backlog of the one, which may
    -- have to wait for a bank, does not hold up the other.
    with waiting as (
        (select account_id, ordinal, null::bigint as mail_id, row_number() over (order by ordinal) as place
         from payments.payment p where status = 'accepted' and not mail_only
           and not exists (select from payments.set_aside s where s.payment_id = p.payment_id and s.until > now())
         order by ordinal limit items_max * window_factor)
        union all
        (select account_id, null, mail_id, row_number() over (order by mail_id)
         from payments.mail m where done_at is null
           and not exists (select from payments.set_aside s where s.payment_id = m.payment_id and s.until > now())
         order by mail_id limit items_max * window_factor)
    ), longest as (
        select account_id, max(ordinal) as last_payment, max(mail_id) as last_mail
        from waiting group by account_id order by min(place), min(mail_id) limit accounts_max
    )
    select array_agg(account_id), max(last_payment), max(last_mail) into candidates, payment_last, mail_last
    from longest;
    if candidates is null then
        return;
    end if;

    -- In id order; an account in someone else's turn is left to him. FOR NO KEY UPDATE: an accept's reference to
    -- the account takes KEY SHARE, which FOR UPDATE would fight.
    locked := array(select account_id from payments.account where account_id = any (candidates)
                    order by account_id for no key update skip locked);
    if cardinality(locked) = 0 then
        return;
    end if;

    -- A NEW statement. Joined with the lock it would come from the snapshot taken before the lock, and hand out
    -- what another turn has finished meanwhile (measured: 51 of 1,000).
    select json_agg(w order by w.ordinal), array_agg(distinct w.payment_id) into arrivals, ids
    from ((select p.payment_id, null::bigint as mail_id, null::json as body, p.ordinal,
                  row_number() over (order by p.ordinal) as place
           from payments.payment p
           where p.status = 'accepted' and p.ordinal <= payment_last and p.account_id = any (locked)
             and not mail_only
             and not exists (select from payments.set_aside s where s.payment_id = p.payment_id and s.until > now())
           order by p.ordinal limit items_max)
          union all
          (select m.payment_id, m.mail_id, m.body, m.mail_id, row_number() over (order by m.mail_id)
           from payments.mail m
           where m.done_at is null and m.mail_id <= mail_last and m.account_id = any (locked)
             and not exists (select from payments.set_aside s where s.payment_id = m.payment_id and s.until > now())
           order by m.mail_id limit items_max)
          order by place, ordinal limit items_max) w;
    if ids is not null then
        delete from payments.set_aside s where s.payment_id = any (ids);
        select r.accounts, r.payments into accounts, payments from payments.read_rows(ids, locked) r;
    end if;
end $$;

-- What is due, oldest first: of payments and refunds that wait for this bank, or, for null, of those that wait for
-- no bank and of disputes. `arrivals`: payment and subject. Rows of accounts in someone else's turn are left.
create or replace function payments.take_overdue(of_bank text, items_max int,
    out taken_at timestamptz, out accounts json, out payments json, out arrivals json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    window_factor constant int := 4;
    locked text[];
    ids text[];
    subjects text[];
begin
    taken_at := now();
    select array_agg(d.payment_id), array_agg(d.subject_id) into ids, subjects
    from payments.due_of(of_bank, items_max * window_factor) d;
    if ids is null then
        return;
    end if;
    locked := array(select account_id from payments.account
                    where account_id = any (array(select p.account_id from payments.payment p
                                                  where p.payment_id = any (ids)))
                    order by account_id for no key update skip locked);
    if cardinality(locked) = 0 then
        return;
    end if;
    -- A new statement: what another turn has moved on meanwhile is not due any more.
    select json_agg(w order by w.due), array_agg(distinct w.payment_id) into arrivals, ids
    from (select d.payment_id, d.subject_id, d.due
          from payments.due_of(of_bank, items_max * window_factor) d
          join payments.payment p on p.payment_id = d.payment_id
          where d.subject_id = any (subjects) and p.account_id = any (locked)
          order by d.due limit items_max) w;
    if ids is not null then
        delete from payments.set_aside s where s.payment_id = any (ids);
        select r.accounts, r.payments into accounts, payments
        from payments.read_rows(ids, array(select distinct p.account_id from payments.payment p
                                           where p.payment_id = any (ids))) r;
    end if;
end $$;

-- These payments, whatever else waits; waits for the locks of their accounts, in id order. `retried` are those with
-- an event that may have been set aside before: forgotten with this turn's commit.
drop function payments.take_about(text[]);
create function payments.take_about(payment_ids text[], retried text[] default '{}',
    out taken_at timestamptz, out accounts json, out payments json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    locked text[];
begin
    taken_at := now();
    if cardinality(retried) > 0 then
        delete from payments.set_aside s where s.payment_id = any (retried);
    end if;
    -- A payment never changes its account, so this look may come before the lock.
    locked := array(select account_id from payments.account
                    where account_id = any (array(select p.account_id from payments.payment p
                                                  where p.payment_id = any (payment_ids)))
                    order by account_id for no key update);
    select r.accounts, r.payments into accounts, payments from payments.read_rows(payment_ids, locked) r;
end $$;

-- Not granted. Three index ranges, each read no further than rows_max; what is set aside is passed over.
create or replace function payments.due_of(of_bank text, rows_max int)
returns table (payment_id text, subject_id text, due timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if of_bank is null then
        return query
        (select p.payment_id, p.payment_id, p.due from payments.payment p
         where p.waits_for is null and p.due <= now()
           and p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired')
           and not exists (select from payments.set_aside s where s.payment_id = p.payment_id and s.until > now())
         order by p.due limit rows_max)
        union all
        (select r.payment_id, r.refund_id, r.due from payments.refund r
         where r.waits_for is null and r.due <= now()
           and not exists (select from payments.set_aside s where s.payment_id = r.payment_id and s.until > now())
         order by r.due limit rows_max)
        union all
        (select d.payment_id, d.dispute_id, d.due from payments.dispute d
         where d.due <= now()
           and not exists (select from payments.set_aside s where s.payment_id = d.payment_id and s.until > now())
         order by d.due limit rows_max)
        order by 3 limit rows_max;
    else
        return query
        (select p.payment_id, p.payment_id, p.due from payments.payment p
         where p.waits_for = of_bank and p.due <= now()
           and p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired')
           and not exists (select from payments.set_aside s where s.payment_id = p.payment_id and s.until > now())
         order by p.due limit rows_max)
        union all
        (select r.payment_id, r.refund_id, r.due from payments.refund r
         where r.waits_for = of_bank and r.due <= now()
           and not exists (select from payments.set_aside s where s.payment_id = r.payment_id and s.until > now())
         order by r.due limit rows_max)
        order by 3 limit rows_max;
    end if;
end $$;

revoke execute on all functions in schema payments from public;
grant execute on function
    payments.refund_owners(text[]), payments.put_aside(text, text, interval, interval),
    payments.take_waiting(int, int, boolean), payments.take_about(text[], text[])
    to payments;
grant execute on function payments.asides(int) to payments, operator;
