-- Registrations and revocations are records of the evidence log, and a revocation waits for what is being accepted
-- under its key: in the log, whatever was accepted with a key stands before the key's revocation.

alter table registry.merchant_key add column compromised_since timestamptz;

-- One number for each key, for advisory locks. Two keys that meet in it only wait for each other.
create function registry.lock_of(p_key_id text) returns bigint
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select ('x' || encode(substring(sha256(convert_to('registry.key ' || p_key_id, 'UTF8')) for 8), 'hex'))::bit(64)::bigint
$$;

-- Hold keys until the end of the transaction: none of them is revoked meanwhile. Always in the same order, so that
-- two holders cannot deadlock with a revocation between them. It writes nothing, hence gives no transaction id.
create function registry.hold_keys(p_key_ids text[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    number bigint;
begin
    -- A transaction that has its id already would stand in the log before whatever is committed meanwhile.
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'keys are held before anything is written' using errcode = 'invalid_transaction_state';
    end if;
    for number in select distinct registry.lock_of(k) from unnest(p_key_ids) k order by 1 loop
        perform pg_advisory_xact_lock_shared(number);
    end loop;
end $$;

drop function registry.register_key(
    text, bytea, bytea, integer, bytea, text, text, text, timestamptz, text, text, bytea, bytea, bytea, bytea,
    bytea, bytea, bytea);

-- One call, one transaction. A refusal is raised, so that it leaves nothing: CM403 the token is not good (any
-- more), CM409 the key is registered, CM412 too many keys vouched one for the other: evidence leads back from the
-- key that signed to a first key, and a bundle holds eight of them (signing/evidence/layout.py). `token_id` is null for a later key. `p_signed_by` is the key that signed
-- the request: the new key itself if it is the first, else the vouching one.
create function registry.register_key(
    p_scope text, p_key_hash bytea, p_fingerprint bytea, p_response_status integer, p_response_body bytea,
    p_key_id text, p_merchant_id text, p_jwk text, p_at timestamptz, p_token_id text, p_signed_by text,
    p_statement bytea, p_proof bytea, p_request_head bytea, p_request_base bytea, p_request_signature bytea,
    p_request_body bytea, p_receipt_base bytea, p_receipt_signature bytea
) returns table (outcome text, response_status integer, response_body bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    chain_max constant int := 8;
    earlier registry.key_request;
begin
    perform registry.hold_keys(array[p_signed_by]);
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
            where k.key_id = p_signed_by and k.merchant_id = p_merchant_id and k.revoked_at is null;
        if not found then
            raise exception 'the vouching key is not valid' using errcode = 'CM403';
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

    insert into registry.merchant_key (key_id, merchant_id, jwk, registered_at)
        values (p_key_id, p_merchant_id, p_jwk, p_at) on conflict do nothing;
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
    return query select 'new', p_response_status, p_response_body;
end $$;

drop function registry.revoke_key(text, timestamptz, text, text);

-- Returns whether it changed anything: a second revocation does not. `p_compromised_since` is what the owner
-- claims, for an arbiter; it changes no verdict about what was accepted before.
create function registry.revoke_key(
    p_key_id text, p_at timestamptz, p_authorised_by text, p_reason text, p_compromised_since timestamptz
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owner text;
begin
    if p_reason !~ '^[ -~]{1,200}$' or p_authorised_by !~ '^[A-Za-z0-9_.-]{1,64}$' then
        raise exception 'a reason is one line of printable ASCII' using errcode = 'invalid_parameter_value';
    end if;
    -- Waits for every acceptance under this key that is under way, before this transaction has an id.
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'a key is revoked in a transaction of its own' using errcode = 'invalid_transaction_state';
    end if;
    perform pg_advisory_xact_lock(registry.lock_of(p_key_id));
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

-- What the gateway's bundle needs to say about a key.
create function registry.key_history_of(p_key_id text)
returns table (jwk text, registered_at timestamptz, revoked_at timestamptz, compromised_since timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.jwk, k.registered_at, k.revoked_at, k.compromised_since
    from registry.merchant_key k where k.key_id = p_key_id
$$;

revoke all on function
    registry.lock_of(text), registry.hold_keys(text[]),
    registry.register_key(
        text, bytea, bytea, integer, bytea, text, text, text, timestamptz, text, text, bytea, bytea, bytea, bytea,
        bytea, bytea, bytea, bytea),
    registry.revoke_key(text, timestamptz, text, text, timestamptz),
    registry.key_history_of(text)
from public;
grant execute on function
    registry.register_key(
        text, bytea, bytea, integer, bytea, text, text, text, timestamptz, text, text, bytea, bytea, bytea, bytea,
        bytea, bytea, bytea, bytea),
    registry.key_history_of(text)
to gateway;
grant execute on function registry.revoke_key(text, timestamptz, text, text, timestamptz) to operator;
