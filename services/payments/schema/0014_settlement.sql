-- Settlement files, line by line as the banks wrote them, and the breaks between them and the record.

create table payments.settlement_line (
    bank           text collate "C" not null,
    line           bigint not null check (line >= 1),
    attempt_id     text collate "C" not null,
    end_to_end_id  text collate "C" not null,
    movement       text not null check (movement in
                       ('collect', 'capture', 'payout', 'refund', 'bounced', 'returned', 'chargeback')),
    amount_minor   bigint not null check (amount_minor >= 0),
    fee_minor      bigint not null check (fee_minor >= 0),
    currency       text not null,
    bank_reference text not null,
    value_date     text not null,
    read_at        timestamptz not null default now(),
    primary key (bank, line)
);
create index settlement_line_attempt on payments.settlement_line (attempt_id);
create index settlement_line_taken_back on payments.settlement_line (end_to_end_id)
    where movement in ('returned', 'chargeback');
create trigger append_only before update or delete on payments.settlement_line
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.settlement_line
    for each statement execute function payments.refuse_change();

-- What does not agree. It stays when it is closed: by the engine, because line and record agree now, or by a person.
create table payments.settlement_break (
    break_id   bigint generated always as identity primary key,
    bank       text collate "C" not null,
    kind       text not null check (kind in
                   ('different', 'unknown_attempt', 'twice', 'late', 'open', 'untold', 'missing')),
    attempt_id text collate "C" not null,
    line       bigint,
    expected   text not null check (length(expected) <= 200),
    found      text not null check (length(found) <= 200),
    opened_at  timestamptz not null default now(),
    closed_at  timestamptz,
    closed_by  text,
    reason     text check (length(reason) between 1 and 200),
    constraint break_line check ((kind = 'missing') = (line is null)),
    constraint break_closed check ((closed_at is null) = (closed_by is null) and (closed_by is null) = (reason is null)),
    foreign key (bank, line) references payments.settlement_line
);
create unique index break_of_line on payments.settlement_break (bank, line) where line is not null;
create unique index break_missing on payments.settlement_break (attempt_id) where line is null;
create index break_open on payments.settlement_break (bank, break_id) where closed_at is null;

-- Up to when the attempts of a bank were looked through for lines that are missing, and those that had not ended then.
create table payments.settlement_search (
    bank     text collate "C" primary key,
    searched timestamptz not null
);
create table payments.settlement_awaited (
    attempt_id text collate "C" primary key references payments.attempt,
    bank       text collate "C" not null
);
-- Attempts are made in the order of time: a few pages are read for any stretch of it, and no update touches this.
create index attempt_created on payments.attempt using brin (created_at) with (pages_per_range = 16);

create function payments.settled_until(of_bank text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(max(line), 0) from payments.settlement_line where bank = of_bank
$$;

-- What is booked of the attempts that these lines name; `lines_before` and `taken_before_minor` are of lines that
-- are kept and come before each.
create function payments.booked_of(of_bank text, lines bigint[], attempt_ids text[], movements text[])
returns table (line bigint, attempt_id text, payment_id text, bank text, operation text, state text,
    decline_code text, amount_minor bigint, currency text, lines_before bigint, taken_back_minor bigint,
    taken_before_minor bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select g.line, a.attempt_id, a.payment_id, a.bank, a.operation, a.state, a.decline_code, a.amount_minor,
           p.currency,
           (select count(*) from payments.settlement_line l where l.attempt_id = a.attempt_id
              and l.movement = g.movement and l.bank = of_bank and l.line < g.line),
           case when g.movement in ('returned', 'chargeback') then
               coalesce((select sum(r.amount_minor) from payments.refund r where r.payment_id = a.payment_id
                           and r.origin = 'bank' and r.status = 'succeeded' and not exists (
                               select from payments.attempt t where t.subject_id = r.refund_id)), 0)::bigint
               + coalesce((select sum(d.amount_minor) from payments.dispute d where d.payment_id = a.payment_id
                             and d.status in ('lost', 'accepted')), 0)::bigint else 0 end,
           case when g.movement in ('returned', 'chargeback') then
               coalesce((select sum(l.amount_minor) from payments.settlement_line l
                         where l.end_to_end_id = a.payment_id and l.movement in ('returned', 'chargeback')
                           and (l.bank, l.line) < (of_bank, g.line)), 0)::bigint else 0 end
    from unnest(lines, attempt_ids, movements) as g (line, attempt_id, movement)
    join payments.attempt a on a.attempt_id = g.attempt_id
    join payments.payment p on p.payment_id = a.payment_id
$$;

-- The lines of open breaks, to be judged again: a callback may have come since, or a refund have ended.
create function payments.lines_in_break(of_bank text, lines_max int)
returns table (bank text, line bigint, attempt_id text, end_to_end_id text, movement text, amount_minor bigint,
    fee_minor bigint, currency text, bank_reference text, value_date text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select l.bank, l.line, l.attempt_id, l.end_to_end_id, l.movement, l.amount_minor, l.fee_minor, l.currency,
           l.bank_reference, l.value_date
    from payments.settlement_break b join payments.settlement_line l on l.bank = b.bank and l.line = b.line
    where b.bank = of_bank and b.closed_at is null order by b.break_id desc limit lines_max
$$;

-- Keep lines, open the breaks among them, tell payments what their bank has done, close the breaks that agree now.
-- A line that is kept already changes nothing, and neither does what was judged about it. Returns the new lines.
create function payments.keep_settlement(lines json, breaks json, mails json, agreed_bank text, agreed bigint[])
returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    kept bigint[];
begin
    with given as (
        select * from json_to_recordset(lines) as g (bank text, line bigint, attempt_id text, end_to_end_id text,
            movement text, amount_minor bigint, fee_minor bigint, currency text, bank_reference text, value_date text)
    ), put as (
        insert into payments.settlement_line as l (bank, line, attempt_id, end_to_end_id, movement, amount_minor,
            fee_minor, currency, bank_reference, value_date)
        select * from given order by bank, line on conflict (bank, line) do nothing returning l.line
    )
    select coalesce(array_agg(line), '{}') into kept from put;
    insert into payments.settlement_break (bank, kind, attempt_id, line, expected, found)
    select g.bank, g.kind, g.attempt_id, g.line, g.expected, g.found
    from json_to_recordset(breaks) as g (bank text, kind text, attempt_id text, line bigint, expected text, found text)
    where g.line = any (kept);
    -- The line's number is the mail's source: told once, however often the file is read.
    perform payments.put_mail(array_agg(g.payment_id), array_agg(g.body), array_agg(g.source),
                              array_agg(g.source_id))
    from json_to_recordset(mails) as g (payment_id text, body json, source text, source_id text, line bigint)
    where g.line = any (kept) having count(*) > 0;
    update payments.settlement_break b
    set closed_at = now(), closed_by = 'engine', reason = 'line and record agree now'
    where b.bank = agreed_bank and b.line = any (agreed) and b.closed_at is null;
    return cardinality(kept);
end $$;

-- Look for what is booked and in no file: attempts older than `age` that moved money. Those that have not ended
-- are looked at again, until they have. Returns how many breaks it opened.
create function payments.find_missing_lines(of_bank text, age interval) returns int
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- Read before the search, so that what it found missing was not on its way.
    until timestamptz := now() - age;
    searched timestamptz;
    opened int;
begin
    insert into payments.settlement_search as s (bank, searched) values (of_bank, '-infinity')
    on conflict (bank) do nothing;
    -- One at a time at each bank.
    select s.searched into searched from payments.settlement_search s where s.bank = of_bank
    for update skip locked;
    if not found or searched >= until then
        return 0;
    end if;
    insert into payments.settlement_awaited (attempt_id, bank)
    select a.attempt_id, a.bank from payments.attempt a
    where a.created_at > searched and a.created_at <= until and a.bank = of_bank
      and a.operation in ('collect', 'capture', 'payout', 'refund')
      and a.state in ('intent', 'sending', 'unknown', 'confirmed', 'reversed')
      and not exists (select from payments.settlement_line l
                      where l.attempt_id = a.attempt_id and l.movement = a.operation)
    on conflict (attempt_id) do nothing;
    with awaited as (
        select w.attempt_id, a.state, a.operation, a.amount_minor, p.currency,
               exists (select from payments.settlement_line l
                       where l.attempt_id = a.attempt_id and l.movement = a.operation) as settled
        from payments.settlement_awaited w
        join payments.attempt a on a.attempt_id = w.attempt_id
        join payments.payment p on p.payment_id = a.payment_id
        where w.bank = of_bank
    ), missing as (
        insert into payments.settlement_break as b (bank, kind, attempt_id, expected, found)
        select of_bank, 'missing', attempt_id, operation || ' ' || amount_minor || ' ' || currency || ', ' || state,
               'no line'
        from awaited where state in ('confirmed', 'reversed') and not settled
        on conflict (attempt_id) where line is null do nothing
        returning b.attempt_id
    ), arrived as (
        update payments.settlement_break b
        set closed_at = now(), closed_by = 'engine', reason = 'the line has come'
        from awaited w
        where b.attempt_id = w.attempt_id and b.line is null and b.closed_at is null and w.settled
    ), ended as (
        -- What is missing stays awaited, so that its line closes the break.
        delete from payments.settlement_awaited w using awaited
        where w.attempt_id = awaited.attempt_id
          and (awaited.settled or awaited.state in ('declined', 'not_processed'))
    )
    select count(*) into opened from missing;
    update payments.settlement_search s set searched = until where s.bank = of_bank;
    return opened;
end $$;

create function payments.settlement_breaks_open() returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select count(*) from payments.settlement_break where closed_at is null
$$;

-- For people: the breaks of one bank or all, newest first.
create function payments.settlement_breaks(of_bank text, closed_too boolean, rows_max int)
returns table (break_id bigint, bank text, kind text, attempt_id text, line bigint, expected text, found text,
    opened_at timestamptz, closed_at timestamptz, closed_by text, reason text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select b.break_id, b.bank, b.kind, b.attempt_id, b.line, b.expected, b.found, b.opened_at, b.closed_at,
           b.closed_by, b.reason
    from payments.settlement_break b
    where (of_bank is null or b.bank = of_bank) and (closed_too or b.closed_at is null)
    order by b.break_id desc limit rows_max
$$;

-- A person closes a break, having dealt with it outside; nothing moves by it.
create function payments.close_break(break_id bigint, reason text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp as $$
declare
    who constant text := payments.person();
begin
    if coalesce(length(btrim(close_break.reason)), 0) not between 1 and 200 or close_break.reason !~ '^[ -~]+$' then
        raise exception 'the reason is one line of 1 to 200 printable ASCII characters'
            using errcode = 'invalid_parameter_value';
    end if;
    update payments.settlement_break b set closed_at = now(), closed_by = who, reason = close_break.reason
    where b.break_id = close_break.break_id and b.closed_at is null;
    if not found then
        raise exception 'there is no open break %', close_break.break_id using errcode = 'no_data_found';
    end if;
end $$;

revoke execute on all functions in schema payments from public;
grant execute on function
    payments.settled_until(text), payments.booked_of(text, bigint[], text[], text[]),
    payments.lines_in_break(text, int), payments.keep_settlement(json, json, json, text, bigint[]),
    payments.find_missing_lines(text, interval), payments.settlement_breaks_open()
    to payments;
grant execute on function payments.settlement_breaks(text, boolean, int), payments.close_break(bigint, text)
    to operator;
