-- What a key may do. A first key may do everything; one that vouches for another cannot give more than it has.

alter table registry.merchant_key add column scopes text[] not null
    default array['instruments', 'manage_keys', 'manage_webhooks', 'pay', 'read', 'refund'],
    add constraint merchant_key_scopes check (cardinality(scopes) > 0 and scopes <@
        array['instruments', 'manage_keys', 'manage_webhooks', 'pay', 'read', 'refund']);

drop trigger only_revoked_once on registry.merchant_key;
create trigger only_revoked_once before update on registry.merchant_key
    for each row when (
        old.revoked_at is not null
        or new.revoked_at is null
        or (new.key_id, new.merchant_id, new.jwk, new.registered_at, new.scopes)
            is distinct from (old.key_id, old.merchant_id, old.jwk, old.registered_at, old.scopes)
    ) execute function registry.refuse_change();

drop function registry.find_keys(text[]);
create function registry.find_keys(p_key_ids text[])
returns table (key_id text, merchant_id text, jwk text, revoked_at timestamptz, home_cell text, api_version date,
               scopes text[])
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.key_id, k.merchant_id, k.jwk, k.revoked_at, m.home_cell, m.api_version, k.scopes
    from registry.merchant_key k join registry.merchant m on m.id = k.merchant_id
    where k.key_id = any (p_key_ids)
$$;
revoke execute on function registry.find_keys(text[]) from public;
grant execute on function registry.find_keys(text[]) to gateway;
