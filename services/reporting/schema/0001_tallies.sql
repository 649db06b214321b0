-- How much of what happened, by the hour. Nothing here is about anybody, and the role that writes it may read no other
-- schema. Owner: the role that migrates. `reporting` runs the service; `operator` calls the function alone.

create schema reporting;
revoke all on schema reporting from public;

-- Which rows of the outbox were counted: the bus brings them at least once. Forgotten after 31 days.
create table reporting.counted (
    xid      xid8        not null,
    position bigint      not null,
    hour     timestamptz not null,
    primary key (xid, position)
);
create index counted_hour on reporting.counted (hour);

create table reporting.tally (
    hour         timestamptz not null,
    type         text        not null check (type ~ '^[a-z_]{1,64}[.][a-z_]{1,64}$'),
    kind         text        not null check (kind ~ '^[a-z_]{1,32}$'),
    currency     text        not null check (currency ~ '^[A-Z]{3}$'),
    -- Binary digits of the amount in minor units: 11 stands for 1,024 to 2,047.
    band         smallint    not null check (band between 1 and 63),
    -- Empty if it is no decline.
    decline_code text        not null check (decline_code ~ '^[a-z_0-9]{0,64}$'),
    facts        bigint      not null check (facts > 0),
    primary key (hour, type, kind, currency, band, decline_code),
    check (hour = date_trunc('hour', hour, 'UTC'))
);

-- Figures by day, of whole days in UTC that have ended: two looks that differ by an hour would tell of what is between
-- them. A group with fewer facts than this is not shown by itself: its facts are in a row without a type, so that sums
-- hold. Ten, as statistics offices have it, is the least; a reader may ask for more.
create function reporting.figures(since timestamptz, until timestamptz, group_min int default 10)
returns table (day date, type text, kind text, currency text, decline_code text, facts bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with grouped as (
        select (t.hour at time zone 'UTC')::date as day, t.type, t.kind, t.currency, t.decline_code,
               sum(t.facts)::bigint as facts
        from reporting.tally t
        where t.hour >= date_trunc('day', since, 'UTC')
          and t.hour < least(date_trunc('day', until, 'UTC'), date_trunc('day', now(), 'UTC'))
        group by 1, 2, 3, 4, 5
    )
    select g.day, g.type, g.kind, g.currency, g.decline_code, g.facts
    from grouped g where g.facts >= greatest(group_min, 10)
    union all
    select g.day, null, null, null, null, sum(g.facts)::bigint
    from grouped g where g.facts < greatest(group_min, 10) group by g.day
    order by 1, 2 nulls last, 3, 4, 5
$$;

revoke all on all tables in schema reporting from public;
revoke all on all functions in schema reporting from public;
grant usage on schema reporting to reporting, operator;
grant select, insert, delete on reporting.counted to reporting;
grant select, insert, update (facts) on reporting.tally to reporting;
grant execute on function reporting.figures(timestamptz, timestamptz, int) to operator;
