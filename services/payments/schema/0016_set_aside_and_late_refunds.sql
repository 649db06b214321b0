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

revoke execute on all functions in schema payments from public;
grant execute on function payments.refund_owners(text[]) to payments;
