-- Heads of the ledger of certificates: its last line, told to a log that the ledger's own machine cannot rewrite, so
-- that cutting lines off its end, or another ledger in its place, shows. A head is a record like every other, and the
-- sequencer gives it a leaf; it is of no merchant and signed by no merchant's key, which `-` says.

alter table evidence.record
    drop constraint record_kind_check,
    drop constraint record_key_id_check,
    drop constraint record_complete,
    add constraint record_kind_check
        check (kind in ('payment', 'refusal', 'key-registration', 'key-revocation', 'ledger-head')),
    add constraint record_key_id_check
        check (case kind when 'ledger-head' then key_id = '-' else key_id ~ '^[A-Za-z0-9_-]{43}$' end),
    add constraint record_complete check (
        case kind when 'key-revocation' then statement is not null and decision = 'accepted'
                  when 'ledger-head' then statement is not null and decision = 'accepted' and merchant_id = '-'
                      and num_nonnulls(request_head, request_body, request_base, request_signature, response_body,
                                       receipt_base, receipt_signature, statement_signature) = 0
                  else num_nulls(request_base, request_signature, receipt_base, receipt_signature) = 0
        end);

-- What the order of heads is decided by; the statement that an arbiter reads is in the record.
create table evidence.ledger_head (
    sequence     bigint primary key check (sequence > 0),
    trust_domain text not null check (trust_domain ~ '^[a-z0-9.-]{1,64}$'),
    digest       text not null check (digest ~ '^[0-9a-f]{64}$'),
    kind         text not null default 'ledger-head' check (kind = 'ledger-head'),
    subject      text not null unique,
    foreign key (kind, subject) references evidence.record (kind, subject)
);
create trigger append_only before update or delete on evidence.ledger_head
    for each row execute function evidence.refuse_change();
create trigger append_only_whole before truncate on evidence.ledger_head
    for each statement execute function evidence.refuse_change();

-- Anchor one head and return its statement. The same head again changes nothing and returns what was said then. The
-- statement is made here, with this server's time: the ledger's machine can neither date it nor contradict itself.
create function evidence.anchor_ledger_head(p_trust_domain text, p_sequence bigint, p_digest text) returns bytea
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    found_statement bytea;
    anchored_at     timestamptz;
begin
    -- One at a time, and before this transaction has an id: then heads stand in the log in their own order.
    if pg_current_xact_id_if_assigned() is not null or current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a head is anchored in a transaction of its own, read committed'
            using errcode = 'invalid_transaction_state';
    end if;
    perform pg_advisory_xact_lock('evidence.ledger_head'::regclass::oid::int, 0);

    select r.statement into found_statement
        from evidence.ledger_head h join evidence.record r on r.kind = h.kind and r.subject = h.subject
        where h.sequence = p_sequence and h.digest = p_digest and h.trust_domain = p_trust_domain;
    if found then
        return found_statement;
    end if;
    perform 1 from evidence.ledger_head h where h.sequence >= p_sequence or h.trust_domain <> p_trust_domain;
    if found then
        raise exception 'this head does not follow the heads that are anchored' using errcode = 'CM409';
    end if;

    anchored_at := clock_timestamp();
    found_statement := convert_to(format(
        E'countermark-ledger-head-v1\ntrust-domain: %s\nsequence: %s\nhead: %s\nat: %s\n',
        p_trust_domain, p_sequence, p_digest,
        to_char(anchored_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), 'UTF8');
    insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, statement)
        values ('ledger-head', 'ledger-' || p_sequence, '-', '-', 'accepted', anchored_at, found_statement);
    insert into evidence.ledger_head (sequence, trust_domain, digest, subject)
        values (p_sequence, p_trust_domain, p_digest, 'ledger-' || p_sequence);
    return found_statement;
end $$;

-- Heads below a sequence number, all if it is null, newest first; `leaf_index` is null until the head has a leaf.
create function evidence.ledger_heads(p_below bigint, p_rows_max int)
returns table (statement bytea, leaf_index bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.statement, l.leaf_index
    from evidence.ledger_head h
    join evidence.record r on r.kind = h.kind and r.subject = h.subject
    left join evidence.leaf l on l.kind = h.kind and l.subject = h.subject
    where h.sequence < coalesce(p_below, 9223372036854775807)
    order by h.sequence desc limit p_rows_max
$$;

revoke all on evidence.ledger_head from public;
revoke all on function evidence.anchor_ledger_head(text, bigint, text), evidence.ledger_heads(bigint, int) from public;
grant usage on schema evidence to pki;
grant execute on function evidence.anchor_ledger_head(text, bigint, text), evidence.ledger_heads(bigint, int) to pki;
