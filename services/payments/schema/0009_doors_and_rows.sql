-- The doors of the others: accept with a capture method, mail for an account, and a story with its details. Then
-- the rows as a turn reads them.

drop function payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[], text[], text[],
    text[], bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[]);

-- Accept up to 128 payments in one transaction: idempotency key, payment with its reminder, evidence, event.
-- Items come back in their order: `new`; `repeat` with the stored answer; `mismatch`, the key was used for
-- another request (no stored answer is shown); `revoked`, the signing key is not valid, nothing was written.
-- Needs READ COMMITTED: after waiting for a batch that claims the same keys, the last statement must see what
-- that batch committed.
create function payments.accept(
    merchant_ids text[], routes text[], key_hashes bytea[], fingerprints bytea[], payment_ids text[],
    account_ids text[], kinds text[], amounts_minor bigint[], currencies text[], instruments text[],
    merchant_references text[], response_bodies bytea[], evidence_key_ids text[], request_heads bytea[],
    request_bases bytea[], request_signatures bytea[], request_bodies bytea[], receipt_bases bytea[],
    receipt_signatures bytea[], accepted_at timestamptz[], capture_methods text[])
returns table (item int, outcome text, response_status int, response_body bytea, payment_id text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- Plans are kept for the life of a connection and may have been made while a table was empty.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    -- The knee of throughput was measured at 64 to 128; more only makes everyone wait longer.
    items_max constant int := 128;
    -- How long a payment may wait for its account's turn before it counts as late.
    turn_limit constant interval := '5 seconds';
    items int := coalesce(cardinality(payment_ids), 0);
    good_keys text[];
    fresh bigint[];
begin
    if items not between 1 and items_max or array[
           cardinality(merchant_ids), cardinality(routes), cardinality(key_hashes), cardinality(fingerprints),
           cardinality(account_ids), cardinality(kinds), cardinality(amounts_minor), cardinality(currencies),
           cardinality(instruments), cardinality(merchant_references), cardinality(response_bodies),
           cardinality(evidence_key_ids), cardinality(request_heads), cardinality(request_bases),
           cardinality(request_signatures), cardinality(request_bodies), cardinality(receipt_bases),
           cardinality(receipt_signatures), cardinality(accepted_at), cardinality(capture_methods)]
       <> array_fill(items, array[20])
    then
        raise exception 'accept takes 1 to % items and arrays of one length', items_max
            using errcode = 'invalid_parameter_value';
    end if;

    -- 1. Hold the signing keys: from here to the commit none of them can be revoked, so that in the log each
    --    payment stands before its key's revocation. Before the first write, so that this transaction's place
    --    in the log is not older than the hold. A statement of its own, so that the next one sees its effect.
    perform registry.hold_keys(evidence_key_ids);
    good_keys := array(
        select g.merchant_id || '/' || k.key_id
        from (select distinct merchant_id, key_id from unnest(merchant_ids, evidence_key_ids)
                  as u (merchant_id, key_id)) g
        join registry.merchant_key k on k.key_id = g.key_id and k.merchant_id = g.merchant_id
        where k.revoked_at is null);

    -- 2. Claim the keys, always in the same order, so that two batches that cross cannot deadlock. Of several
    --    items with one key the first is the candidate; the others are judged against it below.
    with given as (
        select * from unnest(merchant_ids, routes, key_hashes, fingerprints, response_bodies, payment_ids,
                             accepted_at, evidence_key_ids) with ordinality
            as g (merchant_id, route, key_hash, fingerprint, response_body, payment_id, accepted_at, key_id, item)
    ), candidate as (
        select distinct on (merchant_id, route, key_hash) * from given
        where merchant_id || '/' || key_id = any (good_keys)
        order by merchant_id, route, key_hash, item
    ), claimed as (
        insert into payments.idempotency_key as k
            (merchant_id, route, key_hash, fingerprint, response_status, response_body, payment_id, accepted_at)
        select merchant_id, route, key_hash, fingerprint, 202, response_body, payment_id, accepted_at
        from candidate order by merchant_id, route, key_hash
        on conflict (merchant_id, route, key_hash) do nothing
        returning k.merchant_id, k.route, k.key_hash
    )
    select coalesce(array_agg(c.item), '{}') into fresh
    from candidate c join claimed using (merchant_id, route, key_hash);

    -- 3. The payment with its reminder, in the order of the items: this is the order of acceptance.
    insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
        merchant_reference, capture_method, status, sequence, accepted_at, updated_at, due)
    select g.payment_id, g.account_id, g.merchant_id, g.kind, g.amount_minor, g.currency, g.instrument,
           g.merchant_reference, g.capture_method, 'accepted', 1, g.accepted_at, g.accepted_at, now() + turn_limit
    from unnest(payment_ids, account_ids, merchant_ids, kinds, amounts_minor, currencies, instruments,
                merchant_references, accepted_at, capture_methods) with ordinality
        as g (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
              merchant_reference, accepted_at, capture_method, item)
    where g.item = any (fresh) order by g.item;

    -- 4. The evidence, in the same transaction as what it proves.
    insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, request_head,
        request_body, request_base, request_signature, response_body, receipt_base, receipt_signature)
    select 'payment', g.payment_id, g.merchant_id, g.key_id, 'accepted', g.accepted_at, g.request_head,
           g.request_body, g.request_base, g.request_signature, g.response_body, g.receipt_base,
           g.receipt_signature
    from unnest(payment_ids, merchant_ids, evidence_key_ids, request_heads, request_bases, request_signatures,
                request_bodies, response_bodies, receipt_bases, receipt_signatures, accepted_at) with ordinality
        as g (payment_id, merchant_id, key_id, request_head, request_base, request_signature, request_body,
              response_body, receipt_base, receipt_signature, accepted_at, item)
    where g.item = any (fresh) order by g.item;

    -- 5. The event, which is also the outbox.
    insert into payments.event (payment_id, sequence, type, at)
    select g.payment_id, 1, 'payment.accepted', g.accepted_at
    from unnest(payment_ids, accepted_at) with ordinality as g (payment_id, accepted_at, item)
    where g.item = any (fresh) order by g.item;

    -- 6. A new statement, hence a new snapshot: it sees the keys that another batch committed meanwhile.
    return query
    select g.item::int,
           case when not g.merchant_id || '/' || g.key_id = any (good_keys) then 'revoked'
                when g.item = any (fresh) then 'new'
                when k.fingerprint = g.fingerprint then 'repeat' else 'mismatch' end,
           case when k.fingerprint = g.fingerprint and g.merchant_id || '/' || g.key_id = any (good_keys)
                then k.response_status end,
           case when k.fingerprint = g.fingerprint and g.merchant_id || '/' || g.key_id = any (good_keys)
                then k.response_body end,
           k.payment_id
    from unnest(merchant_ids, routes, key_hashes, fingerprints, evidence_key_ids) with ordinality
        as g (merchant_id, route, key_hash, fingerprint, key_id, item)
    left join payments.idempotency_key k using (merchant_id, route, key_hash)
    where k.merchant_id is not null or not g.merchant_id || '/' || g.key_id = any (good_keys)
    order by g.item;
    get diagnostics items = row_count;
    if items <> cardinality(payment_ids) then
        raise exception 'a claimed key is not visible: accept needs READ COMMITTED'
            using errcode = 'invalid_transaction_state';
    end if;
end $$;

-- Put mail into accounts' mailboxes, once for each source and source_id. Not granted: its callers say who may put
-- in what. Returns `new`; `repeat`; `unknown_payment`, nothing was written. Waits for no account's turn.
create function payments.put_mail(payment_ids text[], bodies json[], sources text[], source_ids text[])
returns table (item int, outcome text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    items_max constant int := 128;
    items int := coalesce(cardinality(payment_ids), 0);
begin
    if items not between 1 and items_max or array[cardinality(bodies), cardinality(sources),
           cardinality(source_ids)] <> array_fill(items, array[3])
    then
        raise exception 'mail comes in 1 to % items and arrays of one length', items_max
            using errcode = 'invalid_parameter_value';
    end if;
    return query
    with given as (
        select g.*, p.account_id
        from unnest(payment_ids, bodies, sources, source_ids) with ordinality
            as g (payment_id, body, source, source_id, item)
        left join payments.payment p on p.payment_id = g.payment_id
    ), candidate as (
        -- Always in the same order, so that two batches that cross cannot deadlock.
        select distinct on (source, source_id) * from given where account_id is not null
        order by source, source_id, item
    ), put as (
        insert into payments.mail as m (account_id, payment_id, body, source, source_id)
        select account_id, payment_id, body, source, source_id from candidate order by source, source_id
        on conflict (source, source_id) do nothing
        returning m.source, m.source_id
    )
    select g.item::int, case when g.account_id is null then 'unknown_payment'
                             when c.item = g.item and p.source is not null then 'new' else 'repeat' end
    from given g
    left join candidate c using (source, source_id)
    left join put p using (source, source_id)
    order by g.item;
end $$;

-- The mailbox's door for services. What each may say is decided by who it is, not by what it claims to be: a bank
-- cannot approve a review, a merchant cannot speak for a bank, and neither can take an operator's part.
create function payments.mail_in(payment_ids text[], bodies json[], sources text[], source_ids text[])
returns table (item int, outcome text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    allowed constant text[] := case session_user
        when 'gateway' then array['CaptureAsked', 'VoidAsked', 'RefundAsked', 'RefundCancelAsked']
        when 'banks' then array['BankTold'] else '{}' end;
begin
    if exists (
        select from unnest(payment_ids, bodies) as g (payment_id, body)
        where (body ->> 'type' = any (allowed)) is not true
           or (body ->> 'payment_id' = payment_id) is not true
           or (body ->> 'type' = 'RefundAsked'
               and (body ->> 'origin' is distinct from 'user' or coalesce(body ->> 'bank_moved', 'false') <> 'false')))
    then
        raise exception 'mail of this kind, or about this payment, is not for % to send', session_user
            using errcode = 'insufficient_privilege';
    end if;
    return query select * from payments.put_mail(payment_ids, bodies, sources, source_ids);
end $$;

-- The story of a merchant's payment. Who of our people decided is not the merchant's to know.
drop function payments.events_of(text, text);
create function payments.events_of(merchant_id text, payment_id text)
returns table (sequence int, type text, at timestamptz, subject_id text, details jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.sequence, e.type, e.at, e.subject_id,
           -- Shown is only what looks like a merchant's key: forgetting a kind of event would show nobody.
           case when e.details ->> 'by' !~ '^[A-Za-z0-9_-]{43}$' then e.details - 'by' else e.details end
    from payments.payment p join payments.event e on e.payment_id = p.payment_id
    where p.payment_id = $2 and p.merchant_id = $1 order by e.sequence
$$;

-- Rows as the engine's structs spell them; `take` hands them out, `write_turn` takes them back.
create view payments.attempt_row as
    select attempt_id, payment_id, subject_id, operation, number, bank, amount_minor, state, epoch, tries, unsent,
           not_founds, not_found_since, bank_reference, decline_code, routing, created_at
    from payments.attempt;
create view payments.refund_row as
    select refund_id, payment_id, origin, amount_minor, status, reason, asked_by, approved_by, decline_code, due,
           asked_at
    from payments.refund;
create view payments.dispute_row as
    select dispute_id, payment_id, amount_minor, status, bank_reference, due, opened_at from payments.dispute;
create view payments.payment_row as
    select p.payment_id, p.account_id, p.merchant_id, p.kind, p.capture_method, p.amount_minor, p.currency,
           p.instrument, p.status, p.sequence, p.account_version, p.bank, p.decline_code, p.accepted_at, p.due,
           p.expires_at, p.reviewers, p.raised_at, p.captured_minor, p.refund_reserved_minor, p.refunded_minor,
           p.disputed_minor, p.tries,
           coalesce((select json_agg(r order by r.created_at, r.number) from payments.attempt_row r
                     where r.payment_id = p.payment_id), '[]') as attempts,
           coalesce((select json_agg(r order by r.asked_at, r.refund_id) from payments.refund_row r
                     where r.payment_id = p.payment_id), '[]') as refunds,
           coalesce((select json_agg(r order by r.opened_at, r.dispute_id) from payments.dispute_row r
                     where r.payment_id = p.payment_id), '[]') as disputes
    from payments.payment p;

-- The rows of these payments and accounts, as JSON arrays. Not granted; the caller holds the accounts' locks.
create function payments.read_rows(payment_ids text[], account_ids text[], out accounts json, out payments json)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    payments := (select json_agg(r) from payments.payment_row r where r.payment_id = any (payment_ids));
    accounts := (select json_agg(r)
                 from (select account_id, merchant_id, currency, posted_minor, held_minor, unposted_minor, version
                       from payments.account where account_id = any (account_ids)) r);
end $$;

-- Not granted. Three index ranges, each read no further than rows_max.
create function payments.due_of(of_bank text, rows_max int)
returns table (payment_id text, subject_id text, due timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if of_bank is null then
        return query
        (select p.payment_id, p.payment_id, p.due from payments.payment p
         where p.waits_for is null and p.due <= now()
           and p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired')
         order by p.due limit rows_max)
        union all
        (select r.payment_id, r.refund_id, r.due from payments.refund r
         where r.waits_for is null and r.due <= now() order by r.due limit rows_max)
        union all
        (select d.payment_id, d.dispute_id, d.due from payments.dispute d
         where d.due <= now() order by d.due limit rows_max)
        order by 3 limit rows_max;
    else
        return query
        (select p.payment_id, p.payment_id, p.due from payments.payment p
         where p.waits_for = of_bank and p.due <= now()
           and p.status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired')
         order by p.due limit rows_max)
        union all
        (select r.payment_id, r.refund_id, r.due from payments.refund r
         where r.waits_for = of_bank and r.due <= now() order by r.due limit rows_max)
        order by 3 limit rows_max;
    end if;
end $$;

revoke execute on all functions in schema payments from public;
grant execute on function
    payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[], text[], text[], text[],
        bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[], text[]),
    payments.events_of(text, text), payments.mail_in(text[], json[], text[], text[])
    to gateway;
