-- The gateway's door: accept payments, and read them back. Nothing of a merchant is shown to another.

-- Accept up to 128 payments in one transaction: idempotency key, payment with its reminder, evidence, event.
-- Items come back in their order: `new`; `repeat` with the stored answer; `mismatch`, the key was used for
-- another request (no stored answer is shown). Needs READ COMMITTED: after waiting for a batch that claims the
-- same keys, the last statement must see what that batch committed.
create function payments.accept(
    merchant_ids text[], routes text[], key_hashes bytea[], fingerprints bytea[], payment_ids text[],
    account_ids text[], kinds text[], amounts_minor bigint[], currencies text[], instruments text[],
    merchant_references text[], response_bodies bytea[], evidence_key_ids text[], request_bases bytea[],
    request_signatures bytea[], request_bodies bytea[], receipt_bases bytea[], receipt_signatures bytea[],
    accepted_at timestamptz[])
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
    fresh bigint[];
begin
    if items not between 1 and items_max or array[
           cardinality(merchant_ids), cardinality(routes), cardinality(key_hashes), cardinality(fingerprints),
           cardinality(account_ids), cardinality(kinds), cardinality(amounts_minor), cardinality(currencies),
           cardinality(instruments), cardinality(merchant_references), cardinality(response_bodies),
           cardinality(evidence_key_ids), cardinality(request_bases), cardinality(request_signatures),
           cardinality(request_bodies), cardinality(receipt_bases), cardinality(receipt_signatures),
           cardinality(accepted_at)] <> array_fill(items, array[18])
    then
        raise exception 'accept takes 1 to % items and arrays of one length', items_max
            using errcode = 'invalid_parameter_value';
    end if;

    -- 1. Claim the keys, always in the same order, so that two batches that cross cannot deadlock. Of several
    --    items with one key the first is the candidate; the others are judged against it below.
    with given as (
        select * from unnest(merchant_ids, routes, key_hashes, fingerprints, response_bodies, payment_ids,
                             accepted_at) with ordinality
            as g (merchant_id, route, key_hash, fingerprint, response_body, payment_id, accepted_at, item)
    ), candidate as (
        select distinct on (merchant_id, route, key_hash) * from given
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

    -- 2. The payment with its reminder, in the order of the items: this is the order of acceptance.
    insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
        merchant_reference, status, sequence, accepted_at, updated_at, due)
    select g.payment_id, g.account_id, g.merchant_id, g.kind, g.amount_minor, g.currency, g.instrument,
           g.merchant_reference, 'accepted', 1, g.accepted_at, g.accepted_at, now() + turn_limit
    from unnest(payment_ids, account_ids, merchant_ids, kinds, amounts_minor, currencies, instruments,
                merchant_references, accepted_at) with ordinality
        as g (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
              merchant_reference, accepted_at, item)
    where g.item = any (fresh) order by g.item;

    -- 3. The evidence, in the same transaction as what it proves.
    insert into payments.evidence (payment_id, key_id, request_base, request_signature, request_body,
        receipt_base, receipt_signature, accepted_at)
    select g.payment_id, g.key_id, g.request_base, g.request_signature, g.request_body,
           g.receipt_base, g.receipt_signature, g.accepted_at
    from unnest(payment_ids, evidence_key_ids, request_bases, request_signatures, request_bodies, receipt_bases,
                receipt_signatures, accepted_at) with ordinality
        as g (payment_id, key_id, request_base, request_signature, request_body, receipt_base,
              receipt_signature, accepted_at, item)
    where g.item = any (fresh);

    -- 4. The event, which is also the outbox.
    insert into payments.event (payment_id, sequence, type, at)
    select g.payment_id, 1, 'payment.accepted', g.accepted_at
    from unnest(payment_ids, accepted_at) with ordinality as g (payment_id, accepted_at, item)
    where g.item = any (fresh) order by g.item;

    -- 5. A new statement, hence a new snapshot: it sees the keys that another batch committed meanwhile.
    return query
    select g.item::int,
           case when g.item = any (fresh) then 'new'
                when k.fingerprint = g.fingerprint then 'repeat' else 'mismatch' end,
           case when k.fingerprint = g.fingerprint then k.response_status end,
           case when k.fingerprint = g.fingerprint then k.response_body end,
           k.payment_id
    from unnest(merchant_ids, routes, key_hashes, fingerprints) with ordinality
        as g (merchant_id, route, key_hash, fingerprint, item)
    join payments.idempotency_key k using (merchant_id, route, key_hash)
    order by g.item;
    get diagnostics items = row_count;
    if items <> cardinality(payment_ids) then
        raise exception 'a claimed key is not visible: accept needs READ COMMITTED'
            using errcode = 'invalid_transaction_state';
    end if;
end $$;

create function payments.open_account(account_id text, merchant_id text, currency text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    insert into payments.account (account_id, merchant_id, currency) values ($1, $2, $3)
$$;

create function payments.accounts_of(merchant_id text) returns table (account_id text, currency text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.account_id, a.currency from payments.account a where a.merchant_id = $1 order by a.currency
$$;

create function payments.find_payment(merchant_id text, payment_id text)
returns table (id text, kind text, status text, sequence int, amount_minor bigint, currency text,
    merchant_reference text, decline_code text, accepted_at timestamptz, updated_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.payment_id, p.kind, p.status, p.sequence, p.amount_minor, p.currency, p.merchant_reference,
           p.decline_code, p.accepted_at, p.updated_at
    from payments.payment p where p.payment_id = $2 and p.merchant_id = $1
$$;

create function payments.events_of(merchant_id text, payment_id text)
returns table (sequence int, type text, at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select e.sequence, e.type, e.at
    from payments.payment p join payments.event e on e.payment_id = p.payment_id
    where p.payment_id = $2 and p.merchant_id = $1 order by e.sequence
$$;

create function payments.find_repeat(merchant_id text, route text, key_hash bytea)
returns table (fingerprint bytea, response_status int, response_body bytea, payment_id text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.fingerprint, k.response_status, k.response_body, k.payment_id
    from payments.idempotency_key k where k.merchant_id = $1 and k.route = $2 and k.key_hash = $3
$$;
