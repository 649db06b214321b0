-- Evidence is a record of the log now, the request's header fields included, and a key that was revoked accepts
-- nothing any more: its state is looked at in the transaction that accepts.

insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, request_body, request_base,
    request_signature, response_body, receipt_base, receipt_signature)
select 'payment', e.payment_id, p.merchant_id, e.key_id, 'accepted', e.accepted_at, e.request_body, e.request_base,
       e.request_signature, k.response_body, e.receipt_base, e.receipt_signature
from payments.evidence e join payments.payment p using (payment_id)
left join payments.idempotency_key k on k.payment_id = e.payment_id
order by p.ordinal;
drop table payments.evidence;

drop function payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[], text[], text[],
    text[], bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[]);

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
    receipt_signatures bytea[], accepted_at timestamptz[])
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
           cardinality(receipt_signatures), cardinality(accepted_at)] <> array_fill(items, array[19])
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
        merchant_reference, status, sequence, accepted_at, updated_at, due)
    select g.payment_id, g.account_id, g.merchant_id, g.kind, g.amount_minor, g.currency, g.instrument,
           g.merchant_reference, 'accepted', 1, g.accepted_at, g.accepted_at, now() + turn_limit
    from unnest(payment_ids, account_ids, merchant_ids, kinds, amounts_minor, currencies, instruments,
                merchant_references, accepted_at) with ordinality
        as g (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
              merchant_reference, accepted_at, item)
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

revoke execute on function payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[],
    text[], text[], text[], bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[])
    from public;
grant execute on function payments.accept(text[], text[], bytea[], bytea[], text[], text[], text[], bigint[],
    text[], text[], text[], bytea[], text[], bytea[], bytea[], bytea[], bytea[], bytea[], bytea[], timestamptz[])
    to gateway;
