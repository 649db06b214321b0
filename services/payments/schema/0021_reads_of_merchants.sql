-- The functions that merchants' reads go through, owned by merchant_reader: see gateway/schema/0007.

-- What is shown of an event's details. Who of our people decided and why, by which rule a payment was suspected, and
-- what we tell our operators is not the merchant's to know: it would teach a thief what to avoid.
create function payments.shown_details(type text, details jsonb) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select details - '{rule_pack,reasons}'::text[]
           -- Shown is only what looks like a merchant's key: forgetting a kind of event would show nobody.
           - case when details ->> 'by' ~ '^[A-Za-z0-9_-]{43}$' then '' else 'by' end
           - case when type = 'refund.requested' then '' else 'reason' end
$$;

-- What is shown changes with the sequence and not without it: it is what the entity tag says. Hence `submitted` for
-- an attempt that is on its way: whether its bytes left already is no event.
create view payments.attempt_shown with (security_invoker = true) as
    select a.attempt_id as id, a.payment_id, a.subject_id, a.operation, a.number, a.bank, a.amount_minor,
           case when a.state in ('intent', 'sending') then 'submitted' else a.state end as state, a.decline_code,
           a.created_at, a.updated_at
    from payments.attempt a;

create view payments.payment_shown with (security_invoker = true) as
    select p.payment_id as id, p.merchant_id, p.kind, p.capture_method, p.status, p.sequence, p.amount_minor,
           p.currency, p.instrument, p.merchant_reference, p.decline_code, p.captured_minor, p.refunded_minor,
           p.refund_reserved_minor, p.disputed_minor, p.accepted_at, p.updated_at, p.expires_at,
           (select r.key_id from evidence.record r where r.kind = 'payment'
             -- The collation of the record's index, which without it would not serve.
             and r.subject = p.payment_id collate "default") as key_id,
           (select e.type from payments.event e
            where e.payment_id = p.payment_id
              and e.type in ('payment.review_opened', 'payment.review_approved', 'payment.review_rejected')
            order by e.sequence desc limit 1) as review_event,
           a.id as attempt_id, a.operation as attempt_operation, a.bank as attempt_bank, a.state as attempt_state,
           a.amount_minor as attempt_amount_minor
    from payments.payment p
    left join lateral (
        select * from payments.attempt_shown t
        where t.payment_id = p.payment_id and t.subject_id = p.payment_id
        order by t.created_at desc, t.number desc limit 1) a on true;

create view payments.refund_shown with (security_invoker = true) as
    select r.refund_id as id, r.merchant_id, r.payment_id, r.origin, r.amount_minor, p.currency, r.status,
           -- Words of the merchant's own; what our people wrote is theirs.
           case when r.origin = 'user' then r.reason end as reason, r.decline_code, r.asked_at as created_at,
           (select max(e.at) from payments.event e
            where e.payment_id = r.payment_id and e.subject_id = r.refund_id) as updated_at
    from payments.refund r join payments.payment p on p.payment_id = r.payment_id;

create view payments.dispute_shown with (security_invoker = true) as
    select d.dispute_id as id, d.merchant_id, d.payment_id, d.amount_minor, p.currency, d.status,
           d.due as respond_by, d.opened_at as created_at,
           (select max(e.at) from payments.event e
            where e.payment_id = d.payment_id and e.subject_id = d.dispute_id) as updated_at
    from payments.dispute d join payments.payment p on p.payment_id = d.payment_id;
grant select on payments.attempt_shown, payments.payment_shown, payments.refund_shown, payments.dispute_shown
    to merchant_reader;

drop function payments.find_payment(text, text), payments.events_of(text, text), payments.accounts_of(text);

create function payments.find_payment(merchant_id text, payment_id text) returns setof payments.payment_shown
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('countermark.merchant_id', $1, true);
    return query select * from payments.payment_shown s where s.id = $2 and s.merchant_id = $1;
end $$;

-- The story of a payment, in order.
create function payments.events_of(merchant_id text, payment_id text)
returns table (sequence int, type text, at timestamptz, subject_id text, decline_code text, details jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('countermark.merchant_id', $1, true);
    return query
    select e.sequence, e.type, e.at, e.subject_id, e.decline_code, payments.shown_details(e.type, e.details)
    from payments.payment p join payments.event e on e.payment_id = p.payment_id
    where p.payment_id = $2 and p.merchant_id = $1 order by e.sequence;
end $$;

-- What was tried at banks, of the payment and of its refunds, oldest first.
create function payments.attempts_of(merchant_id text, payment_id text) returns setof payments.attempt_shown
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('countermark.merchant_id', $1, true);
    return query
    select a.* from payments.payment p join payments.attempt_shown a on a.payment_id = p.payment_id
    where p.payment_id = $2 and p.merchant_id = $1 order by a.created_at, a.number;
end $$;

create function payments.accounts_of(merchant_id text) returns table (account_id text, currency text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('countermark.merchant_id', $1, true);
    return query
    select a.account_id, a.currency from payments.account a where a.merchant_id = $1 order by a.currency;
end $$;

-- All accounts with their balances, or one.
create function payments.balances_of(merchant_id text, account_id text)
returns table (id text, currency text, posted_minor bigint, held_minor bigint, unposted_minor bigint,
    version bigint, opened_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('countermark.merchant_id', $1, true);
    return query
    select a.account_id, a.currency, a.posted_minor, a.held_minor, a.unposted_minor, a.version, a.opened_at
    from payments.account a
    where a.merchant_id = $1 and ($2 is null or a.account_id = $2) order by a.currency;
end $$;

-- Lists: up to `rows_max` newest first, after an item; or, before an item, oldest first from it. The item is one of
-- the merchant's own, or CM404. Statements are made here, so that each has the plan of what it asks for.
create function payments.list_payments(merchant_id text, of_reference text, of_status text, since timestamptz,
    until timestamptz, after_id text, before_id text, rows_max int) returns setof payments.payment_shown
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    mark constant text := coalesce(after_id, before_id);
    mark_at timestamptz := 'infinity';
    source text;
begin
    perform set_config('countermark.merchant_id', merchant_id, true);
    if mark is not null then
        select p.accepted_at into mark_at from payments.payment p
        where p.payment_id = mark and p.merchant_id = list_payments.merchant_id;
        if not found then
            raise exception 'there is no such payment to begin at' using errcode = 'CM404';
        end if;
    end if;
    source := case
        when of_reference is not null then
            'select f.at, f.payment_id from payments.feed f join payments.payment p on p.payment_id = f.payment_id
             where f.merchant_id = $1 and f.merchant_reference = $2 and ($3 is null or p.status = $3)'
        when of_status is not null then
            'select p.accepted_at as at, p.payment_id from payments.payment p
             where p.merchant_id = $1 and p.status = $3'
        else
            'select f.at, f.payment_id from payments.feed f
             where f.merchant_id = $1 and f.type = ''payment.accepted''' end;
    return query execute format(
        'select s.* from (select * from (%1$s) l where l.at between $4 and $5 and (l.at, l.payment_id) %2$s ($6, $7)
                          order by l.at %3$s, l.payment_id %3$s limit $8) l
         join payments.payment_shown s on s.id = l.payment_id order by l.at %3$s, l.payment_id %3$s',
        source, case when before_id is null then '<' else '>' end,
        case when before_id is null then 'desc' else 'asc' end)
    using merchant_id, of_reference, of_status, coalesce(since, '-infinity'), coalesce(until, 'infinity'), mark_at,
        coalesce(mark, ''), rows_max;
end $$;

create function payments.list_refunds(merchant_id text, of_id text, of_payment text, after_id text, before_id text,
    rows_max int) returns setof payments.refund_shown
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    mark constant text := coalesce(after_id, before_id);
    mark_at timestamptz := 'infinity';
begin
    perform set_config('countermark.merchant_id', merchant_id, true);
    if mark is not null then
        select r.asked_at into mark_at from payments.refund r
        where r.refund_id = mark and r.merchant_id = list_refunds.merchant_id;
        if not found then
            raise exception 'there is no such refund to begin at' using errcode = 'CM404';
        end if;
    end if;
    return query execute format(
        'select s.* from payments.refund_shown s
         where s.merchant_id = $1 and ($2 is null or s.id = $2) and ($3 is null or s.payment_id = $3)
           and (s.created_at, s.id) %1$s ($4, $5)
         order by s.created_at %2$s, s.id %2$s limit $6',
        case when before_id is null then '<' else '>' end, case when before_id is null then 'desc' else 'asc' end)
    using merchant_id, of_id, of_payment, mark_at, coalesce(mark, ''), rows_max;
end $$;

create function payments.list_disputes(merchant_id text, of_id text, of_payment text, after_id text, before_id text,
    rows_max int) returns setof payments.dispute_shown
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
declare
    mark constant text := coalesce(after_id, before_id);
    mark_at timestamptz := 'infinity';
begin
    perform set_config('countermark.merchant_id', merchant_id, true);
    if mark is not null then
        select d.opened_at into mark_at from payments.dispute d
        where d.dispute_id = mark and d.merchant_id = list_disputes.merchant_id;
        if not found then
            raise exception 'there is no such dispute to begin at' using errcode = 'CM404';
        end if;
    end if;
    return query execute format(
        'select s.* from payments.dispute_shown s
         where s.merchant_id = $1 and ($2 is null or s.id = $2) and ($3 is null or s.payment_id = $3)
           and (s.created_at, s.id) %1$s ($4, $5)
         order by s.created_at %2$s, s.id %2$s limit $6',
        case when before_id is null then '<' else '>' end, case when before_id is null then 'desc' else 'asc' end)
    using merchant_id, of_id, of_payment, mark_at, coalesce(mark, ''), rows_max;
end $$;

-- Events of all payments, no older than `age_max`; an item is named by payment and sequence. Of every type there is,
-- the first rows are read, and merged: types are found one after the other in the index, so that none is forgotten.
create function payments.list_events(merchant_id text, of_type text, age_max interval, mark_payment text,
    mark_sequence int, backwards boolean, rows_max int)
returns table (payment_id text, sequence int, type text, at timestamptz, subject_id text, decline_code text,
    details jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
as $$
#variable_conflict use_variable
declare
    mark_at timestamptz := 'infinity';
begin
    perform set_config('countermark.merchant_id', merchant_id, true);
    if mark_payment is not null then
        select e.at into mark_at from payments.event e
        where e.payment_id = mark_payment and e.sequence = mark_sequence;
        if not found then
            raise exception 'there is no such event to begin at' using errcode = 'CM404';
        end if;
    end if;
    return query execute format(
        'with recursive kind (type) as (
             (select f.type from payments.feed f where f.merchant_id = $1 order by f.type limit 1)
             union all
             select (select f.type from payments.feed f where f.merchant_id = $1 and f.type > k.type
                     order by f.type limit 1) from kind k where k.type is not null
         ), wanted (type) as (
             select $2 where $2 is not null union all select k.type from kind k where $2 is null and k.type is not null
         ), found as (
             select f.* from wanted w cross join lateral (
                 select f.at, f.payment_id, f.sequence from payments.feed f
                 where f.merchant_id = $1 and f.type = w.type and f.at >= now() - $3
                   and (f.at, f.payment_id, f.sequence) %1$s ($4, $5, $6)
                 order by f.at %2$s, f.payment_id %2$s, f.sequence %2$s limit $7) f
             order by f.at %2$s, f.payment_id %2$s, f.sequence %2$s limit $7
         )
         select e.payment_id, e.sequence, e.type, e.at, e.subject_id, e.decline_code,
                payments.shown_details(e.type, e.details)
         from found f join payments.event e on e.payment_id = f.payment_id and e.sequence = f.sequence
         order by f.at %2$s, f.payment_id %2$s, f.sequence %2$s',
        case when backwards then '>' else '<' end, case when backwards then 'asc' else 'desc' end)
    using merchant_id, of_type, age_max, mark_at, coalesce(mark_payment, ''), coalesce(mark_sequence, 0), rows_max;
end $$;

create function payments.find_event(merchant_id text, of_payment text, of_sequence int, age_max interval)
returns table (payment_id text, sequence int, type text, at timestamptz, subject_id text, decline_code text,
    details jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('countermark.merchant_id', $1, true);
    return query
    select e.payment_id, e.sequence, e.type, e.at, e.subject_id, e.decline_code,
           payments.shown_details(e.type, e.details)
    from payments.payment p join payments.event e on e.payment_id = p.payment_id
    where p.payment_id = $2 and p.merchant_id = $1 and e.sequence = $3 and e.at >= now() - $4;
end $$;

-- Which of these payments rest: ended, or wait for their merchant. Asked for everybody who waits at once, hence not
-- under the policies; it names no payment that the asker did not name with its merchant, and tells nothing else.
create function payments.resting(merchant_ids text[], payment_ids text[]) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select p.payment_id
    from unnest(merchant_ids, payment_ids) as g (merchant_id, payment_id)
    join payments.payment p on p.payment_id = g.payment_id and p.merchant_id = g.merchant_id
    where p.status in ('succeeded', 'failed', 'canceled', 'expired')
       or (p.status = 'authorized' and p.capture_method = 'manual')
$$;

revoke execute on all functions in schema payments from public;
grant execute on function payments.shown_details(text, jsonb) to merchant_reader;
grant execute on function
    payments.find_payment(text, text), payments.events_of(text, text), payments.attempts_of(text, text),
    payments.accounts_of(text), payments.balances_of(text, text),
    payments.list_payments(text, text, text, timestamptz, timestamptz, text, text, int),
    payments.list_refunds(text, text, text, text, text, int),
    payments.list_disputes(text, text, text, text, text, int),
    payments.list_events(text, text, interval, text, int, boolean, int),
    payments.find_event(text, text, int, interval), payments.resting(text[], text[])
    to gateway;

-- Who is given a function must be able to make one in its schema; for the length of this file.
grant create on schema payments to merchant_reader;
alter function payments.find_payment(text, text) owner to merchant_reader;
alter function payments.events_of(text, text) owner to merchant_reader;
alter function payments.attempts_of(text, text) owner to merchant_reader;
alter function payments.accounts_of(text) owner to merchant_reader;
alter function payments.balances_of(text, text) owner to merchant_reader;
alter function payments.list_payments(text, text, text, timestamptz, timestamptz, text, text, int)
    owner to merchant_reader;
alter function payments.list_refunds(text, text, text, text, text, int) owner to merchant_reader;
alter function payments.list_disputes(text, text, text, text, text, int) owner to merchant_reader;
alter function payments.list_events(text, text, interval, text, int, boolean, int) owner to merchant_reader;
alter function payments.find_event(text, text, int, interval) owner to merchant_reader;
revoke create on schema payments from merchant_reader;
