-- Access tokens for dashboards: each reads what its merchant may read, for minutes, for the holder of one key.
-- Of a token only its SHA-256 is stored, and beside it the key that asked: once that is revoked the token is, too.

create table registry.access_token (
    token_hash  bytea primary key check (octet_length(token_hash) = 32),
    -- The registered key that signed the request for it.
    key_id      text not null references registry.merchant_key (key_id),
    -- The RFC 7638 thumbprint of the key whose proofs it needs; that one need not be registered.
    bound_to    text not null check (bound_to ~ '^[A-Za-z0-9_-]{43}$'),
    issued_at   timestamptz not null,
    expires_at  timestamptz not null,
    check (expires_at > issued_at and expires_at <= issued_at + interval '10 minutes')
);
create index access_token_of_key on registry.access_token (key_id, expires_at);
create index access_token_by_age on registry.access_token (expires_at);

-- Returns `issued`; `refused` if the key is not good (any more) or may not read; `too_many` if it has `p_live_max`
-- that are good. Two that are asked for at once may both be counted as the last one.
create function registry.issue_token(
    p_token_hash bytea, p_key_id text, p_bound_to text, p_issued_at timestamptz, p_expires_at timestamptz,
    p_live_max int
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform 1 from registry.merchant_key k
    where k.key_id = p_key_id and k.revoked_at is null and 'read' = any (k.scopes) for share;
    if not found then
        return 'refused';
    end if;
    if (select count(*) from registry.access_token t
        where t.key_id = p_key_id and t.expires_at > p_issued_at) >= p_live_max
    then
        return 'too_many';
    end if;
    insert into registry.access_token (token_hash, key_id, bound_to, issued_at, expires_at)
        values (p_token_hash, p_key_id, p_bound_to, p_issued_at, p_expires_at);
    return 'issued';
end $$;

-- Whoever asks knows the token. Whether its key is still good the caller asks where it asks about all keys.
create function registry.find_token(p_token_hash bytea)
returns table (key_id text, bound_to text, expires_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.key_id, t.bound_to, t.expires_at from registry.access_token t where t.token_hash = p_token_hash
$$;

-- Returns how many were forgotten. A minute late, so that no worker's clock still counts one of them as good.
create function registry.forget_tokens(rows_max int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    forgotten int;
begin
    delete from registry.access_token t where t.token_hash in (
        select o.token_hash from registry.access_token o where o.expires_at < now() - interval '1 minute'
        order by o.expires_at limit least(rows_max, 1000) for update skip locked);
    get diagnostics forgotten = row_count;
    return forgotten;
end $$;

revoke all on registry.access_token from public;
revoke all on function
    registry.issue_token(bytea, text, text, timestamptz, timestamptz, int), registry.find_token(bytea),
    registry.forget_tokens(int)
from public;
grant execute on function
    registry.issue_token(bytea, text, text, timestamptz, timestamptz, int), registry.find_token(bytea),
    registry.forget_tokens(int)
to gateway;
