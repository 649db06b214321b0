-- Webhook endpoints, what is owed to each of them, and every attempt that was made.
-- Owner: the role that migrates. The role `notifications` runs the service; `operator` calls functions alone.

create schema notifications;
revoke all on schema notifications from public;

create table notifications.endpoint (
    id          text        primary key check (id ~ '^[A-Za-z0-9_-]{1,64}$'),
    merchant_id text        not null check (merchant_id ~ '^[A-Za-z0-9_-]{1,128}$'),
    -- The whole form is checked by the sender before each attempt; this stops the worst from being stored.
    url         text        not null check (url ~ '^https://[!-~]+$' and length(url) <= 2048),
    status      text        not null default 'active' check (status in ('active', 'disabled')),
    added_at    timestamptz not null default now()
);
create index endpoint_merchant on notifications.endpoint (merchant_id);

create table notifications.delivery (
    endpoint_id  text        not null references notifications.endpoint,
    payment_id   text        not null,
    sequence     integer     not null check (sequence > 0),
    event_id     text        not null,
    body         bytea       not null check (octet_length(body) between 2 and 20000),
    state        text        not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
    -- The reminder. A claim pushes it past its own end: whoever dies leaves a delivery that comes back by itself.
    due          timestamptz default now(),
    -- Raised by each claim; the result of an older claim does not overwrite that of a newer one.
    claim        bigint      not null default 0,
    attempts     integer     not null default 0,
    refusals     integer     not null default 0,
    last_status  integer,
    last_error   text,
    added_at     timestamptz not null default now(),
    delivered_at timestamptz,
    -- The deduplication: the bus delivers at least once, and a wiped bus everything again.
    primary key (endpoint_id, payment_id, sequence),
    check ((state = 'pending') = (due is not null)),
    check ((state = 'delivered') = (delivered_at is not null))
);
-- One probe finds an endpoint's next delivery, one more the next endpoint that has any.
create index delivery_due on notifications.delivery (endpoint_id, due) where state = 'pending';

create table notifications.delivery_attempt (
    endpoint_id text        not null,
    payment_id  text        not null,
    sequence    integer     not null,
    claim       bigint      not null,
    at          timestamptz not null default now(),
    duration_ms integer     not null check (duration_ms >= 0),
    status      integer,
    error       text,
    verdict     text        not null check (verdict in ('delivered', 'retry', 'dead', 'gone')),
    check ((status is null) <> (error is null)),
    primary key (endpoint_id, payment_id, sequence, claim)
);

-- Append-only for everybody, the owner included.
create function notifications.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'the log of attempts is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger delivery_attempt_append_only before update or delete or truncate
    on notifications.delivery_attempt for each statement execute function notifications.refuse_change();

-- Register an endpoint. Calling it again with the same words changes nothing; with others it is refused.
create function notifications.add_endpoint(endpoint_id text, merchant_id text, url text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into notifications.endpoint as e (id, merchant_id, url)
    values (add_endpoint.endpoint_id, add_endpoint.merchant_id, add_endpoint.url)
    on conflict (id) do nothing;
    if not exists (
        select from notifications.endpoint e
        where e.id = add_endpoint.endpoint_id
          and e.merchant_id = add_endpoint.merchant_id and e.url = add_endpoint.url
    ) then
        raise exception 'endpoint % exists and is another one', add_endpoint.endpoint_id
            using errcode = 'unique_violation';
    end if;
end $$;

-- Make an endpoint active again and give what was given up for it a fresh schedule; returns how many.
create function notifications.revive_endpoint(endpoint_id text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    revived bigint;
begin
    update notifications.endpoint e set status = 'active' where e.id = revive_endpoint.endpoint_id;
    if not found then
        raise exception 'there is no endpoint %', revive_endpoint.endpoint_id using errcode = 'no_data_found';
    end if;
    update notifications.delivery d set state = 'pending', due = now(), attempts = 0, refusals = 0
    where d.endpoint_id = revive_endpoint.endpoint_id and d.state = 'dead';
    get diagnostics revived = row_count;
    return revived;
end $$;

-- What happened to one payment's webhooks, for whoever answers the merchant's question.
create function notifications.deliveries_of(merchant_id text, payment_id text)
returns table (endpoint_id text, sequence integer, event_id text, state text, attempts integer,
               last_status integer, last_error text, due timestamptz, delivered_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select d.endpoint_id, d.sequence, d.event_id, d.state, d.attempts,
           d.last_status, d.last_error, d.due, d.delivered_at
    from notifications.delivery d join notifications.endpoint e on e.id = d.endpoint_id
    where d.payment_id = deliveries_of.payment_id and e.merchant_id = deliveries_of.merchant_id
    order by d.endpoint_id, d.sequence
$$;

revoke all on all tables in schema notifications from public;
revoke all on all functions in schema notifications from public;

grant usage on schema notifications to notifications, operator;
grant select on notifications.endpoint to notifications;
grant update (status) on notifications.endpoint to notifications;
grant select, insert on notifications.delivery to notifications;
grant update (state, due, claim, attempts, refusals, last_status, last_error, delivered_at)
    on notifications.delivery to notifications;
grant select, insert on notifications.delivery_attempt to notifications;
grant execute on function notifications.add_endpoint(text, text, text) to operator;
grant execute on function notifications.revive_endpoint(text) to operator;
grant execute on function notifications.deliveries_of(text, text) to operator;
