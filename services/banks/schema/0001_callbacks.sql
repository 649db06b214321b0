-- What banks said by themselves: kept as it came, whole, before anything is made of it; never changed.
create schema banks;
revoke all on schema banks from public;

create table banks.callback (
    number      bigint generated always as identity primary key,
    -- As its certificate proved it, not as it claims.
    bank        text not null check (bank ~ '^[a-z0-9-]+$' and length(bank) <= 64),
    event_id    text not null check (length(event_id) between 1 and 255),
    body        bytea not null check (octet_length(body) <= 8192),
    received_at timestamptz not null default now(),
    status      text not null check (status in ('taken', 'quarantined')),
    -- Why it is in quarantine.
    reason      text check (reason in ('unreadable', 'event_reused', 'unknown_attempt', 'other_banks_attempt',
                    'other_payment', 'mismatch')),
    -- The payment that heard of it.
    payment_id  text,
    unique (bank, event_id),
    constraint callback_reason check ((status = 'quarantined') = (reason is not null)),
    constraint callback_taken check (status = 'quarantined' or payment_id is not null)
);
create index callback_quarantined on banks.callback (number) where status = 'quarantined';

create function banks.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% only grows', tg_relid::regclass using errcode = 'restrict_violation';
end $$;
create trigger append_only before update or delete on banks.callback
    for each row execute function banks.refuse_change();
create trigger append_only_whole before truncate on banks.callback
    for each statement execute function banks.refuse_change();

-- Take up to 128 callbacks in one transaction: keep each one, and hand what can be believed to the mailbox of its
-- payment. Items come back in their order: `taken`, `quarantined`, or `repeat` of something that is kept already.
-- Kept and handed over are one commit, so that a repeat never has to be handed over again.
--
--   bank_names  whose certificate it was        event_ids  the bank's own id, or the digest of an unreadable body
--   bodies      the bytes as they came          mails      what it says, for payments.mail_in; null: unreadable
--
-- Needs READ COMMITTED: after waiting for a batch that keeps the same event, the next statement must see it.
create function banks.take_callback(bank_names text[], event_ids text[], bodies bytea[], mails json[])
returns table (item int, outcome text, reason text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- The knee of group commit was measured at 64 to 128.
    items_max constant int := 128;
    -- These may be about a part of the amount.
    partial_words constant text[] :=
        array['returned', 'recalled', 'dispute_opened', 'dispute_won', 'dispute_lost'];
    items int := coalesce(cardinality(bank_names), 0);
    reasons text[];
    fresh int[];
    reused int[];
begin
    if items not between 1 and items_max
       or array[cardinality(event_ids), cardinality(bodies), cardinality(mails)] <> array_fill(items, array[3])
    then
        raise exception 'take_callback takes 1 to % items and arrays of one length', items_max
            using errcode = 'invalid_parameter_value';
    end if;
    if exists (select from unnest(bank_names, mails) as g (bank, mail)
               where mail is not null and (mail ->> 'bank' = bank) is not true)
    then
        raise exception 'a bank speaks for itself only' using errcode = 'insufficient_privilege';
    end if;

    -- 1. Hold each against what is known of its attempt.
    reasons := array(
        select case
            when g.mail is null then 'unreadable'
            when a.attempt_id is null then 'unknown_attempt'
            when a.bank <> g.bank then 'other_banks_attempt'
            when a.payment_id is distinct from g.mail ->> 'payment_id' then 'other_payment'
            when a.currency is distinct from g.mail ->> 'currency'
                 or (g.mail ->> 'amount_minor')::bigint not between 1 and a.amount_minor
                 or (g.mail ->> 'amount_minor')::bigint <> a.amount_minor
                    and (g.mail ->> 'what' = any (partial_words)) is not true then 'mismatch' end
        from unnest(bank_names, mails) with ordinality as g (bank, mail, item)
        left join payments.find_attempts(
            array(select m ->> 'attempt_id' from unnest(mails) m where m is not null)) a
            on a.attempt_id = g.mail ->> 'attempt_id'
        order by g.item);

    -- 2. Keep. Always in the same order, so that two batches that cross cannot deadlock.
    with given as (
        select * from unnest(bank_names, event_ids, bodies, mails, reasons) with ordinality
            as g (bank, event_id, body, mail, reason, item)
    ), first_of as (
        select distinct on (bank, event_id) * from given order by bank, event_id, item
    ), put as (
        insert into banks.callback (bank, event_id, body, status, reason, payment_id)
        select bank, event_id, body, case when reason is null then 'taken' else 'quarantined' end, reason,
               -- A payment also hears of an amount that does not fit: it is an operator's to see.
               case when reason is null or reason = 'mismatch' then mail ->> 'payment_id' end
        from first_of order by bank, event_id
        on conflict (bank, event_id) do nothing
        returning bank, event_id
    )
    select coalesce(array_agg(f.item::int), '{}') into fresh from first_of f join put using (bank, event_id);

    -- 3. An event id that came before with other bytes is nobody's word any more: both are kept.
    reused := array(
        select g.item::int
        from unnest(bank_names, event_ids, bodies) with ordinality as g (bank, event_id, body, item)
        join banks.callback c on c.bank = g.bank and c.event_id = g.event_id
        where c.body <> g.body);
    insert into banks.callback (bank, event_id, body, status, reason)
    select distinct bank, left(event_id, 160) || '#' || encode(sha256(body), 'hex'), body, 'quarantined', 'event_reused'
    from unnest(bank_names, event_ids, bodies) with ordinality as g (bank, event_id, body, item)
    where item = any (reused)
    order by 1, 2
    on conflict (bank, event_id) do nothing;

    -- 4. Hand over what is new, in the same commit.
    if exists (select from unnest(fresh) f where reasons[f] is null or reasons[f] = 'mismatch') then
        perform payments.mail_in(
            array_agg(mails[f] ->> 'payment_id' order by f), array_agg(mails[f] order by f),
            array_agg('bank:' || bank_names[f] order by f), array_agg(event_ids[f] order by f))
        from unnest(fresh) f where reasons[f] is null or reasons[f] = 'mismatch';
    end if;
    return query
    select n, case when n = any (reused) then 'quarantined' when n <> all (fresh) then 'repeat'
                   when reasons[n] is null then 'taken' else 'quarantined' end,
           case when n = any (reused) then 'event_reused' else reasons[n] end
    from generate_series(1, items) n order by n;
end $$;

revoke execute on all functions in schema banks from public;
grant usage on schema banks to banks;
grant execute on function banks.take_callback(text[], text[], bytea[], json[]) to banks;
