-- Merchants manage their keys: scopes at registration, a list, revocation. Whoever remembers keys hears of a
-- revocation when it is committed.

create function registry.tell_of_revocation() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('registry_key_revoked', new.key_id);
    return null;
end $$;
create trigger revocation_told after update on registry.merchant_key
    for each row when (old.revoked_at is null and new.revoked_at is not null)
    execute function registry.tell_of_revocation();

drop function registry.register_key(
    text, bytea, bytea, integer, bytea, text, text, text, timestamptz, text, text, bytea, bytea, bytea, bytea, bytea,
    bytea, bytea, bytea);

-- One call, one transaction. A refusal is raised, so that it leaves nothing: CM403 the token is not good (any
-- more), or with the detail `key_scope`, the vouching key does not have what it gives; CM409 the key is registered;
-- CM412 too many keys vouched one for the other: evidence leads back from the key that signed to a first key, and a
-- bundle holds eight of them (signing/evidence/layout.py). `token_id` is null for a later key. `p_signed_by` is the
-- key that signed the request: the new key itself if it is the first, else the vouching one. Outcomes are those of
-- commands.perform: `new`, `repeat`, `mismatch`, `expired`, `in_progress`.
create function registry.register_key(
    p_scope text, p_key_hash bytea, p_fingerprint bytea, p_response_status integer, p_response_body bytea,
    p_key_id text, p_merchant_id text, p_jwk text, p_at timestamptz, p_token_id text, p_signed_by text,
    p_statement bytea, p_proof bytea, p_request_head bytea, p_request_base bytea, p_request_signature bytea,
    p_request_body bytea, p_receipt_base bytea, p_receipt_signature bytea, p_request_id text, p_scopes text[]
) returns table (outcome text, response_status integer, response_body bytea, request_id text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
declare
    chain_max constant int := 8;
    given text[];
begin
    perform registry.hold_keys(array[p_signed_by]);
    begin
        insert into registry.key_request
            (scope, key_hash, fingerprint, response_status, response_body, at, request_id)
        values (p_scope, p_key_hash, p_fingerprint, p_response_status, p_response_body, p_at, p_request_id)
        on conflict do nothing;
    exception when lock_not_available then
        return query select 'in_progress', null::integer, null::bytea, null::text;
        return;
    end;
    if not found then
        return query select * from registry.find_key_request(p_scope, p_key_hash, p_fingerprint);
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
        select k.scopes into given from registry.merchant_key k
            where k.key_id = p_signed_by and k.merchant_id = p_merchant_id and k.revoked_at is null;
        if not found then
            raise exception 'the vouching key is not valid' using errcode = 'CM403';
        end if;
        if not (p_scopes <@ given and 'manage_keys' = any (given)) then
            raise exception 'the vouching key cannot give what it does not have'
                using errcode = 'CM403', detail = 'key_scope';
        end if;
        perform 1 from (
            with recursive chain (key_id, length) as (
                select p_signed_by, 1
                union all
                select r.key_id, c.length + 1
                from chain c join evidence.record r on r.kind = 'key-registration' and r.subject = c.key_id
                where r.key_id <> c.key_id and c.length < chain_max)
            select max(length) as length from chain) vouched
        where vouched.length >= chain_max;
        if found then
            raise exception 'too many keys vouched one for the other' using errcode = 'CM412';
        end if;
    end if;

    insert into registry.merchant_key (key_id, merchant_id, jwk, registered_at, scopes)
        values (p_key_id, p_merchant_id, p_jwk, p_at, p_scopes) on conflict do nothing;
    if not found then
        raise exception 'the key is registered' using errcode = 'CM409';
    end if;
    insert into registry.key_event (key_id, merchant_id, event, at, authorised_by, statement, proof)
        values (p_key_id, p_merchant_id, 'registered', p_at, coalesce(p_token_id, p_signed_by), p_statement,
                p_proof);
    insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, request_head,
        request_body, request_base, request_signature, response_body, receipt_base, receipt_signature, statement,
        statement_signature)
    values ('key-registration', p_key_id, p_merchant_id, p_signed_by, 'accepted', p_at, p_request_head,
        p_request_body, p_request_base, p_request_signature, p_response_body, p_receipt_base, p_receipt_signature,
        p_statement, p_proof);
    return query select 'new', p_response_status, p_response_body, p_request_id;
end $$;

drop function registry.find_key_request(text, bytea);
create function registry.find_key_request(p_scope text, p_key_hash bytea, p_fingerprint bytea)
returns table (outcome text, response_status integer, response_body bytea, request_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case when r.fingerprint <> p_fingerprint then 'mismatch'
                when r.response_body is null or r.at < now() - commands.answer_age_max() then 'expired'
                else 'repeat' end,
           s.*
    from registry.key_request r
    left join lateral (select r.response_status, r.response_body, r.request_id
                       where r.fingerprint = p_fingerprint) s on true
    where r.scope = p_scope and r.key_hash = p_key_hash
$$;

-- The merchant's keys, the newest first, up to rows_max of them after that of `p_after`; or with `p_before`, the ones
-- that lie nearest before it, the oldest of them first.
create function registry.keys_of(p_merchant_id text, p_after text, p_before text, rows_max int)
returns table (key_id text, jwk text, scopes text[], registered_at timestamptz, revoked_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.key_id, k.jwk, k.scopes, k.registered_at, k.revoked_at
    from registry.merchant_key k
    left join registry.merchant_key a on a.key_id = p_after and a.merchant_id = p_merchant_id
    left join registry.merchant_key b on b.key_id = p_before and b.merchant_id = p_merchant_id
    where k.merchant_id = p_merchant_id
      and (p_after is null or (k.registered_at, k.key_id) < (a.registered_at, a.key_id))
      and (p_before is null or (k.registered_at, k.key_id) > (b.registered_at, b.key_id))
    order by case when p_before is null then k.registered_at end desc, case when p_before is null then k.key_id end desc,
             k.registered_at, k.key_id
    limit least(rows_max, 101)
$$;

-- Of a merchant's own keys alone.
create function registry.key_of(p_merchant_id text, p_key_id text)
returns table (key_id text, jwk text, scopes text[], registered_at timestamptz, revoked_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.key_id, k.jwk, k.scopes, k.registered_at, k.revoked_at
    from registry.merchant_key k where k.key_id = p_key_id and k.merchant_id = p_merchant_id
$$;

-- Revoke, and say so in history and log. Not granted: its callers hold the key alone, since before they wrote anything.
create function registry.end_key(
    p_key_id text, p_at timestamptz, p_authorised_by text, p_reason text, p_compromised_since timestamptz
) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    owner text;
begin
    if (p_reason ~ '^[ -~]{1,200}$' and p_authorised_by ~ '^[A-Za-z0-9_.-]{1,64}$') is not true then
        raise exception 'a reason is one line of printable ASCII' using errcode = 'invalid_parameter_value';
    end if;
    update registry.merchant_key k set revoked_at = p_at, compromised_since = p_compromised_since
        where k.key_id = p_key_id and k.revoked_at is null returning k.merchant_id into owner;
    if not found then
        return false;
    end if;
    insert into registry.key_event (key_id, merchant_id, event, at, authorised_by, reason)
        values (p_key_id, owner, 'revoked', p_at, p_authorised_by, p_reason);
    insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, statement)
    values ('key-revocation', p_key_id, owner, p_key_id, 'accepted', p_at, convert_to(
        format(E'countermark-key-revocation-v1\nmerchant: %s\nkey-id: %s\nrevoked-at: %s\ncompromised-since: %s\nauthorised-by: %s\nreason: %s\n',
            owner, p_key_id, extract(epoch from p_at)::bigint,
            coalesce(extract(epoch from p_compromised_since)::bigint::text, 'none'), p_authorised_by, p_reason),
        'UTF8'));
    return true;
end $$;

-- The operator's. Returns whether it changed anything: a second revocation does not. `p_compromised_since` is what the
-- owner claims, for an arbiter; it changes no verdict about what was accepted before.
create or replace function registry.revoke_key(
    p_key_id text, p_at timestamptz, p_authorised_by text, p_reason text, p_compromised_since timestamptz
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- Waits for every acceptance under this key that is under way, before this transaction has an id.
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'a key is revoked in a transaction of its own' using errcode = 'invalid_transaction_state';
    end if;
    perform pg_advisory_xact_lock(registry.lock_of(p_key_id));
    return registry.end_key(p_key_id, p_at, p_authorised_by, p_reason, p_compromised_since);
end $$;

-- The merchant's, instead of registry.hold_keys: the key that signs is held against revocation, the one that goes is
-- held alone, and all take them in the order of their numbers, as hold_keys does: two keys that revoke each other
-- wait for one another in turn and never both. Another merchant's key is not held: nobody can make others wait.
create function registry.hold_keys_to_revoke(p_signed_by text, p_arguments json) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    held record;
begin
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'keys are held before anything is written' using errcode = 'invalid_transaction_state';
    end if;
    for held in
        select number, bool_or(goes) as goes from (
            select registry.lock_of(p_signed_by) as number, false as goes
            union all
            select registry.lock_of(t.key_id), true
            from registry.merchant_key s join registry.merchant_key t on t.merchant_id = s.merchant_id
            where s.key_id = p_signed_by and t.key_id = p_arguments ->> 'key_id') k
        group by number order by number
    loop
        if held.goes then
            perform pg_advisory_xact_lock(held.number);
        else
            perform pg_advisory_xact_lock_shared(held.number);
        end if;
    end loop;
end $$;

-- Arguments: key_id, reason, compromised_since (seconds since the epoch, or null). Who authorised it is the key that
-- signed the command, as the log has it. Not granted: commands.perform alone calls it.
create function registry.revoke_for_merchant(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    target constant text := arguments ->> 'key_id';
    signed_by text;
begin
    select r.key_id into strict signed_by from evidence.record r
    where r.kind = 'command' and r.subject = request_id;
    perform 1 from registry.merchant_key k
    where k.key_id = target and k.merchant_id = revoke_for_merchant.merchant_id;
    if not found then
        raise exception 'there is no such key' using errcode = 'CM404';
    end if;
    if target <> signed_by and not exists (
        select from registry.merchant_key k where k.key_id = signed_by and 'manage_keys' = any (k.scopes))
    then
        raise exception 'this needs a key with the scope manage_keys; any key may revoke itself'
            using errcode = 'CM403', detail = 'key_scope';
    end if;
    if not registry.end_key(target, at, signed_by, arguments ->> 'reason',
                            to_timestamp((arguments ->> 'compromised_since')::bigint)) then
        raise exception 'the key was revoked before' using errcode = 'CM409';
    end if;
end $$;

insert into commands.effect (name, function, hold)
    values ('key_revocation', 'registry.revoke_for_merchant', 'registry.hold_keys_to_revoke');

revoke all on function
    registry.tell_of_revocation(),
    registry.register_key(
        text, bytea, bytea, integer, bytea, text, text, text, timestamptz, text, text, bytea, bytea, bytea, bytea,
        bytea, bytea, bytea, bytea, text, text[]),
    registry.find_key_request(text, bytea, bytea), registry.keys_of(text, text, text, int),
    registry.key_of(text, text), registry.end_key(text, timestamptz, text, text, timestamptz),
    registry.hold_keys_to_revoke(text, json), registry.revoke_for_merchant(text, text, timestamptz, json)
from public;
grant execute on function
    registry.register_key(
        text, bytea, bytea, integer, bytea, text, text, text, timestamptz, text, text, bytea, bytea, bytea, bytea,
        bytea, bytea, bytea, bytea, text, text[]),
    registry.find_key_request(text, bytea, bytea), registry.keys_of(text, text, text, int), registry.key_of(text, text)
to gateway;
