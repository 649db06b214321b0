-- The journal of screenings, the rule packs that they were decided by, and the counters of velocity.
-- Owner: the role that migrates. The role `fraud` executes functions and touches no table.

create schema fraud;
revoke all on schema fraud from public;

-- Every rule pack that was ever in force, whole, so that each decision can be made again.
create table fraud.rule_pack (
    digest       bytea       primary key check (octet_length(digest) = 32),
    name         text        not null,
    -- Rises: what was used last is the highest.
    version      int         not null unique check (version > 0),
    jurisdiction text        not null,
    signer       text        not null,
    document     bytea       not null check (octet_length(document) between 1 and 2000000),
    adopted_at   timestamptz not null default clock_timestamp()
);

create table fraud.decision (
    -- A bounded repetition would make PostgreSQL build an automaton for each row.
    payment_id    text collate "C" primary key check (payment_id ~ '^[A-Za-z0-9_-]+$' and length(payment_id) <= 128),
    verdict       text        not null check (verdict in ('pass', 'review', 'reject')),
    -- Of a row of rule_pack, as `record` makes sure once for a batch; a foreign key would ask for each row.
    pack_digest   bytea       not null check (octet_length(pack_digest) = 32),
    inputs_digest bytea       not null check (inputs_digest = sha256(inputs)),
    inputs        bytea       not null check (octet_length(inputs) between 2 and 100000),
    reasons       text[]      not null,
    decided_at    timestamptz not null default clock_timestamp(),
    check (verdict = 'pass' or cardinality(reasons) > 0)
);

-- Append-only for everybody, the owner included.
create function fraud.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'the journal of screenings is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger decision_append_only before update or delete or truncate
    on fraud.decision for each statement execute function fraud.refuse_change();
create trigger rule_pack_append_only before update or delete or truncate
    on fraud.rule_pack for each statement execute function fraud.refuse_change();

-- One row for each key, bucket, kind and currency; keys are hashes. Rows of one key and grain lie together in
-- the index. Half-filled pages keep the updates of the newest bucket out of the indexes.
create table fraud.velocity (
    key       bytea  not null check (octet_length(key) = 32),
    grain_s   int    not null check (grain_s in (60, 3600)),
    start_s   bigint not null check (start_s % grain_s = 0),
    kind      text collate "C" not null check (kind in ('collect', 'payout')),
    currency  text collate "C" not null,
    count     bigint not null check (count > 0),
    sum_minor numeric(38) not null check (sum_minor > 0),
    primary key (key, grain_s, start_s, kind, currency)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create index velocity_bucket on fraud.velocity (grain_s, start_s);

-- Take the one pen: screenings and adoptions of the cell come one after the other, so that no two of them count
-- without each other. It is laid down with the commit. Tells the database's clock; null if these are not the
-- newest rules: nothing is decided by the old ones once there are newer.
create function fraud.take_pen(pack_digest bytea) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock(x'6672617564'::bigint);
    -- A new statement, hence a new snapshot: it sees what was committed while we waited.
    if take_pen.pack_digest is distinct from (select p.digest from fraud.rule_pack p order by p.version desc limit 1)
    then
        return null;
    end if;
    return clock_timestamp();
end $$;

-- Put rules in force: `adopted`; `in_force`, they were already; `rolled_back`, newer ones have been used;
-- `other_contents`, this version was used with others.
create function fraud.adopt(
    digest bytea, name text, version int, jurisdiction text, signer text, document bytea) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    newest fraud.rule_pack;
begin
    perform pg_advisory_xact_lock(x'6672617564'::bigint);
    select * into newest from fraud.rule_pack p order by p.version desc limit 1;
    if newest.version > adopt.version then
        return 'rolled_back';
    elsif newest.version = adopt.version then
        return case when newest.digest = adopt.digest then 'in_force' else 'other_contents' end;
    end if;
    insert into fraud.rule_pack (digest, name, version, jurisdiction, signer, document)
    values (adopt.digest, adopt.name, adopt.version, adopt.jurisdiction, adopt.signer, adopt.document);
    return 'adopted';
end $$;

-- What has been decided about these payments before.
create function fraud.decided(payment_ids text[])
returns table (payment_id text, verdict text, pack text, inputs_digest bytea, inputs bytea, reasons text[])
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select d.payment_id, d.verdict, p.name || '@' || p.version || ':' || encode(p.digest, 'hex'),
           d.inputs_digest, d.inputs, d.reasons
    from unnest($1) as g (payment_id)
    join fraud.decision d using (payment_id) join fraud.rule_pack p on p.digest = d.pack_digest
$$;

-- Sums of the buckets from `starts_s` on, for each ask by its number, kind and currency.
create function fraud.seen(keys bytea[], grains_s int[], starts_s bigint[])
returns table (item int, kind text, currency text, count bigint, sum_minor numeric)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select g.item::int, v.kind, v.currency, sum(v.count)::bigint, sum(v.sum_minor)
    from unnest($1, $2, $3) with ordinality as g (key, grain_s, start_s, item)
    join fraud.velocity v on v.key = g.key and v.grain_s = g.grain_s and v.start_s >= g.start_s
    group by g.item, v.kind, v.currency
$$;

-- Keep decisions and let the buckets grow, in one statement each; under the pen.
create function fraud.record(
    pack_digest bytea, payment_ids text[], verdicts text[], inputs_digests bytea[], inputs bytea[], reasons text[],
    keys bytea[], grains_s int[], starts_s bigint[], kinds text[], currencies text[], counts bigint[],
    sums_minor bigint[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from fraud.rule_pack p where p.digest = record.pack_digest) then
        raise exception 'these rules were never adopted' using errcode = 'foreign_key_violation';
    end if;
    insert into fraud.decision (payment_id, verdict, pack_digest, inputs_digest, inputs, reasons)
    select g.payment_id, g.verdict, record.pack_digest, g.inputs_digest, g.inputs,
           string_to_array(g.reasons, ' ')
    from unnest(payment_ids, verdicts, inputs_digests, inputs, reasons)
        as g (payment_id, verdict, inputs_digest, inputs, reasons);

    insert into fraud.velocity as v (key, grain_s, start_s, kind, currency, count, sum_minor)
    select * from unnest(keys, grains_s, starts_s, kinds, currencies, counts, sums_minor)
    on conflict (key, grain_s, start_s, kind, currency)
    do update set count = v.count + excluded.count, sum_minor = v.sum_minor + excluded.sum_minor;
end $$;

-- Delete up to `rows_max` buckets of one grain that began before `before_s`; returns how many.
create function fraud.forget(grain_s int, before_s bigint, rows_max int) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone bigint;
begin
    delete from fraud.velocity v where v.ctid = any (array(
        select o.ctid from fraud.velocity o
        where o.grain_s = forget.grain_s and o.start_s < forget.before_s
        order by o.start_s limit forget.rows_max for update skip locked));
    get diagnostics gone = row_count;
    return gone;
end $$;

-- Everything that one payment was decided by.
create function fraud.journal_of(payment_id text)
returns table (verdict text, inputs_digest bytea, inputs bytea, reasons text[], decided_at timestamptz,
    pack_digest bytea, pack_document bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select d.verdict, d.inputs_digest, d.inputs, d.reasons, d.decided_at, p.digest, p.document
    from fraud.decision d join fraud.rule_pack p on p.digest = d.pack_digest where d.payment_id = $1
$$;

revoke all on all tables in schema fraud from public;
revoke all on all functions in schema fraud from public;
grant usage on schema fraud to fraud;
grant execute on function fraud.take_pen(bytea) to fraud;
grant execute on function fraud.adopt(bytea, text, int, text, text, bytea) to fraud;
grant execute on function fraud.decided(text[]) to fraud;
grant execute on function fraud.seen(bytea[], int[], bigint[]) to fraud;
grant execute on function fraud.record(bytea, text[], text[], bytea[], bytea[], text[], bytea[], int[], bigint[],
    text[], text[], bigint[], bigint[]) to fraud;
grant execute on function fraud.forget(int, bigint, int) to fraud;
grant execute on function fraud.journal_of(text) to fraud;
