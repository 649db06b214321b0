-- What came back from the banks, and what did not come back.
-- Locks are taken in one order everywhere: accounts by id, then payments by id, then their attempts. An attempt
-- is only ever changed under the lock of its payment.

-- When to ask again for an unknown outcome: soon at first, then every 12 hours without end. Time alone never
-- turns an unknown outcome into a failed one.
create function payments.inquiry_delay(tries int) returns interval
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select (array['2 s', '10 s', '30 s', '2 min', '10 min', '30 min', '1 h', '4 h', '12 h']::interval[])
        [least(tries, 8) + 1]
$$;

-- Record outcomes: confirmed, declined, pending, unknown, unsent. Compare-and-set on attempt and epoch: a result
-- of a lost lease, or one recorded before, changes nothing and comes back as `stale`.
create function payments.record(attempt_ids text[], epochs int[], outcomes text[], bank_references text[],
    decline_codes text[])
returns table (item int, result text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- Plans are kept for the life of a connection and may have been made while a table was empty.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- A call that certainly never left is tried again for ever, after 2 s, 4 s, then each 8 s: a bank that
    -- refuses connections is not stormed, and within 10 s of its return so are we.
    unsent_delay_min constant interval := '2 s';
    unsent_delay_max constant interval := '8 s';
    payment_ids text[];
    account_ids text[];
begin
    if array[cardinality(epochs), cardinality(outcomes), cardinality(bank_references),
             cardinality(decline_codes)] <> array_fill(cardinality(attempt_ids), array[4])
       or not outcomes <@ array['confirmed', 'declined', 'pending', 'unknown', 'unsent']
    then
        raise exception 'record takes arrays of one length and known outcomes'
            using errcode = 'invalid_parameter_value';
    end if;

    -- 1. Which rows (these columns never change), then lock them in order, then read in a new statement.
    select array_agg(p.payment_id), array_agg(distinct p.account_id) into payment_ids, account_ids
    from payments.attempt a join payments.payment p on p.payment_id = a.payment_id
    where a.attempt_id = any (attempt_ids);
    perform 1 from payments.account where account_id = any (account_ids)
    order by account_id for no key update;
    perform 1 from payments.payment where payment_id = any (payment_ids)
    order by payment_id for no key update;

    return query
    with given as (
        select * from unnest(attempt_ids, epochs, outcomes, bank_references, decline_codes) with ordinality
            as g (attempt_id, epoch, outcome, bank_reference, decline_code, item)
    ), found as (
        -- 2. Compare: the newest epoch, not yet final; of two results for one attempt the first counts.
        select distinct on (g.attempt_id) g.attempt_id, g.bank_reference, g.item, p.payment_id,
               case when g.outcome = 'declined' then coalesce(g.decline_code, 'declined') end as decline_code,
               -- An attempt that may have been sent before stays unknown, however surely this call was unsent.
               case when g.outcome = 'confirmed' then 'confirmed' when g.outcome = 'declined' then 'declined'
                    when g.outcome = 'unsent' and a.state = 'sending' then 'intent'
                    else 'unknown' end as state,
               case when g.outcome = 'unsent'
                    then least(unsent_delay_min * (2 ^ least(a.unsent, 10)), unsent_delay_max)
                    else payments.inquiry_delay(a.tries) end as delay,
               case when g.outcome in ('pending', 'unknown') then 1 else 0 end as tried,
               case when g.outcome = 'unsent' then a.unsent + 1 else 0 end as unsent,
               p.account_id, p.kind, p.amount_minor, p.currency, p.account_version, p.status, a.bank
        from given g
        join payments.attempt a on a.attempt_id = g.attempt_id and a.epoch = g.epoch
            and a.state in ('sending', 'unknown')
        join payments.payment p on p.payment_id = a.payment_id
        order by g.attempt_id, g.item
    ), decided as (
        select *, case state when 'confirmed' then 'succeeded' when 'declined' then 'failed'
                             when 'unknown' then 'unknown' else status end as next_status
        from found
    ), tried as (
        -- 3. Set. A recorded result ends the lease, hence the new epoch: the same result again is stale.
        update payments.attempt a
        set state = d.state, epoch = a.epoch + (d.state in ('intent', 'unknown'))::int, bank_reference = coalesce(d.bank_reference, a.bank_reference),
            decline_code = d.decline_code, tries = a.tries + d.tried, unsent = d.unsent,
            updated_at = now()
        from decided d where a.attempt_id = d.attempt_id
    ), moved as (
        update payments.payment p
        set status = d.next_status, decline_code = d.decline_code,
            due = case when d.next_status in ('succeeded', 'failed') then null else now() + d.delay end,
            sequence = p.sequence + (d.next_status <> d.status)::int,
            updated_at = case when d.next_status <> d.status then now() else p.updated_at end
        from decided d where p.payment_id = d.payment_id
        returning p.payment_id, p.sequence
    ), posted as (
        -- 4. The ledger. A payout resolves its hold; a collect credits the account now that the bank has paid.
        insert into payments.ledger_transfer
            (transfer_id, payment_id, kind, debit_account, credit_account, amount_minor, currency, resolves)
        select d.payment_id || '/' || k.kind, d.payment_id, k.kind,
               case d.kind when 'payout' then d.account_id else b.account_id end,
               case d.kind when 'payout' then b.account_id else d.account_id end,
               d.amount_minor, d.currency, case d.kind when 'payout' then d.payment_id || '/hold' end
        from decided d,
             lateral (select case d.state when 'confirmed' then 'post' else 'void' end as kind) k,
             lateral (select 'bank:' || d.bank || ':' || d.currency as account_id) b
        where d.state = 'confirmed' or (d.state = 'declined' and d.kind = 'payout')
    ), balanced as (
        update payments.account a
        set posted_minor = a.posted_minor + d.posted_minor, held_minor = a.held_minor - d.released_minor
        from (select account_id,
                     coalesce(sum(case kind when 'collect' then amount_minor else -amount_minor end)
                         filter (where state = 'confirmed'), 0)::bigint as posted_minor,
                     coalesce(sum(amount_minor) filter (where kind = 'payout'), 0)::bigint as released_minor
              from decided where state in ('confirmed', 'declined') group by account_id) d
        where a.account_id = d.account_id
    ), told as (
        -- 5. The event of each change of status; an outcome that stays unknown is told once.
        insert into payments.event (payment_id, sequence, type, account_version, decline_code, at)
        select d.payment_id, m.sequence,
               case d.next_status when 'unknown' then 'payment.outcome_unknown'
                                  else 'payment.' || d.next_status end,
               d.account_version, d.decline_code, now()
        from decided d join moved m on m.payment_id = d.payment_id
        where d.next_status <> d.status order by d.item
    )
    select g.item::int, case when d.item is null then 'stale' else 'applied' end
    from given g left join decided d on d.item = g.item order by g.item;
end $$;

-- Take over what is overdue at one bank: every worker may, none is in charge. The epoch rises, so that the late result of
-- the worker that held the lease changes nothing. `send`: certainly nothing was sent yet. `inquire`: it may have
-- been; `resendable` then says whether the same request under the same key may still be repeated should the bank
-- not know it.
create function payments.redrive(of_bank text, payments_max int, lease interval)
returns table (action text, attempt_id text, epoch int, payment_id text, bank text, operation text,
    amount_minor bigint, currency text, instrument text, resendable boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- Banks keep idempotency keys for 24 hours at least; four hours are left as a margin.
    resend_age_max constant interval := '20 hours';
    payment_ids text[];
begin
    select array_agg(o.payment_id) into payment_ids
    from (select payment_id from payments.payment
          where bank = of_bank and due <= now() and status in ('submitted', 'unknown')
          order by due limit payments_max for no key update skip locked) o;
    if payment_ids is null then
        return;
    end if;

    return query
    with taken as (
        update payments.attempt a
        set epoch = a.epoch + 1, updated_at = now(),
            -- A lease that ran out says nothing about the bank: what was sending is unknown from here on.
            state = case a.state when 'intent' then 'sending' else 'unknown' end
        where a.payment_id = any (payment_ids) and a.state in ('intent', 'sending', 'unknown')
        returning a.attempt_id, a.payment_id, a.epoch, a.state, a.bank, a.created_at
    ), leased as (
        update payments.payment p set due = now() + lease
        where p.payment_id = any (payment_ids)
        returning p.payment_id, p.ordinal, p.kind, p.amount_minor, p.currency, p.instrument
    )
    select case t.state when 'sending' then 'send' else 'inquire' end, t.attempt_id, t.epoch, l.payment_id,
           t.bank, l.kind, l.amount_minor, l.currency, l.instrument, t.created_at > now() - resend_age_max
    from leased l join taken t on t.payment_id = l.payment_id order by l.ordinal;
end $$;
