-- What is done with endpoints and deliveries, now that deliveries may wait in lines (0007).

-- Arguments as before, and ordering; without it, lines as they are by default.
create or replace function notifications.endpoint_created(merchant_id text, request_id text, at timestamptz,
    arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('notifications.endpoint/' || $1, 0));
    if (select count(*) from notifications.endpoint e where e.merchant_id = $1 and e.status <> 'deleted')
            >= notifications.endpoints_max() then
        raise exception 'there are % endpoints, and no more are kept: delete one', notifications.endpoints_max()
            using errcode = 'CM409';
    end if;
    insert into notifications.endpoint (id, merchant_id, url, description, events, ordering, added_at, updated_at)
    values ($4 ->> 'endpoint_id', $1, $4 ->> 'url', $4 ->> 'description', notifications.types_of($4),
            coalesce($4 ->> 'ordering', 'none'), notifications.at_of($4), notifications.at_of($4));
    if $4 ->> 'sealed' is not null then
        insert into notifications.endpoint_secret (endpoint_id, generation, sealed, fingerprint, created_at)
        values ($4 ->> 'endpoint_id', 1, decode($4 ->> 'sealed', 'hex'), decode($4 ->> 'fingerprint', 'hex'),
                notifications.at_of($4));
    end if;
end $$;

-- Arguments as before, and ordering; without it, lines as they were.
create or replace function notifications.endpoint_changed(merchant_id text, request_id text, at timestamptz,
    arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    held constant notifications.endpoint :=
        notifications.hold_endpoint($1, $4 ->> 'endpoint_id', ($4 ->> 'version')::int);
    wanted constant text := coalesce($4 ->> 'ordering', held.ordering);
begin
    update notifications.endpoint e
    set url = $4 ->> 'url', description = $4 ->> 'description', events = notifications.types_of($4),
        ordering = wanted, version = e.version + 1, updated_at = notifications.at_of($4)
    where e.id = held.id;
    if wanted <> held.ordering then
        perform notifications.line_up(held.id);
    end if;
end $$;

create or replace function notifications.endpoint_deleted(merchant_id text, request_id text, at timestamptz,
    arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform notifications.hold_endpoint($1, $4 ->> 'endpoint_id', ($4 ->> 'version')::int);
    update notifications.endpoint e set status = 'deleted', version = e.version + 1,
        updated_at = notifications.at_of($4)
    where e.id = $4 ->> 'endpoint_id';
    delete from notifications.endpoint_secret s where s.endpoint_id = $4 ->> 'endpoint_id';
    perform notifications.lock_lines($4 ->> 'endpoint_id');
    -- Out of line, so that the end of one lets no other go.
    update notifications.delivery d set state = 'dead', due = null, in_line = false, last_error = 'endpoint-deleted'
    where d.endpoint_id = $4 ->> 'endpoint_id' and d.state in ('pending', 'waiting');
end $$;

create or replace function notifications.endpoint_enabled(merchant_id text, request_id text, at timestamptz,
    arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    held constant notifications.endpoint :=
        notifications.hold_endpoint($1, $4 ->> 'endpoint_id', ($4 ->> 'version')::int);
begin
    if held.status <> 'disabled' then
        raise exception 'the endpoint is %: only a disabled one can be enabled', held.status using errcode = 'CM409';
    end if;
    update notifications.endpoint e set status = 'active', version = e.version + 1,
        updated_at = notifications.at_of($4)
    where e.id = held.id;
    perform notifications.lock_lines(held.id);
    update notifications.delivery d set state = 'pending', due = now(), attempts = 0, refusals = 0, last_error = null
    where d.endpoint_id = held.id and d.state = 'dead' and d.last_error = 'endpoint-gone';
    if held.ordering <> 'none' then
        perform notifications.line_up(held.id);
    end if;
end $$;

create or replace function notifications.revive_endpoint(endpoint_id text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    revived bigint;
    ordering text;
begin
    update notifications.endpoint e set status = 'active', version = e.version + 1, updated_at = now()
    where e.id = revive_endpoint.endpoint_id and e.status <> 'deleted' returning e.ordering into ordering;
    if not found then
        raise exception 'there is no endpoint %', revive_endpoint.endpoint_id using errcode = 'no_data_found';
    end if;
    perform notifications.lock_lines(revive_endpoint.endpoint_id);
    update notifications.delivery d set state = 'pending', due = now(), attempts = 0, refusals = 0
    where d.endpoint_id = revive_endpoint.endpoint_id and d.state = 'dead';
    get diagnostics revived = row_count;
    if ordering <> 'none' then
        perform notifications.line_up(revive_endpoint.endpoint_id);
    end if;
    return revived;
end $$;

-- Due now, with a fresh schedule. What has ended is sent once more out of line, whatever is owed; what is first in its
-- line stays there; what waits goes on waiting, because what it waits for has to come first.
create or replace function notifications.delivery_replayed(merchant_id text, request_id text, at timestamptz,
    arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    owner text;
    status text;
begin
    -- Endpoints before deliveries, as everywhere.
    select e.id, e.status into owner, status from notifications.endpoint e
    where e.merchant_id = $1
      and e.id = (select d.endpoint_id from notifications.delivery d where d.id = $4 ->> 'delivery_id') for share;
    if not found then
        raise exception 'there is no such delivery' using errcode = 'CM404';
    elsif status <> 'active' then
        raise exception 'the endpoint is %: nothing is delivered there', status using errcode = 'CM409';
    end if;
    -- The claim is raised: of an attempt that is still under way only an acknowledgement counts.
    update notifications.delivery d
    set state = 'pending', due = least(now(), notifications.at_of($4)), attempts = 0, refusals = 0,
        delivered_at = null, claim = d.claim + 1, in_line = d.in_line and d.state = 'pending'
    where d.id = $4 ->> 'delivery_id' and d.state <> 'waiting';
end $$;
