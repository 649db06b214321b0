-- What a bank has done although it had declined it is money that moved: its line is looked for as any other's, from the
-- moment on at which the bank said so. Before, whoever had declined when the search came by was never looked at again.
create index attempt_late on payments.attempt (bank, updated_at)
    where decline_code in ('late_success', 'late_excess');

-- As before in all else.
create or replace function payments.find_missing_lines(of_bank text, age interval) returns int
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
    select a.attempt_id, a.bank from (
        select attempt_id, bank, operation from payments.attempt
        where created_at > searched and created_at <= until
          and state in ('intent', 'sending', 'unknown', 'confirmed', 'reversed')
        union all
        -- Done after all: looked for from then on, however long ago the bank was asked.
        select attempt_id, bank, operation from payments.attempt
        where updated_at > searched and updated_at <= until and decline_code in ('late_success', 'late_excess')
    ) a
    where a.bank = of_bank and a.operation in ('collect', 'capture', 'payout', 'refund')
      and not exists (select from payments.settlement_line l
                      where l.attempt_id = a.attempt_id and l.movement = a.operation)
    on conflict (attempt_id) do nothing;
    with awaited as (
        select w.attempt_id, a.operation, a.amount_minor, p.currency,
               case when a.decline_code in ('late_success', 'late_excess') then 'confirmed late' else a.state end as state,
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
        from awaited where state in ('confirmed', 'confirmed late', 'reversed') and not settled
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
