-- What merchants do with their endpoints: effects of commands. Each holds the endpoint's row; one whose answer was made
-- for another version of it ends as a serialisation failure, so that the same request is carried out afresh. Every
-- arguments have `at`, the time that stands in the answer.

-- More endpoints would be one merchant's fan-out at everybody's cost; other gateways give 16 or fewer.
create function notifications.endpoints_max() returns int
language sql immutable set search_path = pg_catalog, pg_temp as $$ select 16 $$;
-- Two rotations within one overlap are somebody's mistake; each secret is one more signature on each delivery.
create function notifications.secrets_max() returns int
language sql immutable set search_path = pg_catalog, pg_temp as $$ select 4 $$;
-- A test is for who watches it arrive; more of them at once would be a flood that we send for somebody else.
create function notifications.tests_max() returns int
language sql immutable set search_path = pg_catalog, pg_temp as $$ select 5 $$;

create function notifications.hold_endpoint(of_merchant text, of_id text, of_version int)
returns notifications.endpoint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    held notifications.endpoint;
begin
    select e.* into held from notifications.endpoint e
    where e.id = of_id and e.merchant_id = of_merchant and e.status <> 'deleted' for update;
    if not found then
        raise exception 'there is no such webhook endpoint' using errcode = 'CM404';
    elsif held.version <> of_version then
        raise exception 'the endpoint was changed meanwhile' using errcode = 'serialization_failure';
    end if;
    return held;
end $$;

create function notifications.at_of(arguments json) returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$ select (arguments ->> 'at')::timestamptz $$;

create function notifications.types_of(arguments json) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select array_agg(value order by value) from json_array_elements_text(arguments -> 'events')
$$;

-- Arguments: endpoint_id, url, description, events; sealed and fingerprint in hexadecimal, or null without a secret.
create function notifications.endpoint_created(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('notifications.endpoint/' || $1, 0));
    if (select count(*) from notifications.endpoint e where e.merchant_id = $1 and e.status <> 'deleted')
            >= notifications.endpoints_max() then
        raise exception 'there are % endpoints, and no more are kept: delete one', notifications.endpoints_max()
            using errcode = 'CM409';
    end if;
    insert into notifications.endpoint (id, merchant_id, url, description, events, added_at, updated_at)
    values ($4 ->> 'endpoint_id', $1, $4 ->> 'url', $4 ->> 'description', notifications.types_of($4),
            notifications.at_of($4), notifications.at_of($4));
    if $4 ->> 'sealed' is not null then
        insert into notifications.endpoint_secret (endpoint_id, generation, sealed, fingerprint, created_at)
        values ($4 ->> 'endpoint_id', 1, decode($4 ->> 'sealed', 'hex'), decode($4 ->> 'fingerprint', 'hex'),
                notifications.at_of($4));
    end if;
end $$;

-- Arguments: endpoint_id, version; url, description, events as they are from now on.
create function notifications.endpoint_changed(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform notifications.hold_endpoint($1, $4 ->> 'endpoint_id', ($4 ->> 'version')::int);
    update notifications.endpoint e
    set url = $4 ->> 'url', description = $4 ->> 'description', events = notifications.types_of($4),
        version = e.version + 1, updated_at = notifications.at_of($4)
    where e.id = $4 ->> 'endpoint_id';
end $$;

-- Arguments: endpoint_id, version. What is owed to it is owed no more; its secrets are gone.
create function notifications.endpoint_deleted(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    perform notifications.hold_endpoint($1, $4 ->> 'endpoint_id', ($4 ->> 'version')::int);
    update notifications.endpoint e set status = 'deleted', version = e.version + 1,
        updated_at = notifications.at_of($4)
    where e.id = $4 ->> 'endpoint_id';
    delete from notifications.endpoint_secret s where s.endpoint_id = $4 ->> 'endpoint_id';
    update notifications.delivery d set state = 'dead', due = null, last_error = 'endpoint-deleted'
    where d.endpoint_id = $4 ->> 'endpoint_id' and d.state = 'pending';
end $$;

-- Arguments: endpoint_id, version. What it missed while it was disabled becomes due.
create function notifications.endpoint_enabled(merchant_id text, request_id text, at timestamptz, arguments json)
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
    update notifications.delivery d set state = 'pending', due = now(), attempts = 0, refusals = 0, last_error = null
    where d.endpoint_id = held.id and d.state = 'dead' and d.last_error = 'endpoint-gone';
end $$;

-- Arguments: endpoint_id, version, generation, sealed, fingerprint, overlap_s: how long the one of before stays good.
create function notifications.endpoint_secret_rotated(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    held constant notifications.endpoint :=
        notifications.hold_endpoint($1, $4 ->> 'endpoint_id', ($4 ->> 'version')::int);
begin
    delete from notifications.endpoint_secret s where s.endpoint_id = held.id and s.expires_at <= notifications.at_of($4);
    update notifications.endpoint_secret s
    set expires_at = notifications.at_of($4) + ($4 ->> 'overlap_s')::int * interval '1 second'
    where s.endpoint_id = held.id and s.expires_at is null;
    delete from notifications.endpoint_secret s where s.endpoint_id = held.id and s.expires_at <= notifications.at_of($4);
    if (select count(*) from notifications.endpoint_secret s where s.endpoint_id = held.id)
            >= notifications.secrets_max() then
        raise exception '% secrets are good at once: wait until one ends, or rotate without an overlap',
            notifications.secrets_max() using errcode = 'CM409';
    end if;
    insert into notifications.endpoint_secret (endpoint_id, generation, sealed, fingerprint, created_at)
    values (held.id, ($4 ->> 'generation')::int, decode($4 ->> 'sealed', 'hex'), decode($4 ->> 'fingerprint', 'hex'),
            notifications.at_of($4));
    update notifications.endpoint e set version = e.version + 1, updated_at = notifications.at_of($4) where e.id = held.id;
end $$;

-- Arguments: endpoint_id, version, sequence, event_id, body in hexadecimal.
create function notifications.endpoint_tested(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    held constant notifications.endpoint :=
        notifications.hold_endpoint($1, $4 ->> 'endpoint_id', ($4 ->> 'version')::int);
begin
    if held.status <> 'active' then
        raise exception 'the endpoint is %: enable it first', held.status using errcode = 'CM409';
    elsif (select count(*) from notifications.delivery d
           where d.endpoint_id = held.id and d.test and d.state = 'pending') >= notifications.tests_max() then
        raise exception '% test events wait for an answer of the endpoint: let them arrive first',
            notifications.tests_max() using errcode = 'CM409';
    elsif held.tests + 1 <> ($4 ->> 'sequence')::int then
        raise exception 'another test was made meanwhile' using errcode = 'serialization_failure';
    end if;
    update notifications.endpoint e set tests = e.tests + 1 where e.id = held.id;
    insert into notifications.delivery (endpoint_id, payment_id, sequence, event_id, body, due, added_at)
    values (held.id, held.id, held.tests + 1, $4 ->> 'event_id', decode($4 ->> 'body', 'hex'),
            notifications.at_of($4), notifications.at_of($4));
end $$;

-- Arguments: delivery_id. Due now, with a fresh schedule, whatever came of it before.
create function notifications.delivery_replayed(merchant_id text, request_id text, at timestamptz, arguments json)
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
        delivered_at = null, claim = d.claim + 1
    where d.id = $4 ->> 'delivery_id';
end $$;

revoke execute on all functions in schema notifications from public;

insert into commands.effect (name, function) values
    ('endpoint_created', 'notifications.endpoint_created'), ('endpoint_changed', 'notifications.endpoint_changed'),
    ('endpoint_deleted', 'notifications.endpoint_deleted'), ('endpoint_enabled', 'notifications.endpoint_enabled'),
    ('endpoint_secret_rotated', 'notifications.endpoint_secret_rotated'),
    ('endpoint_tested', 'notifications.endpoint_tested'), ('delivery_replayed', 'notifications.delivery_replayed');
