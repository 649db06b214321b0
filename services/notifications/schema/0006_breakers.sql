-- A breaker for each endpoint that fails: after ten failures in a row nothing is sent to it for a while, then one
-- delivery alone, until one arrives. A row is there from the first failure to the next success; most endpoints have none.

create table notifications.breaker (
    endpoint_id   text        primary key references notifications.endpoint,
    failures      int         not null check (failures > 0),
    failing_since timestamptz not null default now(),
    -- How often it opened; while this is 0 it is closed.
    openings      int         not null default 0 check (openings >= 0),
    -- Nothing is claimed before this; while a probe is under way, the end of its lease.
    open_until    timestamptz,
    probing       boolean     not null default false,
    check ((openings > 0) = (open_until is not null)),
    check (openings > 0 or not probing)
);

-- Whoever enables an endpoint, or gives it another URL, wants it tried at once.
create function notifications.forget_breaker() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from notifications.breaker b where b.endpoint_id = new.id;
    return null;
end $$;
create trigger forget_breaker after update of status, url on notifications.endpoint
    for each row when (new.status <> old.status or new.url <> old.url)
    execute function notifications.forget_breaker();

-- Whoever asks for a test event, or for a delivery once more, wants an answer now: it is the next probe.
create function notifications.probe_breaker() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update notifications.breaker b set open_until = now()
    where b.endpoint_id = new.endpoint_id and b.openings > 0 and not b.probing and b.open_until > now();
    return null;
end $$;
create trigger probe_for_a_test after insert on notifications.delivery
    for each row when (new.payment_id = new.endpoint_id) execute function notifications.probe_breaker();
create trigger probe_for_a_replay after update of state on notifications.delivery
    for each row when (old.state <> 'pending' and new.state = 'pending')
    execute function notifications.probe_breaker();

revoke all on notifications.breaker from public;
revoke execute on function notifications.forget_breaker(), notifications.probe_breaker() from public;
grant select, insert, update, delete on notifications.breaker to notifications;
