-- A merchant's command is done once for its idempotency key: the claim, the evidence and the effect are one
-- transaction. What a command does is a function of the schema that it changes, listed in commands.effect by that
-- schema's migration; the gateway names an effect, never a function.

create schema commands;
revoke all on schema commands from public;
grant usage on schema commands to gateway;

create table commands.effect (
    -- For example `payment_mail`.
    name     text primary key check (name ~ '^[a-z_]{1,48}$'),
    -- Takes merchant id, request id, time and arguments, and returns nothing. It refuses by raising CM404 (there is
    -- no such thing for this merchant), CM403 or CM409 with a sentence for the merchant: then nothing was written.
    function text not null check (function ~ '^[a-z_]+\.[a-z_]+$')
);

-- The stored answers. A key counts within merchant and route, as it does for payments.
create table commands.request (
    merchant_id     text collate "C" not null,
    route           text collate "C" not null,
    key_hash        bytea not null check (octet_length(key_hash) = 32),
    fingerprint     bytea not null check (octet_length(fingerprint) = 32),
    response_status int not null check (response_status between 200 and 499),
    response_body   bytea not null,
    request_id      text not null,
    resource_id     text not null,
    at              timestamptz not null,
    primary key (merchant_id, route, key_hash)
);
create index request_at on commands.request (at);

-- Returns `new`; `repeat` with the stored answer; `mismatch`, the key was used for another request; `revoked`, the
-- signing key is not valid, nothing was written. `p_request_body` is null where a body must not be kept.
create function commands.perform(
    p_merchant_id text, p_route text, p_key_hash bytea, p_fingerprint bytea, p_response_status int,
    p_response_body bytea, p_resource_id text, p_request_id text, p_at timestamptz, p_key_id text,
    p_request_head bytea, p_request_base bytea, p_request_signature bytea, p_request_body bytea,
    p_receipt_base bytea, p_receipt_signature bytea, p_effect text, p_arguments json)
returns table (outcome text, response_status int, response_body bytea, resource_id text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    earlier commands.request;
    effect text;
begin
    -- Before anything is written: see registry.hold_keys.
    perform registry.hold_keys(array[p_key_id]);
    if not exists (select from registry.merchant_key k
                   where k.key_id = p_key_id and k.merchant_id = p_merchant_id and k.revoked_at is null) then
        return query select 'revoked', null::int, null::bytea, null::text;
        return;
    end if;
    select e.function into strict effect from commands.effect e where e.name = p_effect;
    -- A claim of the same key that is under way is waited for here, and then seen by the next statement.
    insert into commands.request (merchant_id, route, key_hash, fingerprint, response_status, response_body,
                                  request_id, resource_id, at)
    values (p_merchant_id, p_route, p_key_hash, p_fingerprint, p_response_status, p_response_body, p_request_id,
            p_resource_id, p_at)
    on conflict do nothing;
    if not found then
        select r.* into strict earlier from commands.request r
        where r.merchant_id = p_merchant_id and r.route = p_route and r.key_hash = p_key_hash;
        if earlier.fingerprint = p_fingerprint then
            return query select 'repeat', earlier.response_status, earlier.response_body, earlier.resource_id;
        else
            return query select 'mismatch', null::int, null::bytea, null::text;
        end if;
        return;
    end if;
    execute format('select %I.%I($1, $2, $3, $4)', split_part(effect, '.', 1), split_part(effect, '.', 2))
        using p_merchant_id, p_request_id, p_at, p_arguments;
    insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, request_head,
        request_body, request_base, request_signature, response_body, receipt_base, receipt_signature)
    values ('command', p_request_id, p_merchant_id, p_key_id, 'accepted', p_at, p_request_head, p_request_body,
        p_request_base, p_request_signature, p_response_body, p_receipt_base, p_receipt_signature);
    return query select 'new', p_response_status, p_response_body, p_resource_id;
end $$;

-- The stored answer to a command, looked for before anything is decided about it: a repeat stays one although what it
-- asked for has been done since.
create function commands.find_repeat(p_merchant_id text, p_route text, p_key_hash bytea)
returns table (fingerprint bytea, response_status int, response_body bytea, resource_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.fingerprint, r.response_status, r.response_body, r.resource_id from commands.request r
    where r.merchant_id = p_merchant_id and r.route = p_route and r.key_hash = p_key_hash
$$;

revoke execute on all functions in schema commands from public;
grant execute on function
    commands.perform(text, text, bytea, bytea, int, bytea, text, text, timestamptz, text, bytea, bytea, bytea, bytea,
        bytea, bytea, text, json),
    commands.find_repeat(text, text, bytea)
    to gateway;
