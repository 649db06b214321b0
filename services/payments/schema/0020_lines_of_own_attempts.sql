-- What banks took back before a line is what lines of the payment's own attempts say. A line that names an attempt
-- which is not theirs is a break of its own; counted here, it made the true line after it a break for ever.
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
                           and (l.bank, l.line) < (of_bank, g.line)
                           and exists (select from payments.attempt t where t.attempt_id = l.attempt_id
                                         and t.payment_id = a.payment_id and t.bank = l.bank)), 0)::bigint
           else 0 end
    from unnest(lines, attempt_ids, movements) as g (line, attempt_id, movement)
    join payments.attempt a on a.attempt_id = g.attempt_id
    join payments.payment p on p.payment_id = a.payment_id
$$;
revoke execute on all functions in schema payments from public;
