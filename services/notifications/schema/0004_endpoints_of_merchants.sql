-- Merchants keep their endpoints themselves: which events, which secret, what became of each delivery. They read under
-- row-level security, as in 0003, and act through effects of commands (gateway/schema/0004), which hold the endpoint.

alter table notifications.endpoint
    drop constraint endpoint_status_check,
    -- A deleted endpoint keeps its deliveries' story and gets nothing more.
    add constraint endpoint_status_check check (status in ('active', 'disabled', 'deleted')),
    add column description text check (description ~ '^[ -~]{1,255}$'),
    -- What it is told of: types, or all of them.
    add column events text[] not null default '{*}' check (cardinality(events) between 1 and 64),
    -- Raised by each change; the entity tag.
    add column version int not null default 1,
    -- Test events so far; their sequence.
    add column tests int not null default 0,
    add column updated_at timestamptz not null default now();
update notifications.endpoint set updated_at = added_at;

-- An HMAC secret, sealed to the service's key before it came here: nobody but the service opens it. The newest one has
-- no end; an older one has the end of its overlap.
create table notifications.endpoint_secret (
    endpoint_id text        not null references notifications.endpoint,
    generation  int         not null check (generation > 0),
    -- RFC 9180: an encapsulated key of 32 bytes, a secret of 32, a tag of 16.
    sealed      bytea       not null check (octet_length(sealed) = 80),
    -- SHA-256 of the secret: by it a merchant tells which one it holds. 256 random bits cannot be found by trying.
    fingerprint bytea       not null check (octet_length(fingerprint) = 32),
    created_at  timestamptz not null,
    expires_at  timestamptz,
    primary key (endpoint_id, generation)
);
create unique index endpoint_secret_newest on notifications.endpoint_secret (endpoint_id) where expires_at is null;

-- A delivery's public name follows from what it is; the cell is that of its endpoint. 26 hexadecimal digits are 104
-- bits of a digest, in letters that all ids may have (services/node/identifiers.py); no other way is as cheap here.
create function notifications.delivery_id(endpoint_id text, payment_id text, sequence int) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
    identity constant bytea := convert_to(
        'countermark-delivery-v1' || chr(10) || endpoint_id || chr(10) || payment_id || chr(10) || sequence, 'UTF8');
begin
    return 'whd_' || split_part(endpoint_id, '_', 2) || '_' || left(encode(sha256(identity), 'hex'), 26);
end $$;

alter table notifications.delivery
    add column id text collate "C"
        generated always as (notifications.delivery_id(endpoint_id, payment_id, sequence)) stored,
    -- A test event is about no payment: its endpoint's id stands in payment_id.
    add column test boolean generated always as (payment_id = endpoint_id) stored;
create unique index delivery_id on notifications.delivery (id);
create index delivery_newest on notifications.delivery (endpoint_id, added_at, id);

grant update (version, updated_at) on notifications.endpoint to notifications;
grant select on notifications.endpoint_secret to notifications;
alter table notifications.endpoint_secret enable row level security;
create policy of_service on notifications.endpoint_secret for select to notifications using (true);
create policy of_merchant on notifications.endpoint_secret for select to merchant_reader
    using (exists (select from notifications.endpoint e where e.id = endpoint_secret.endpoint_id));
grant select (description, events, version, tests, updated_at) on notifications.endpoint to merchant_reader;
grant select (endpoint_id, generation, fingerprint, created_at, expires_at) on notifications.endpoint_secret
    to merchant_reader;
grant select (id, test) on notifications.delivery to merchant_reader;

-- An operator's revival, now that endpoints can be deleted.
create or replace function notifications.revive_endpoint(endpoint_id text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    revived bigint;
begin
    update notifications.endpoint e set status = 'active', version = e.version + 1, updated_at = now()
    where e.id = revive_endpoint.endpoint_id and e.status <> 'deleted';
    if not found then
        raise exception 'there is no endpoint %', revive_endpoint.endpoint_id using errcode = 'no_data_found';
    end if;
    update notifications.delivery d set state = 'pending', due = now(), attempts = 0, refusals = 0
    where d.endpoint_id = revive_endpoint.endpoint_id and d.state = 'dead';
    get diagnostics revived = row_count;
    return revived;
end $$;

-- What merchants read. One endpoint, or up to `rows_max` newest first after one, or oldest first before one; the one
-- that a part begins at is the merchant's own, or CM404. Secrets are shown beyond their end until the next change: what
-- is shown changes with the version and not without it.
create function notifications.endpoints_of(merchant_id text, of_id text, after_id text, before_id text, rows_max int)
returns table (id text, url text, description text, events text[], status text, version int, tests int,
    added_at timestamptz, updated_at timestamptz, generations int[], fingerprints bytea[],
    secrets_created timestamptz[], secrets_expire timestamptz[])
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    mark constant text := coalesce(after_id, before_id);
    mark_at timestamptz;
begin
    perform set_config('countermark.merchant_id', $1, true);
    if mark is not null then
        select e.added_at into mark_at from notifications.endpoint e
        where e.id = mark and e.merchant_id = $1 and e.status <> 'deleted';
        if not found then
            raise exception 'there is no such webhook endpoint' using errcode = 'CM404';
        end if;
    end if;
    return query
    select e.id, e.url, e.description, e.events, e.status, e.version, e.tests, e.added_at, e.updated_at,
           s.generations, s.fingerprints, s.created, s.expire
    from notifications.endpoint e left join lateral (
        select array_agg(k.generation order by k.generation desc) as generations,
               array_agg(k.fingerprint order by k.generation desc) as fingerprints,
               array_agg(k.created_at order by k.generation desc) as created,
               array_agg(k.expires_at order by k.generation desc) as expire
        from notifications.endpoint_secret k where k.endpoint_id = e.id) s on true
    where e.merchant_id = $1 and e.status <> 'deleted' and (of_id is null or e.id = of_id)
      and (after_id is null or (e.added_at, e.id) < (mark_at, mark))
      and (before_id is null or (e.added_at, e.id) > (mark_at, mark))
    order by case when before_id is null then e.added_at end desc, case when before_id is null then e.id end desc,
             e.added_at, e.id
    limit least(rows_max, 101);
end $$;

-- One delivery, or an endpoint's, in the same way.
create function notifications.list_deliveries(merchant_id text, of_id text, of_endpoint text, of_state text,
    after_id text, before_id text, rows_max int)
returns table (id text, endpoint_id text, payment_id text, sequence int, event_id text, event_type text, test boolean,
    state text, due timestamptz, attempts int, last_status int, last_error text, added_at timestamptz,
    delivered_at timestamptz, endpoint_status text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    mark constant text := coalesce(after_id, before_id);
    mark_at timestamptz;
begin
    perform set_config('countermark.merchant_id', $1, true);
    if mark is not null then
        select d.added_at into mark_at from notifications.delivery d
        where d.id = mark and d.endpoint_id = of_endpoint;
        if not found then
            raise exception 'there is no such delivery' using errcode = 'CM404';
        end if;
    end if;
    return query
    select d.id, d.endpoint_id, d.payment_id, d.sequence, d.event_id, convert_from(d.body, 'UTF8')::json ->> 'type',
           d.test, d.state, d.due, d.attempts, d.last_status, d.last_error, d.added_at, d.delivered_at, e.status
    from notifications.delivery d join notifications.endpoint e on e.id = d.endpoint_id
    where e.merchant_id = $1 and (of_id is null or d.id = of_id)
      and (of_endpoint is null or d.endpoint_id = of_endpoint) and (of_state is null or d.state = of_state)
      and (after_id is null or (d.added_at, d.id) < (mark_at, mark))
      and (before_id is null or (d.added_at, d.id) > (mark_at, mark))
    order by case when before_id is null then d.added_at end desc, case when before_id is null then d.id end desc,
             d.added_at, d.id
    limit least(rows_max, 101);
end $$;

-- Every attempt of one delivery that was kept, the newest hundred, oldest first.
create function notifications.attempts_of(merchant_id text, delivery_id text)
returns table (at timestamptz, duration_ms int, status int, error text, verdict text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    perform set_config('countermark.merchant_id', $1, true);
    return query
    select n.at, n.duration_ms, n.status, n.error, n.verdict from (
        select a.at, a.duration_ms, a.status, a.error, a.verdict from notifications.delivery d
        join notifications.endpoint e on e.id = d.endpoint_id
        join notifications.delivery_attempt a on (a.endpoint_id, a.payment_id, a.sequence)
                                               = (d.endpoint_id, d.payment_id, d.sequence)
        where d.id = $2 and e.merchant_id = $1
        order by a.at desc limit 100) n
    order by n.at;
end $$;

revoke execute on function notifications.delivery_id(text, text, int),
    notifications.endpoints_of(text, text, text, text, int),
    notifications.list_deliveries(text, text, text, text, text, text, int), notifications.attempts_of(text, text)
    from public;
-- A generated column is computed with the rights of whoever inserts.
grant execute on function notifications.delivery_id(text, text, int) to notifications;
grant usage on schema notifications to gateway;
grant execute on function notifications.endpoints_of(text, text, text, text, int),
    notifications.list_deliveries(text, text, text, text, text, text, int), notifications.attempts_of(text, text)
    to gateway;
-- Who is given a function must be able to make one in its schema; for the length of this file.
grant create on schema notifications to merchant_reader;
alter function notifications.endpoints_of(text, text, text, text, int) owner to merchant_reader;
alter function notifications.list_deliveries(text, text, text, text, text, text, int) owner to merchant_reader;
alter function notifications.attempts_of(text, text) owner to merchant_reader;
revoke create on schema notifications from merchant_reader;
