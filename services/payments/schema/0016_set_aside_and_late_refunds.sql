-- What the engine asks when it takes a refund's id, what it has to set aside, and what counts as given back.

-- Whose these refunds are; an id that no refund has is left out.
create function payments.refund_owners(refund_ids text[]) returns table (refund_id text, payment_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select r.refund_id, r.payment_id from payments.refund r where r.refund_id = any (refund_ids)
$$;

revoke execute on all functions in schema payments from public;
grant execute on function payments.refund_owners(text[]) to payments;
