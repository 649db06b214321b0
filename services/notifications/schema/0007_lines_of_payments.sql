-- Whoever asks for it (ordering = 'per_payment') is told of a payment in order: of its deliveries that are in line only
-- the first is pending, and the others wait until it was acknowledged or given up. What waits is in another state, so
-- that no claim comes across it: claiming costs the same however much waits.
--
-- One lock for each endpoint, held to the end of the transaction, puts changes of its lines one after another. Who holds
-- it waits for no delivery that somebody else has locked, except to line all of them up; who needs both takes it first.

alter table notifications.endpoint
    add column ordering text not null default 'none' check (ordering in ('none', 'per_payment'));
alter table notifications.delivery
    drop constraint delivery_state_check,
    add constraint delivery_state_check check (state in ('pending', 'waiting', 'delivered', 'dead')),
    -- Whether it waits for the payment's earlier ones in line, and the later ones for it. A replay of what has ended is
    -- in no line: it is sent at once, and nobody waits for it. Nor is a test event.
    add column in_line boolean not null default false,
    add constraint waiting_in_line check (state <> 'waiting' or in_line);
create index delivery_waiting on notifications.delivery (endpoint_id, payment_id, sequence) where state = 'waiting';

-- Events that an endpoint with lines did not ask for: they are not missing.
create table notifications.passed_over (
    endpoint_id text not null references notifications.endpoint,
    payment_id  text not null,
    sequence    int  not null check (sequence > 0),
    primary key (endpoint_id, payment_id, sequence)
);

-- Two processes may store two events of a payment in the wrong order. So one whose predecessor was never heard of is
-- due after this: longer than the bus takes to bring again what a process took and died with (ACK_WAIT_S, 8 s). It is
-- also what the first event costs of a payment that is older than the endpoint or than its lines.
create function notifications.patience() returns interval
language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '15 seconds' $$;

create function notifications.lock_lines(of_endpoint text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select pg_advisory_xact_lock(hashtextextended('notifications.line/' || of_endpoint, 0))
$$;

-- Let the first in a payment's line go, and keep what overtook it by patience and was not begun yet. What somebody else
-- has locked is being claimed, or it ends, and whoever ends it comes here afterwards.
create function notifications.advance_line() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    head record;
    is_next boolean;
begin
    perform notifications.lock_lines(new.endpoint_id);
    select d.id, d.sequence, d.state, d.claim into head from notifications.delivery d
    where d.endpoint_id = new.endpoint_id and d.payment_id = new.payment_id
      and d.in_line and d.state in ('pending', 'waiting')
    order by d.sequence limit 1;
    if not found then
        return null;
    end if;
    update notifications.delivery d set state = 'waiting', due = null
    where d.id in (
        select o.id from notifications.delivery o
        where o.endpoint_id = new.endpoint_id and o.payment_id = new.payment_id and o.sequence > head.sequence
          and o.in_line and o.state = 'pending' and o.claim = 0
        for update skip locked);
    if head.state = 'pending' and head.claim > 0 then
        return null;
    end if;
    is_next := head.sequence = 1
        or exists (select from notifications.delivery d where d.endpoint_id = new.endpoint_id
                   and d.payment_id = new.payment_id and d.sequence = head.sequence - 1)
        or exists (select from notifications.passed_over p where p.endpoint_id = new.endpoint_id
                   and p.payment_id = new.payment_id and p.sequence = head.sequence - 1);
    update notifications.delivery d
    set state = 'pending',
        due = case when is_next then now() else coalesce(d.due, now() + notifications.patience()) end
    where d.id = (
        select o.id from notifications.delivery o
        where o.id = head.id and o.in_line
          and (o.state = 'waiting' or o.state = 'pending' and o.claim = 0 and is_next and o.due > now())
        for update skip locked);
    return null;
end $$;
create trigger first_in_line after insert on notifications.delivery
    for each row when (new.state = 'waiting') execute function notifications.advance_line();
create trigger next_in_line after update of state on notifications.delivery
    for each row when (new.in_line and old.state in ('pending', 'waiting') and new.state in ('delivered', 'dead'))
    execute function notifications.advance_line();
create trigger nothing_missing after insert on notifications.passed_over
    for each row execute function notifications.advance_line();

-- Put everything that is owed to an endpoint in line, or in none, as its ordering says now. The caller holds the
-- endpoint, so that nothing is stored meanwhile. What is under way and should have waited stays under way: an
-- acknowledgement counts, and after a failure it waits.
create function notifications.line_up(of_endpoint text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    is_ordered constant boolean := (select e.ordering = 'per_payment' from notifications.endpoint e
                                    where e.id = of_endpoint);
begin
    perform notifications.lock_lines(of_endpoint);
    -- Locked before they are looked at: what ends meanwhile has ended.
    perform from notifications.delivery d
    where d.endpoint_id = of_endpoint and d.state in ('pending', 'waiting') and not d.test
    order by d.endpoint_id, d.payment_id, d.sequence for update;
    update notifications.delivery d
    set state = case when not is_ordered or owed.place = 1 then 'pending' else 'waiting' end,
        due = case when not is_ordered or owed.place = 1 then coalesce(d.due, now()) end,
        in_line = is_ordered
    from (select o.id, row_number() over (partition by o.payment_id order by o.sequence) as place
          from notifications.delivery o
          where o.endpoint_id = of_endpoint and o.state in ('pending', 'waiting') and not o.test) owed
    where d.id = owed.id;
end $$;

-- Whoever asks for a delivery once more wants an answer now, also when it is still pending. What comes to be the first
-- in its line is nobody's wish.
drop trigger probe_for_a_replay on notifications.delivery;
create trigger probe_for_a_replay after update of state on notifications.delivery
    for each row when (new.state = 'pending' and (old.state in ('delivered', 'dead') or new.attempts < old.attempts))
    execute function notifications.probe_breaker();

alter table notifications.passed_over enable row level security;
create policy of_service on notifications.passed_over for all to notifications using (true) with check (true);
revoke all on notifications.passed_over from public;
grant select, insert on notifications.passed_over to notifications;
grant update (in_line) on notifications.delivery to notifications;
revoke execute on function notifications.patience(), notifications.lock_lines(text), notifications.advance_line(),
    notifications.line_up(text) from public;
grant execute on function notifications.lock_lines(text) to notifications;
