-- What a callback is held against before a payment hears of it. No role may call it: the functions of schema
-- banks do, as their owner.
create function payments.find_attempts(attempt_ids text[])
returns table (attempt_id text, payment_id text, bank text, amount_minor bigint, currency text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.attempt_id, a.payment_id, a.bank, a.amount_minor, p.currency
    from payments.attempt a join payments.payment p on p.payment_id = a.payment_id
    where a.attempt_id = any (attempt_ids)
$$;
revoke execute on function payments.find_attempts(text[]) from public;
