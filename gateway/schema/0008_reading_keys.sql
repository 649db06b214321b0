-- A merchant's keys are read under row-level security like everything else of a merchant's: see 0007.

create or replace function registry.keys_of(p_merchant_id text, p_after text, p_before text, rows_max int)
returns table (key_id text, jwk text, scopes text[], registered_at timestamptz, revoked_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    perform set_config('countermark.merchant_id', p_merchant_id, true);
    return query
    select k.key_id, k.jwk, k.scopes, k.registered_at, k.revoked_at
    from registry.merchant_key k
    left join registry.merchant_key a on a.key_id = p_after and a.merchant_id = p_merchant_id
    left join registry.merchant_key b on b.key_id = p_before and b.merchant_id = p_merchant_id
    where k.merchant_id = p_merchant_id
      and (p_after is null or (k.registered_at, k.key_id) < (a.registered_at, a.key_id))
      and (p_before is null or (k.registered_at, k.key_id) > (b.registered_at, b.key_id))
    order by case when p_before is null then k.registered_at end desc, case when p_before is null then k.key_id end desc,
             k.registered_at, k.key_id
    limit least(rows_max, 101);
end $$;

create or replace function registry.key_of(p_merchant_id text, p_key_id text)
returns table (key_id text, jwk text, scopes text[], registered_at timestamptz, revoked_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    perform set_config('countermark.merchant_id', p_merchant_id, true);
    return query
    select k.key_id, k.jwk, k.scopes, k.registered_at, k.revoked_at
    from registry.merchant_key k where k.key_id = p_key_id and k.merchant_id = p_merchant_id;
end $$;

-- Who is given a function must be able to make one in its schema; for the length of this file.
grant create on schema registry to merchant_reader;
alter function registry.keys_of(text, text, text, int) owner to merchant_reader;
alter function registry.key_of(text, text) owner to merchant_reader;
revoke create on schema registry from merchant_reader;
