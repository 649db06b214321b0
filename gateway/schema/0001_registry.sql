-- Who the merchants are and which keys are theirs. Key history is append-only, a key belongs to one merchant for
-- ever, and no role but the owner touches a table: the functions below are the contract.

create schema if not exists registry;
revoke all on schema registry from public;
grant usage on schema registry to gateway, operator;

create table registry.merchant (
    id           text primary key,
    name         text not null check (length(name) between 1 and 200),
    home_cell    text not null,
    -- Pinned, so that a new version of the interface changes nothing for those who are here already.
    api_version  date not null,
    created_at   timestamptz not null
);

create table registry.merchant_key (
    key_id         text primary key check (key_id ~ '^[A-Za-z0-9_-]{43}$'),
    merchant_id    text not null references registry.merchant (id),
    jwk            text not null,
    registered_at  timestamptz not null,
    revoked_at     timestamptz
);
create index merchant_key_of_merchant on registry.merchant_key (merchant_id);

-- What an arbiter is shown: who vouched for a key, with the signed bytes and our receipt for them.
create table registry.key_event (
    position           bigint generated always as identity primary key,
    key_id             text not null references registry.merchant_key (key_id),
    merchant_id        text not null references registry.merchant (id),
    event              text not null check (event in ('registered', 'revoked')),
    at                 timestamptz not null,
    authorised_by      text not null,
    reason             text,
    statement          bytea,
    proof              bytea,
    request_base       bytea,
    request_signature  bytea,
    request_body       bytea,
    receipt_base       bytea,
    receipt_signature  bytea
);

create table registry.enrolment_token (
    token_id     text primary key,
    merchant_id  text not null references registry.merchant (id),
    secret_hash  bytea not null check (octet_length(secret_hash) = 32),
    issued_at    timestamptz not null,
    expires_at   timestamptz not null check (expires_at > issued_at),
    consumed_at  timestamptz,
    consumed_by  text,
    check ((consumed_at is null) = (consumed_by is null))
);

-- Registrations are idempotent like payments; the scope is the merchant, or the new key itself when it is the first.
create table registry.key_request (
    scope            text not null,
    key_hash         bytea not null check (octet_length(key_hash) = 32),
    fingerprint      bytea not null check (octet_length(fingerprint) = 32),
    response_status  integer not null,
    response_body    bytea not null,
    at               timestamptz not null,
    primary key (scope, key_hash)
);

create function registry.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% on %.% is not possible: its history is append-only', tg_op, tg_table_schema, tg_table_name
        using errcode = 'restrict_violation';
end $$;

create trigger append_only before update or delete on registry.key_event
    for each row execute function registry.refuse_change();
create trigger append_only_whole before truncate on registry.key_event
    for each statement execute function registry.refuse_change();
create trigger never_deleted before delete on registry.merchant_key
    for each row execute function registry.refuse_change();
create trigger never_emptied before truncate on registry.merchant_key
    for each statement execute function registry.refuse_change();
-- A key's merchant, bytes and registration never change; a revocation is written once and never taken back.
create trigger only_revoked_once before update on registry.merchant_key
    for each row when (
        old.revoked_at is not null
        or new.revoked_at is null
        or (new.key_id, new.merchant_id, new.jwk, new.registered_at)
            is distinct from (old.key_id, old.merchant_id, old.jwk, old.registered_at)
    ) execute function registry.refuse_change();

create function registry.find_keys(p_key_ids text[])
returns table (key_id text, merchant_id text, jwk text, revoked_at timestamptz, home_cell text, api_version date)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.key_id, k.merchant_id, k.jwk, k.revoked_at, m.home_cell, m.api_version
    from registry.merchant_key k join registry.merchant m on m.id = k.merchant_id
    where k.key_id = any (p_key_ids)
$$;

create function registry.find_enrolment(p_token_id text)
returns table (merchant_id text, secret_hash bytea, expires_at timestamptz, consumed_by text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.merchant_id, t.secret_hash, t.expires_at, t.consumed_by
    from registry.enrolment_token t where t.token_id = p_token_id
$$;

create function registry.find_key_request(p_scope text, p_key_hash bytea)
returns table (fingerprint bytea, response_status integer, response_body bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.fingerprint, r.response_status, r.response_body
    from registry.key_request r where r.scope = p_scope and r.key_hash = p_key_hash
$$;

-- One call, one transaction. A refusal is raised, so that it leaves nothing: CM403 the token is not good (any
-- more), CM409 the key is registered. `token_id` is null for a later key.
create function registry.register_key(
    p_scope text, p_key_hash bytea, p_fingerprint bytea, p_response_status integer, p_response_body bytea,
    p_key_id text, p_merchant_id text, p_jwk text, p_at timestamptz, p_token_id text, p_authorised_by text,
    p_statement bytea, p_proof bytea, p_request_base bytea, p_request_signature bytea, p_request_body bytea,
    p_receipt_base bytea, p_receipt_signature bytea
) returns table (outcome text, response_status integer, response_body bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    earlier registry.key_request;
begin
    insert into registry.key_request
        values (p_scope, p_key_hash, p_fingerprint, p_response_status, p_response_body, p_at)
        on conflict do nothing;
    if not found then
        select r.* into earlier from registry.key_request r where r.scope = p_scope and r.key_hash = p_key_hash;
        if earlier.fingerprint = p_fingerprint then
            return query select 'repeat', earlier.response_status, earlier.response_body;
        else
            return query select 'mismatch', null::integer, null::bytea;
        end if;
        return;
    end if;

    if p_token_id is not null then
        -- One statement decides and consumes: of two racing uses one finds no row.
        update registry.enrolment_token t set consumed_at = p_at, consumed_by = p_key_id
            where t.token_id = p_token_id and t.merchant_id = p_merchant_id
                and t.consumed_at is null and t.expires_at > p_at;
        if not found then
            raise exception 'the enrolment token is not good' using errcode = 'CM403';
        end if;
    else
        -- The key that vouches must still be valid when the record is written, not only when it was looked up.
        perform 1 from registry.merchant_key k
            where k.key_id = p_authorised_by and k.merchant_id = p_merchant_id and k.revoked_at is null
            for share;
        if not found then
            raise exception 'the vouching key is not valid' using errcode = 'CM403';
        end if;
    end if;

    insert into registry.merchant_key (key_id, merchant_id, jwk, registered_at)
        values (p_key_id, p_merchant_id, p_jwk, p_at) on conflict do nothing;
    if not found then
        raise exception 'the key is registered' using errcode = 'CM409';
    end if;
    insert into registry.key_event (
        key_id, merchant_id, event, at, authorised_by, statement, proof, request_base, request_signature,
        request_body, receipt_base, receipt_signature
    ) values (
        p_key_id, p_merchant_id, 'registered', p_at, p_authorised_by, p_statement, p_proof, p_request_base,
        p_request_signature, p_request_body, p_receipt_base, p_receipt_signature
    );
    return query select 'new', p_response_status, p_response_body;
end $$;

-- The operator's part.
create function registry.create_merchant(
    p_id text, p_name text, p_home_cell text, p_api_version date, p_at timestamptz
) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into registry.merchant (id, name, home_cell, api_version, created_at)
        values (p_id, p_name, p_home_cell, p_api_version, p_at)
$$;

create function registry.issue_enrolment_token(
    p_token_id text, p_merchant_id text, p_secret_hash bytea, p_issued_at timestamptz, p_expires_at timestamptz
) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into registry.enrolment_token (token_id, merchant_id, secret_hash, issued_at, expires_at)
        values (p_token_id, p_merchant_id, p_secret_hash, p_issued_at, p_expires_at)
$$;

-- Returns whether it changed anything: a second revocation does not.
create function registry.revoke_key(p_key_id text, p_at timestamptz, p_authorised_by text, p_reason text)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update registry.merchant_key k set revoked_at = p_at where k.key_id = p_key_id and k.revoked_at is null;
    if not found then
        return false;
    end if;
    insert into registry.key_event (key_id, merchant_id, event, at, authorised_by, reason)
        select k.key_id, k.merchant_id, 'revoked', p_at, p_authorised_by, p_reason
        from registry.merchant_key k where k.key_id = p_key_id;
    return true;
end $$;

create function registry.key_history(p_merchant_id text)
returns table (
    "position" bigint, key_id text, event text, at timestamptz, authorised_by text, reason text
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.position, e.key_id, e.event, e.at, e.authorised_by, e.reason
    from registry.key_event e where e.merchant_id = p_merchant_id order by e.position
$$;

revoke all on all tables in schema registry from public;
revoke all on all functions in schema registry from public;
grant execute on function
    registry.find_keys(text[]),
    registry.find_enrolment(text),
    registry.find_key_request(text, bytea),
    registry.register_key(
        text, bytea, bytea, integer, bytea, text, text, text, timestamptz, text, text, bytea, bytea, bytea, bytea,
        bytea, bytea, bytea)
to gateway;
grant execute on function
    registry.create_merchant(text, text, text, date, timestamptz),
    registry.issue_enrolment_token(text, text, bytea, timestamptz, timestamptz),
    registry.revoke_key(text, timestamptz, text, text),
    registry.key_history(text)
to operator;
