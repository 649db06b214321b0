-- The feed of a merchant's events in the order in which they can be seen, for whoever follows them. Times are of
-- little use for that: a transaction that began earlier may commit later, and its events would be skipped. Ids of
-- transactions are of use: whoever reads what is below the oldest one that still runs, and goes on from there, meets
-- each event once, and those of a payment in their order.

-- Below which id everything has been decided, and a time that no event of an undecided transaction is much older than.
create function payments.horizon() returns table (xid xid8, at timestamptz)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select pg_snapshot_xmin(pg_current_snapshot()), now()
$$;

-- A merchant's events of transactions from `from_xid` on and below `below_xid`, oldest first after a mark. None of them
-- is older than `since`: the index is by time.
create function payments.follow_events(merchant_id text, from_xid xid8, below_xid xid8, since timestamptz,
    mark_at timestamptz, mark_payment text, mark_sequence int, rows_max int)
returns table (payment_id text, sequence int, type text, at timestamptz, account_id text, account_version bigint,
    kind text, amount_minor bigint, currency text, merchant_reference text, decline_code text, subject_id text,
    details jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_variable
begin
    perform set_config('countermark.merchant_id', merchant_id, true);
    return query
    with recursive sort (type) as (
        (select f.type from payments.feed f where f.merchant_id = merchant_id order by f.type limit 1)
        union all
        select (select f.type from payments.feed f where f.merchant_id = merchant_id and f.type > s.type
                order by f.type limit 1) from sort s where s.type is not null
    ), found as (
        select f.* from sort s cross join lateral (
            select f.payment_id, f.sequence, f.at
            from payments.feed f join payments.event e on e.payment_id = f.payment_id and e.sequence = f.sequence
            where f.merchant_id = merchant_id and f.type = s.type and f.at >= since
              and (f.at, f.payment_id, f.sequence) > (mark_at, mark_payment, mark_sequence)
              and e.xid >= from_xid and e.xid < below_xid
            order by f.at, f.payment_id, f.sequence limit rows_max) f
        order by f.at, f.payment_id, f.sequence limit rows_max
    )
    select e.payment_id, e.sequence, e.type, e.at, p.account_id, e.account_version, p.kind, p.amount_minor,
           p.currency, p.merchant_reference, e.decline_code, e.subject_id, payments.shown_details(e.type, e.details)
    from found f
    join payments.event e on e.payment_id = f.payment_id and e.sequence = f.sequence
    join payments.payment p on p.payment_id = f.payment_id
    order by f.at, f.payment_id, f.sequence;
end $$;

-- Whose events came after a place in the outbox: asked for everybody who follows at once, hence not under the
-- policies. It names merchants and nothing else of them.
create function payments.told_after(after_xid xid8, after_position bigint, rows_max int)
returns table (xid xid8, "position" bigint, merchant_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
    select e.xid, e.position, p.merchant_id
    from (select * from payments.event
          where (xid, position) > (after_xid, after_position)
            and xid < pg_snapshot_xmin(pg_current_snapshot())
          order by xid, position limit rows_max) e
    join payments.payment p on p.payment_id = e.payment_id
    order by e.xid, e.position
$$;

revoke execute on function payments.horizon(), payments.told_after(xid8, bigint, int),
    payments.follow_events(text, xid8, xid8, timestamptz, timestamptz, text, int, int) from public;
grant execute on function payments.horizon(), payments.told_after(xid8, bigint, int),
    payments.follow_events(text, xid8, xid8, timestamptz, timestamptz, text, int, int) to gateway;
grant select (xid, account_version) on payments.event to merchant_reader;
grant select (account_id) on payments.payment to merchant_reader;

-- Who is given a function must be able to make one in its schema; for the length of this file.
grant create on schema payments to merchant_reader;
alter function payments.follow_events(text, xid8, xid8, timestamptz, timestamptz, text, int, int)
    owner to merchant_reader;
revoke create on schema payments from merchant_reader;
