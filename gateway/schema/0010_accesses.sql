-- Who asked what, when, from where, and how it ended: one row for each request whose signature held. Rows come in
-- batches, off the requests' path; each batch is one record of the evidence log, whose statement lists the SHA-256 of
-- each row. A row is proven by itself: a merchant can be shown its own and the digests of the others, which tell nothing.

alter table evidence.record
    drop constraint record_kind_check,
    drop constraint record_key_id_check,
    drop constraint record_complete,
    add constraint record_kind_check check (kind in
        ('payment', 'command', 'refusal', 'key-registration', 'key-revocation', 'ledger-head', 'access-batch')),
    add constraint record_key_id_check
        check (case when kind in ('ledger-head', 'access-batch') then key_id = '-'
                    else key_id ~ '^[A-Za-z0-9_-]{43}$' end),
    add constraint record_complete check (
        case when kind = 'key-revocation' then statement is not null and decision = 'accepted'
             when kind in ('ledger-head', 'access-batch') then
                 statement is not null and decision = 'accepted' and merchant_id = '-'
                 and num_nonnulls(request_head, request_body, request_base, request_signature, response_body,
                                  receipt_base, receipt_signature, statement_signature) = 0
             else num_nulls(request_base, request_signature, receipt_base, receipt_signature) = 0
        end),
    add constraint record_of_accesses check (kind <> 'access-batch' or subject ~ '^acc_[a-z]{2,8}_[0-9a-z]{26}-[1-9][0-9]{0,17}$');

create table audit.access (
    -- The batch, `<writer>-<number>`: a writer is one life of one worker, and counts from 1, so a missing batch shows.
    batch       text not null,
    place       int not null check (place > 0),
    request_id  text not null,
    merchant_id text not null,
    key_id      text not null,
    method      text not null,
    -- The template, never the path: ids of things stay out, and rows of one operation are alike.
    route       text not null,
    status      int not null check (status between 100 and 599),
    at          timestamptz not null,
    -- The sender's address as the edge saw it and the own sidecar passed it on; empty if nobody said it.
    source      text not null check (source ~ '^[0-9a-f.:]{0,45}$'),
    kind        text not null default 'access-batch' check (kind = 'access-batch'),
    primary key (batch, place),
    foreign key (kind, batch) references evidence.record (kind, subject)
);
create index access_of_merchant on audit.access (merchant_id, at, request_id);
create trigger append_only before update or delete on audit.access
    for each row execute function audit.refuse_change();
create trigger append_only_whole before truncate on audit.access
    for each statement execute function audit.refuse_change();

-- A row's one spelling, which its digest is made of; gateway/audit/access.py has the same.
create function audit.text_of(a audit.access) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select format(E'countermark-access-v1\nrequest: %s\nmerchant: %s\nkey-id: %s\nmethod: %s\nroute: %s\nstatus: %s\n'
                  'at: %s\nsource: %s\n',
                  a.request_id, a.merchant_id, a.key_id, a.method, a.route, a.status,
                  to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.source)
$$;

-- Record one batch. The same batch again changes nothing, so that whoever does not know whether it was committed may
-- repeat it. `p_dropped` is how many rows its writer could not keep since the batch before: a gap is on record too.
-- `p_unproven` is how many answers went to nobody proven: these leave no row, so that a flood of them writes nothing.
create function audit.record_accesses(
    p_batch text, p_dropped bigint, p_unproven bigint, p_request_ids text[], p_merchant_ids text[], p_key_ids text[], p_methods text[],
    p_routes text[], p_statuses int[], p_at timestamptz[], p_sources text[]
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    noted     audit.access[];
    recorded  timestamptz := clock_timestamp();
begin
    select array_agg(row(p_batch, g.place, g.request_id, g.merchant_id, g.key_id, g.method, g.route, g.status, g.at,
                         g.source, 'access-batch')::audit.access order by g.place)
        into noted
        from unnest(p_request_ids, p_merchant_ids, p_key_ids, p_methods, p_routes, p_statuses, p_at, p_sources)
            with ordinality as g (request_id, merchant_id, key_id, method, route, status, at, source, place);
    insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, statement)
        select 'access-batch', p_batch, '-', '-', 'accepted', recorded,
               convert_to(format(E'countermark-access-batch-v1\nbatch: %s\nat: %s\ndropped: %s\nunproven: %s\n'
                   'rows: %s\n%s', p_batch,
                   to_char(recorded at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p_dropped, p_unproven,
                   coalesce(cardinality(noted), 0),
                   (select string_agg(encode(sha256(convert_to(audit.text_of(n), 'UTF8')), 'hex') || E'\n', ''
                                      order by n.place) from unnest(noted) n)), 'UTF8')
        on conflict do nothing;
    if found then
        insert into audit.access select n.* from unnest(noted) n;
    end if;
end $$;

-- A merchant's rows, newest first, with the place of their batch in the log; null until it has one.
create function audit.accesses_of(p_merchant_id text, p_before timestamptz, p_rows_max int)
returns table (request_id text, key_id text, method text, route text, status int, at timestamptz, source text,
    batch text, place int, leaf_index bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.request_id, a.key_id, a.method, a.route, a.status, a.at, a.source, a.batch, a.place, l.leaf_index
    from audit.access a left join evidence.leaf l on l.kind = a.kind and l.subject = a.batch
    where a.merchant_id = p_merchant_id and a.at < coalesce(p_before, 'infinity')
    order by a.at desc, a.request_id desc limit least(p_rows_max, 1000)
$$;

-- Up to p_rows_max batches behind one, in order of their names, and whether each row is what its statement says.
create function audit.verify_accesses(p_after text, p_batches_max int)
returns table (batch text, rows bigint, dropped bigint, unproven bigint, holds boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with asked as (
        select r.subject, convert_from(r.statement, 'UTF8') as said from evidence.record r
        where r.kind = 'access-batch' and r.subject > p_after order by r.subject limit least(p_batches_max, 1000)
    )
    select k.subject, count(a.place), substring(k.said from '\ndropped: ([0-9]+)\n')::bigint,
           substring(k.said from '\nunproven: ([0-9]+)\n')::bigint,
           count(a.place) = substring(k.said from '\nrows: ([0-9]+)\n')::bigint
           and substring(k.said from '\nrows: [0-9]+\n(.*)$') = coalesce(
               string_agg(encode(sha256(convert_to(audit.text_of(a), 'UTF8')), 'hex') || E'\n', '' order by a.place)
               filter (where a.place is not null), '')
    from asked k left join audit.access a on a.batch = k.subject
    group by k.subject, k.said order by k.subject
$$;

revoke all on audit.access from public;
revoke all on function audit.text_of(audit.access),
    audit.record_accesses(text, bigint, bigint, text[], text[], text[], text[], text[], int[], timestamptz[], text[]),
    audit.accesses_of(text, timestamptz, int), audit.verify_accesses(text, int) from public;
grant execute on function
    audit.record_accesses(text, bigint, bigint, text[], text[], text[], text[], text[], int[], timestamptz[], text[])
    to gateway;
grant execute on function audit.accesses_of(text, timestamptz, int), audit.verify_accesses(text, int) to operator;
