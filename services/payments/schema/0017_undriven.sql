-- What nobody drives.

-- Banks that have something open and are none of these, with how much: attempts, refunds and authorisations. Reads
-- what is open, through the indexes of reminders. Must return 0 rows for the banks of a configuration.
create function payments.undriven(banks text[]) returns table (bank text, open bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select o.bank, count(*) from (
        select case when p.status = 'authorized' then p.bank else p.waits_for end
        from payments.payment p
        where p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired')
        union all
        select r.waits_for from payments.refund r where r.due is not null
    ) o (bank)
    where o.bank is not null and o.bank <> all (banks)
    group by o.bank order by o.bank
$$;

revoke execute on all functions in schema payments from public;
grant execute on function payments.undriven(text[]) to payments, operator;
