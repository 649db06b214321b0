-- Acceptance in full: a business duplicate is refused, once and for good; answers are forgotten in time; a claim that is
-- under way is not waited for without end. The effects of captures, cancels and refunds decide under the payment's own
-- lock what certainly cannot be done, so that nobody gets a 202 for it.

-- A tombstone keeps scope, key hash and fingerprint.
alter table payments.idempotency_key
    alter column response_body drop not null, alter column payment_id drop not null,
    -- The request that was answered first, and the code of a stored refusal; `payment_id` is then the earlier payment.
    add column request_id text collate "C",
    add column refusal text,
    add constraint idempotency_refusal check ((refusal is null) = (response_status < 400));
-- Each row is in one of them, and new rows come at the right end: what the watch over age costs an acceptance.
create index idempotency_answered on payments.idempotency_key (accepted_at) where response_body is not null;
create index idempotency_buried on payments.idempotency_key (accepted_at) where response_body is null;

-- What a payment looks like to a person who sees a second one: the first 128 bits of a hash over merchant, kind,
-- instrument, amount, currency and the merchant's reference. The newest payment of each look.
create table payments.likeness (
    likeness    uuid primary key,
    payment_id  text collate "C" not null,
    accepted_at timestamptz not null,
    -- Whether it was accepted although it looks like an earlier one.
    looks_again boolean not null
) with (fillfactor = 90);
create index likeness_age on payments.likeness (accepted_at);

-- How long a second payment of the same look is a mistake rather than a habit: a day holds every retry by machine and by
-- hand, and no daily standing order.
create function payments.duplicate_window() returns interval
language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '23 hours' $$;

drop function payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[], text[], text[],
    text[], bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[], text[]);

-- Accept up to 128 payments in one transaction: idempotency key, payment with its reminder, evidence, event.
-- Items come back in their order: `new`; `refused`, it looks like an earlier payment: the refusal is stored; `repeat`
-- with the stored answer or refusal; `mismatch`, the key was used for another request (no stored answer is shown);
-- `expired`, it was used so long ago that the answer is gone; `revoked`, the signing key is not valid. If a claim of
-- one of the keys is under way for too long, every item is `in_progress` and nothing was written.
-- `likenesses` are null for payments that may look like others; `looks_again` are those that may although they have a
-- look. `duplicate_form` is the refusal's body, in which {request_id} and {payment_id} are filled in.
-- Needs READ COMMITTED: after waiting for a batch that claims the same keys, the last statement must see what
-- that batch committed.
create function payments.accept(
    merchant_ids text[], routes text[], key_hashes bytea[], fingerprints bytea[], payment_ids text[],
    account_ids text[], kinds text[], amounts_minor bigint[], currencies text[], instruments text[],
    merchant_references text[], response_bodies bytea[], evidence_key_ids text[], request_heads bytea[],
    request_bases bytea[], request_signatures bytea[], request_bodies bytea[], receipt_bases bytea[],
    receipt_signatures bytea[], accepted_at timestamptz[], capture_methods text[], request_ids text[],
    likenesses uuid[], looks_again boolean[], duplicate_form text)
returns table (item int, outcome text, response_status int, response_body bytea, payment_id text, request_id text,
               refusal text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- Plans are kept for the life of a connection and may have been made while a table was empty.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
-- A batch takes tens of milliseconds: whoever has waited this long for another one answers instead of hanging.
set lock_timeout = '1s'
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
    alike bigint[] := '{}';
begin
    if items not between 1 and items_max or array[
           cardinality(merchant_ids), cardinality(routes), cardinality(key_hashes), cardinality(fingerprints),
           cardinality(account_ids), cardinality(kinds), cardinality(amounts_minor), cardinality(currencies),
           cardinality(instruments), cardinality(merchant_references), cardinality(response_bodies),
           cardinality(evidence_key_ids), cardinality(request_heads), cardinality(request_bases),
           cardinality(request_signatures), cardinality(request_bodies), cardinality(receipt_bases),
           cardinality(receipt_signatures), cardinality(accepted_at), cardinality(capture_methods),
           cardinality(request_ids), cardinality(likenesses), cardinality(looks_again)]
       <> array_fill(items, array[23])
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
    begin
        with given as (
            select * from unnest(merchant_ids, routes, key_hashes, fingerprints, response_bodies, payment_ids,
                                 accepted_at, evidence_key_ids, request_ids) with ordinality
                as g (merchant_id, route, key_hash, fingerprint, response_body, payment_id, accepted_at, key_id,
                      request_id, item)
        ), candidate as (
            select distinct on (merchant_id, route, key_hash) * from given
            where merchant_id || '/' || key_id = any (good_keys)
            order by merchant_id, route, key_hash, item
        ), claimed as (
            insert into payments.idempotency_key as k (merchant_id, route, key_hash, fingerprint, response_status,
                response_body, payment_id, accepted_at, request_id)
            select merchant_id, route, key_hash, fingerprint, 202, response_body, payment_id, accepted_at, request_id
            from candidate order by merchant_id, route, key_hash
            on conflict (merchant_id, route, key_hash) do nothing
            returning k.merchant_id, k.route, k.key_hash
        )
        select coalesce(array_agg(c.item), '{}') into fresh
        from candidate c join claimed using (merchant_id, route, key_hash);

        -- 3. Of those that look like an earlier payment only the first goes on, and only if the earlier one has
        --    come to nothing or was long ago. Always in the same order, after the keys, for the same reason.
        if exists (select from unnest(likenesses) l where l is not null) then
            alike := payments.claim_likenesses(fresh, payment_ids, likenesses, looks_again, accepted_at);
        end if;
    exception when lock_not_available then
        return query select g::int, 'in_progress', null::int, null::bytea, null::text, null::text, null::text
                     from generate_series(1, items) g;
        return;
    end;
    if alike <> '{}' then
        update payments.idempotency_key k
        set response_status = 409, refusal = 'duplicate_suspected', payment_id = l.payment_id,
            response_body = convert_to(
                replace(replace(duplicate_form, '{request_id}', g.request_id), '{payment_id}', l.payment_id), 'UTF8')
        from unnest(merchant_ids, routes, key_hashes, likenesses, request_ids) with ordinality
            as g (merchant_id, route, key_hash, likeness, request_id, item)
        join payments.likeness l on l.likeness = g.likeness
        where g.item = any (alike) and k.merchant_id = g.merchant_id and k.route = g.route
          and k.key_hash = g.key_hash;
        fresh := array(select f from unnest(fresh) f where not f = any (alike));
    end if;

    -- 4. The payment with its reminder, in the order of the items: this is the order of acceptance.
    insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
        merchant_reference, capture_method, status, sequence, accepted_at, updated_at, due)
    select g.payment_id, g.account_id, g.merchant_id, g.kind, g.amount_minor, g.currency, g.instrument,
           g.merchant_reference, g.capture_method, 'accepted', 1, g.accepted_at, g.accepted_at, now() + turn_limit
    from unnest(payment_ids, account_ids, merchant_ids, kinds, amounts_minor, currencies, instruments,
                merchant_references, accepted_at, capture_methods) with ordinality
        as g (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
              merchant_reference, accepted_at, capture_method, item)
    where g.item = any (fresh) order by g.item;

    -- 5. The evidence, in the same transaction as what it proves.
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

    -- 6. The event, which is also the outbox.
    insert into payments.event (payment_id, sequence, type, at)
    select g.payment_id, 1, 'payment.accepted', g.accepted_at
    from unnest(payment_ids, accepted_at) with ordinality as g (payment_id, accepted_at, item)
    where g.item = any (fresh) order by g.item;

    -- 7. A new statement, hence a new snapshot: it sees the keys that another batch committed meanwhile.
    return query
    select g.item::int, j.outcome,
           case when j.is_shown then k.response_status end, case when j.is_shown then k.response_body end,
           case when j.is_shown then k.payment_id end, case when j.is_shown then k.request_id end,
           case when j.is_shown then k.refusal end
    from unnest(merchant_ids, routes, key_hashes, fingerprints, evidence_key_ids) with ordinality
        as g (merchant_id, route, key_hash, fingerprint, key_id, item)
    left join payments.idempotency_key k using (merchant_id, route, key_hash)
    cross join lateral (select case
        when not g.merchant_id || '/' || g.key_id = any (good_keys) then 'revoked'
        when g.item = any (fresh) then 'new'
        when g.item = any (alike) then 'refused'
        when k.fingerprint <> g.fingerprint then 'mismatch'
        when k.response_body is null or k.accepted_at < now() - commands.answer_age_max() then 'expired'
        else 'repeat' end as outcome) o
    cross join lateral (select o.outcome, o.outcome in ('new', 'refused', 'repeat') as is_shown) j
    where k.merchant_id is not null or j.outcome = 'revoked'
    order by g.item;
    get diagnostics items = row_count;
    if items <> cardinality(payment_ids) then
        raise exception 'a claimed key is not visible: accept needs READ COMMITTED'
            using errcode = 'invalid_transaction_state';
    end if;
end $$;

-- Claim the looks of these items and return the ones that look like an earlier payment. One statement claims them all,
-- in one order, so that two batches that cross cannot deadlock. Not granted.
create function payments.claim_likenesses(
    items bigint[], payment_ids text[], likenesses uuid[], looks_again boolean[], accepted_at timestamptz[])
returns bigint[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    first_ones bigint[];
begin
    with candidate as (
        -- One that may look like others goes first: what comes in the same moment is compared with it.
        select distinct on (likeness) likeness, payment_id, accepted_at, looks_again, item
        from unnest(payment_ids, likenesses, looks_again, accepted_at) with ordinality
            as g (payment_id, likeness, looks_again, accepted_at, item)
        where g.item = any (items) and g.likeness is not null
        order by likeness, looks_again desc, item
    ), claimed as (
        insert into payments.likeness as l (likeness, payment_id, accepted_at, looks_again)
        select likeness, payment_id, accepted_at, looks_again from candidate order by likeness
        on conflict (likeness) do update set payment_id = excluded.payment_id, accepted_at = excluded.accepted_at,
            looks_again = excluded.looks_again
        where excluded.looks_again or l.accepted_at < excluded.accepted_at - payments.duplicate_window()
           or exists (select from payments.payment p where p.payment_id = l.payment_id
                      and p.status in ('failed', 'canceled', 'expired'))
        returning l.payment_id
    )
    select coalesce(array_agg(c.item), '{}') into first_ones from candidate c join claimed using (payment_id);
    return array(
        select g.item from unnest(likenesses, looks_again) with ordinality as g (likeness, looks_again, item)
        where g.item = any (items) and g.likeness is not null and not g.looks_again
          and not g.item = any (first_ones));
end $$;

-- Bury the answers that are old enough, forget the oldest tombstones and the looks that compare with nothing any more;
-- returns how many rows it changed, at most 3 × rows_max. How old is not the caller's to say. One worker at a time.
create function payments.prune_keys(rows_max int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed int;
    total int := 0;
begin
    if rows_max not between 1 and 1000 then
        raise exception 'a batch has 1 to 1000 rows' using errcode = 'invalid_parameter_value';
    end if;
    if not pg_try_advisory_xact_lock(hashtextextended('payments.prune_keys', 0)) then
        return 0;
    end if;
    update payments.idempotency_key k set response_body = null, payment_id = null, request_id = null
    where k.ctid = any (array(
        select o.ctid from payments.idempotency_key o
        where o.response_body is not null and o.accepted_at < now() - commands.answer_age_max()
        order by o.accepted_at limit rows_max for update skip locked));
    get diagnostics changed = row_count;
    total := total + changed;
    delete from payments.idempotency_key k
    where k.ctid = any (array(
        select o.ctid from payments.idempotency_key o
        where o.response_body is null and o.accepted_at < now() - commands.tombstone_age_max()
        order by o.accepted_at limit rows_max for update skip locked));
    get diagnostics changed = row_count;
    total := total + changed;
    delete from payments.likeness l
    where l.ctid = any (array(
        select o.ctid from payments.likeness o
        where o.accepted_at < now() - payments.duplicate_window()
        order by o.accepted_at limit rows_max for update skip locked));
    get diagnostics changed = row_count;
    return total + changed;
end $$;

revoke execute on function
    payments.duplicate_window(),
    payments.claim_likenesses(bigint[], text[], uuid[], boolean[], timestamptz[]), payments.prune_keys(int),
    payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[], text[], text[], text[],
        bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[], text[], text[], uuid[],
        boolean[], text)
    from public;
grant execute on function
    payments.prune_keys(int),
    payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[], text[], text[], text[],
        bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[], text[], text[], uuid[],
        boolean[], text)
    to gateway;
