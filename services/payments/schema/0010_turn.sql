-- The turn, one transaction: `take_…` locks accounts and reads in a new statement, the engine decides, `write_turn`.

-- The accounts' turn: lock those whose accepted payments or mail waited longest, then read what waits for them.
-- `arrivals`, in order: a payment's turn (its id alone), or a mail with its body.
create function payments.take_waiting(items_max int, accounts_max int,
    out taken_at timestamptz, out accounts json, out payments json, out arrivals json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
-- Plans are kept for the life of a connection and may have been made while a table was empty.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    -- Looking past the first items_max keeps one busy, locked account from hiding everybody else's turn.
    window_factor constant int := 4;
    candidates text[];
    payment_last bigint;
    mail_last bigint;
    locked text[];
    ids text[];
begin
    taken_at := now();
    -- Payments and mail each have half of the places, or what the other leaves: a backlog of the one, which may
    -- have to wait for a bank, does not hold up the other.
    with waiting as (
        (select account_id, ordinal, null::bigint as mail_id, row_number() over (order by ordinal) as place
         from payments.payment where status = 'accepted' order by ordinal limit items_max * window_factor)
        union all
        (select account_id, null, mail_id, row_number() over (order by mail_id)
         from payments.mail where done_at is null order by mail_id limit items_max * window_factor)
    ), longest as (
        select account_id, max(ordinal) as last_payment, max(mail_id) as last_mail
        from waiting group by account_id order by min(place), min(mail_id) limit accounts_max
    )
    select array_agg(account_id), max(last_payment), max(last_mail) into candidates, payment_last, mail_last
    from longest;
    if candidates is null then
        return;
    end if;

    -- In id order; an account in someone else's turn is left to him. FOR NO KEY UPDATE: an accept's reference to
    -- the account takes KEY SHARE, which FOR UPDATE would fight.
    locked := array(select account_id from payments.account where account_id = any (candidates)
                    order by account_id for no key update skip locked);
    if cardinality(locked) = 0 then
        return;
    end if;

    -- A NEW statement. Joined with the lock it would come from the snapshot taken before the lock, and hand out
    -- what another turn has finished meanwhile (measured: 51 of 1,000).
    select json_agg(w order by w.ordinal), array_agg(distinct w.payment_id) into arrivals, ids
    from ((select p.payment_id, null::bigint as mail_id, null::json as body, p.ordinal,
                  row_number() over (order by p.ordinal) as place
           from payments.payment p
           where p.status = 'accepted' and p.ordinal <= payment_last and p.account_id = any (locked)
           order by p.ordinal limit items_max)
          union all
          (select m.payment_id, m.mail_id, m.body, m.mail_id, row_number() over (order by m.mail_id)
           from payments.mail m
           where m.done_at is null and m.mail_id <= mail_last and m.account_id = any (locked)
           order by m.mail_id limit items_max)
          order by place, ordinal limit items_max) w;
    if ids is not null then
        select r.accounts, r.payments into accounts, payments from payments.read_rows(ids, locked) r;
    end if;
end $$;

-- What is due, oldest first: of payments and refunds that wait for this bank, or, for null, of those that wait for
-- no bank and of disputes. `arrivals`: payment and subject. Rows of accounts in someone else's turn are left.
create function payments.take_overdue(of_bank text, items_max int,
    out taken_at timestamptz, out accounts json, out payments json, out arrivals json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    window_factor constant int := 4;
    locked text[];
    ids text[];
    subjects text[];
begin
    taken_at := now();
    select array_agg(d.payment_id), array_agg(d.subject_id) into ids, subjects
    from payments.due_of(of_bank, items_max * window_factor) d;
    if ids is null then
        return;
    end if;
    locked := array(select account_id from payments.account
                    where account_id = any (array(select p.account_id from payments.payment p
                                                  where p.payment_id = any (ids)))
                    order by account_id for no key update skip locked);
    if cardinality(locked) = 0 then
        return;
    end if;
    -- A new statement: what another turn has moved on meanwhile is not due any more.
    select json_agg(w order by w.due), array_agg(distinct w.payment_id) into arrivals, ids
    from (select d.payment_id, d.subject_id, d.due
          from payments.due_of(of_bank, items_max * window_factor) d
          join payments.payment p on p.payment_id = d.payment_id
          where d.subject_id = any (subjects) and p.account_id = any (locked)
          order by d.due limit items_max) w;
    if ids is not null then
        select r.accounts, r.payments into accounts, payments
        from payments.read_rows(ids, array(select distinct p.account_id from payments.payment p
                                           where p.payment_id = any (ids))) r;
    end if;
end $$;

-- These payments, whatever else waits; waits for the locks of their accounts, in id order.
create function payments.take_about(payment_ids text[],
    out taken_at timestamptz, out accounts json, out payments json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    locked text[];
begin
    taken_at := now();
    -- A payment never changes its account, so this look may come before the lock.
    locked := array(select account_id from payments.account
                    where account_id = any (array(select p.account_id from payments.payment p
                                                  where p.payment_id = any (payment_ids)))
                    order by account_id for no key update);
    select r.accounts, r.payments into accounts, payments from payments.read_rows(payment_ids, locked) r;
end $$;

-- Write what was decided. Every array is of whole rows; one with `was_…` replaces the row that still is as it was,
-- one without is new. Anything else changed nothing: the whole turn is refused, and its transaction with it.
create function payments.write_turn(accounts json, payments json, attempts json, attempts_born json, refunds json,
    disputes json, transfers json, credits json, told json, screenings json, mail_done json, contradictions json,
    flushed text[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    expected int;
    counted int;
begin
    if accounts is not null then
        update payments.account a
        set posted_minor = d.posted_minor, held_minor = d.held_minor, unposted_minor = d.unposted_minor,
            version = d.version
        from json_to_recordset(accounts) as d (account_id text, posted_minor bigint, held_minor bigint,
            unposted_minor bigint, version bigint, was_version bigint, was_posted_minor bigint,
            was_held_minor bigint, was_unposted_minor bigint)
        where a.account_id = d.account_id and a.version = d.was_version and a.posted_minor = d.was_posted_minor
          and a.held_minor = d.was_held_minor and a.unposted_minor = d.was_unposted_minor;
        get diagnostics counted = row_count;
        perform payments.expect_rows('account', json_array_length(accounts), counted);
    end if;

    if payments is not null then
        update payments.payment p
        set status = d.status, sequence = d.sequence, account_version = d.account_version, bank = d.bank,
            decline_code = d.decline_code, due = d.due, expires_at = d.expires_at, reviewers = d.reviewers,
            raised_at = d.raised_at, captured_minor = d.captured_minor,
            refund_reserved_minor = d.refund_reserved_minor, refunded_minor = d.refunded_minor,
            disputed_minor = d.disputed_minor, tries = d.tries,
            updated_at = case when d.sequence > d.was_sequence then now() else p.updated_at end
        from json_to_recordset(payments) as d (payment_id text, status text, sequence int, account_version bigint,
            bank text, decline_code text, due timestamptz, expires_at timestamptz, reviewers text[],
            raised_at timestamptz, captured_minor bigint, refund_reserved_minor bigint, refunded_minor bigint,
            disputed_minor bigint, tries int, was_status text, was_sequence int, was_due timestamptz)
        where p.payment_id = d.payment_id and p.status = d.was_status and p.sequence = d.was_sequence
          and p.due is not distinct from d.was_due;
        get diagnostics counted = row_count;
        perform payments.expect_rows('payment', json_array_length(payments), counted);
    end if;

    -- First what ended, then what is tried instead: between the two there is no second money attempt.
    if attempts is not null then
        update payments.attempt a
        set state = d.state, epoch = d.epoch, tries = d.tries, unsent = d.unsent, not_founds = d.not_founds,
            not_found_since = d.not_found_since, bank_reference = d.bank_reference,
            decline_code = d.decline_code, updated_at = now()
        from json_to_recordset(attempts) as d (attempt_id text, state text, epoch int, tries int, unsent int,
            not_founds int, not_found_since timestamptz, bank_reference text, decline_code text, was_state text,
            was_epoch int)
        where a.attempt_id = d.attempt_id and a.state = d.was_state and a.epoch = d.was_epoch;
        get diagnostics counted = row_count;
        perform payments.expect_rows('attempt', json_array_length(attempts), counted);
    end if;
    if attempts_born is not null then
        insert into payments.attempt (attempt_id, payment_id, subject_id, operation, number, bank, amount_minor,
            state, epoch, tries, unsent, not_founds, not_found_since, bank_reference, decline_code, routing,
            created_at)
        select * from json_to_recordset(attempts_born) as d (attempt_id text, payment_id text, subject_id text,
            operation text, number int, bank text, amount_minor bigint, state text, epoch int, tries int,
            unsent int, not_founds int, not_found_since timestamptz, bank_reference text, decline_code text,
            routing text, created_at timestamptz);
    end if;
    if refunds is not null or disputes is not null then
        perform payments.write_claims(refunds, disputes);
    end if;

    if told is not null then
        insert into payments.event (payment_id, sequence, type, account_version, decline_code, subject_id, details,
            at)
        select d.*, now() from json_to_recordset(told) as d (payment_id text, sequence int, type text,
            account_version bigint, decline_code text, subject_id text, details jsonb);
    end if;
    if transfers is not null then
        insert into payments.ledger_transfer (transfer_id, payment_id, kind, debit_account, credit_account,
            amount_minor, currency, resolves)
        select * from json_to_recordset(transfers) as d (transfer_id text, payment_id text, kind text,
            debit_account text, credit_account text, amount_minor bigint, currency text, resolves text);
    end if;
    if credits is not null then
        insert into payments.credit (source_id, account_id, payment_id, bank, amount_minor, currency)
        select * from json_to_recordset(credits) as d (source_id text, account_id text, payment_id text, bank text,
            amount_minor bigint, currency text);
    end if;
    if screenings is not null then
        insert into payments.screening (payment_id, verdict, rule_pack, inputs_digest, reasons)
        select * from json_to_recordset(screenings) as d (payment_id text, verdict text, rule_pack text,
            inputs_digest text, reasons text[]);
    end if;
    if mail_done is not null then
        update payments.mail m set done_at = now(), result = d.result
        from json_to_recordset(mail_done) as d (mail_id bigint, result text)
        where m.mail_id = d.mail_id and m.done_at is null;
        get diagnostics counted = row_count;
        perform payments.expect_rows('mail', json_array_length(mail_done), counted);
    end if;
    if contradictions is not null then
        insert into payments.contradiction (subject, problem)
        select * from json_to_recordset(contradictions) as d (subject text, problem text);
    end if;
    if cardinality(flushed) > 0 then
        perform payments.flush_credits(flushed);
    end if;
end $$;

-- Not granted. A retry reads anew, hence the class of the error: the transaction is rolled back and done again.
create function payments.expect_rows(what text, expected int, counted int) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if expected <> counted then
        raise exception '% of % % rows are not as they were read', expected - counted, expected, what
            using errcode = 'serialization_failure';
    end if;
end $$;

-- Not granted. Refunds and disputes of a turn; few turns have any.
create function payments.write_claims(refunds json, disputes json) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    counted int;
begin
    if refunds is not null then
        with given as (
            select d.*, case when d.status in ('submitted', 'unknown') then coalesce(
                       (select a.bank from payments.attempt a
                        where a.payment_id = d.payment_id and a.subject_id = d.refund_id
                        order by a.number desc limit 1),
                       (select p.bank from payments.payment p where p.payment_id = d.payment_id)) end as waits_for
            from json_to_recordset(refunds) as d (refund_id text, payment_id text, origin text, amount_minor bigint,
                status text, reason text, asked_by text, approved_by text, decline_code text, due timestamptz,
                asked_at timestamptz, was_status text, was_due timestamptz)
        ), moved as (
            update payments.refund r
            set status = d.status, approved_by = d.approved_by, decline_code = d.decline_code, due = d.due,
                waits_for = d.waits_for
            from given d
            where r.refund_id = d.refund_id and r.status = d.was_status and r.due is not distinct from d.was_due
            returning 1
        ), born as (
            insert into payments.refund (refund_id, payment_id, origin, amount_minor, status, reason, asked_by,
                approved_by, decline_code, due, asked_at, waits_for)
            select refund_id, payment_id, origin, amount_minor, status, reason, asked_by, approved_by, decline_code,
                   due, asked_at, waits_for
            from given where was_status is null
            returning 1
        )
        select (select count(*) from moved) + (select count(*) from born) into counted;
        perform payments.expect_rows('refund', json_array_length(refunds), counted);
    end if;
    if disputes is not null then
        with given as (
            select * from json_to_recordset(disputes) as d (dispute_id text, payment_id text, amount_minor bigint,
                status text, bank_reference text, due timestamptz, opened_at timestamptz, was_status text,
                was_due timestamptz)
        ), moved as (
            update payments.dispute r set status = d.status, due = d.due
            from given d
            where r.dispute_id = d.dispute_id and r.status = d.was_status and r.due is not distinct from d.was_due
            returning 1
        ), born as (
            insert into payments.dispute (dispute_id, payment_id, amount_minor, status, bank_reference, due,
                opened_at)
            select dispute_id, payment_id, amount_minor, status, bank_reference, due, opened_at
            from given where was_status is null
            returning 1
        )
        select (select count(*) from moved) + (select count(*) from born) into counted;
        perform payments.expect_rows('dispute', json_array_length(disputes), counted);
    end if;
end $$;
