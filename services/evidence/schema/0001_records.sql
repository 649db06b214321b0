-- What was said and what was answered, byte for byte: one row for each accepted request and each refused one whose
-- signature held, and for each change of a key's state. Written in the transaction of what it proves, by the
-- functions of those who accept and refuse; the sequencer turns every row into a leaf of the log (next file).

create schema if not exists evidence;
revoke all on schema evidence from public;

create table evidence.record (
    kind                text not null
        check (kind in ('payment', 'refusal', 'key-registration', 'key-revocation')),
    -- pay_…, req_…, or the id of the key that was registered or revoked.
    subject             text not null check (subject ~ '^[A-Za-z0-9_-]{1,64}$'),
    merchant_id         text not null check (merchant_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    -- The key that signed the request; of a revocation, the key that was revoked.
    key_id              text not null check (key_id ~ '^[A-Za-z0-9_-]{43}$'),
    decision            text not null check (decision ~ '^(accepted|refused:[a-z_]{1,64})$'),
    decided_at          timestamptz not null,
    request_head        bytea,
    request_body        bytea,
    request_base        bytea,
    request_signature   bytea,
    response_body       bytea,
    receipt_base        bytea,
    receipt_signature   bytea,
    -- Of a key: the statement about it, and the proof of possession, which is the new key's signature over it.
    statement           bytea,
    statement_signature bytea,
    -- The order of the log. Transaction ids survive a physical copy and a failover; (xid, position) orders rows so
    -- that a reader that stays below the oldest running transaction never misses one that commits late.
    xid                 xid8 not null default pg_current_xact_id(),
    position            bigint generated always as identity,
    primary key (kind, subject),
    constraint record_complete check (
        case kind when 'key-revocation' then statement is not null and decision = 'accepted'
                  else num_nulls(request_base, request_signature, receipt_base, receipt_signature) = 0
        end),
    constraint record_decided check ((kind = 'refusal') = (decision <> 'accepted')),
    -- What an entry could not be made of must not be stored: the log would stand still at it.
    constraint record_signatures check (
        coalesce(octet_length(request_signature), 64) = 64 and coalesce(octet_length(receipt_signature), 64) = 64
        and coalesce(octet_length(statement_signature), 64) = 64),
    constraint record_of_key check (kind <> 'key-registration' or num_nulls(statement, statement_signature) = 0)
);
create index record_order on evidence.record (xid, position);

create function evidence.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% on %.% is refused: it only ever grows', tg_op, tg_table_schema, tg_table_name
        using errcode = 'restrict_violation';
end $$;
create trigger append_only before update or delete on evidence.record
    for each row execute function evidence.refuse_change();
create trigger append_only_whole before truncate on evidence.record
    for each statement execute function evidence.refuse_change();

-- Refusals of requests whose signature held. Written before the refusal is sent; writing one again changes nothing.
create function evidence.record_refusals(
    p_request_ids text[], p_merchant_ids text[], p_key_ids text[], p_codes text[], p_decided_at timestamptz[],
    p_request_heads bytea[], p_request_bodies bytea[], p_request_bases bytea[], p_request_signatures bytea[],
    p_response_bodies bytea[], p_receipt_bases bytea[], p_receipt_signatures bytea[]
) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, request_head,
        request_body, request_base, request_signature, response_body, receipt_base, receipt_signature)
    select 'refusal', g.request_id, g.merchant_id, g.key_id, 'refused:' || g.code, g.decided_at, g.request_head,
           g.request_body, g.request_base, g.request_signature, g.response_body, g.receipt_base,
           g.receipt_signature
    from unnest(p_request_ids, p_merchant_ids, p_key_ids, p_codes, p_decided_at, p_request_heads,
                p_request_bodies, p_request_bases, p_request_signatures, p_response_bodies, p_receipt_bases,
                p_receipt_signatures)
        as g (request_id, merchant_id, key_id, code, decided_at, request_head, request_body, request_base,
              request_signature, response_body, receipt_base, receipt_signature)
    on conflict do nothing
$$;
