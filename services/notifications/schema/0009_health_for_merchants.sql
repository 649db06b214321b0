-- Merchants see how their endpoints fare: ordering, and the breaker with its failures. Both under row-level security.

alter table notifications.breaker enable row level security;
create policy of_service on notifications.breaker for all to notifications using (true) with check (true);
create policy of_merchant on notifications.breaker for select to merchant_reader
    using (exists (select from notifications.endpoint e where e.id = breaker.endpoint_id));
grant select (endpoint_id, failures, failing_since, openings, open_until, probing) on notifications.breaker
    to merchant_reader;
grant select (ordering) on notifications.endpoint to merchant_reader;

-- As before, with ordering; and health: the breaker's state in one word, and when it is tried next. The lease of a probe
-- that died with its process has ended, and the next one is due. An endpoint that nothing is sent to has no known health.
drop function notifications.endpoints_of(text, text, text, text, int);
create function notifications.endpoints_of(merchant_id text, of_id text, after_id text, before_id text, rows_max int)
returns table (id text, url text, description text, events text[], ordering text, status text, version int, tests int,
    added_at timestamptz, updated_at timestamptz, generations int[], fingerprints bytea[],
    secrets_created timestamptz[], secrets_expire timestamptz[],
    health text, failures int, failing_since timestamptz, next_probe_at timestamptz)
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
    select e.id, e.url, e.description, e.events, e.ordering, e.status, e.version, e.tests, e.added_at, e.updated_at,
           s.generations, s.fingerprints, s.created, s.expire,
           case when e.status <> 'active' then 'unknown'
                when b.endpoint_id is null or b.openings = 0 then 'closed'
                when b.probing and b.open_until > now() then 'probing'
                else 'open' end,
           coalesce(b.failures, 0), b.failing_since,
           case when not (b.probing and b.open_until > now()) then b.open_until end
    from notifications.endpoint e left join lateral (
        select array_agg(k.generation order by k.generation desc) as generations,
               array_agg(k.fingerprint order by k.generation desc) as fingerprints,
               array_agg(k.created_at order by k.generation desc) as created,
               array_agg(k.expires_at order by k.generation desc) as expire
        from notifications.endpoint_secret k where k.endpoint_id = e.id) s on true
    left join notifications.breaker b on b.endpoint_id = e.id
    where e.merchant_id = $1 and e.status <> 'deleted' and (of_id is null or e.id = of_id)
      and (after_id is null or (e.added_at, e.id) < (mark_at, mark))
      and (before_id is null or (e.added_at, e.id) > (mark_at, mark))
    order by case when before_id is null then e.added_at end desc, case when before_id is null then e.id end desc,
             e.added_at, e.id
    limit least(rows_max, 101);
end $$;
revoke execute on function notifications.endpoints_of(text, text, text, text, int) from public;
grant execute on function notifications.endpoints_of(text, text, text, text, int) to gateway;
grant create on schema notifications to merchant_reader;
alter function notifications.endpoints_of(text, text, text, text, int) owner to merchant_reader;
revoke create on schema notifications from merchant_reader;

-- As before. What waits in line is pending to its merchant, and nothing is due.
create or replace function notifications.list_deliveries(merchant_id text, of_id text, of_endpoint text, of_state text,
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
           d.test, case d.state when 'waiting' then 'pending' else d.state end, d.due, d.attempts, d.last_status,
           d.last_error, d.added_at, d.delivered_at, e.status
    from notifications.delivery d join notifications.endpoint e on e.id = d.endpoint_id
    where e.merchant_id = $1 and (of_id is null or d.id = of_id)
      and (of_endpoint is null or d.endpoint_id = of_endpoint)
      and (of_state is null or d.state = of_state or of_state = 'pending' and d.state = 'waiting')
      and (after_id is null or (d.added_at, d.id) < (mark_at, mark))
      and (before_id is null or (d.added_at, d.id) > (mark_at, mark))
    order by case when before_id is null then d.added_at end desc, case when before_id is null then d.id end desc,
             d.added_at, d.id
    limit least(rows_max, 101);
end $$;
