-- Sealed instruments, the wrapped keys that open them, and the journal of who asked for one.
-- Owner: the role that migrates. The role `vault` executes functions and touches no table; nobody else has even the
-- schema. Nothing here can be read without a cell key, which is in no database.

create schema vault;
revoke all on schema vault from public;

-- One row for each generation of a merchant's key; the highest wraps. 60 bytes: nonce, key, tag.
create table vault.merchant_key (
    merchant_id text collate "C" not null check (merchant_id ~ '^[A-Za-z0-9_-]+$' and length(merchant_id) <= 128),
    generation  int         not null check (generation > 0),
    cell_key    int         not null check (cell_key > 0),
    wrapped     bytea       not null check (octet_length(wrapped) = 60),
    -- How many keys it has wrapped: its limit is NIST SP 800-38D's for random nonces, far below.
    uses        bigint      not null default 0 check (uses >= 0),
    made_at     timestamptz not null default clock_timestamp(),
    primary key (merchant_id, generation)
);

-- Of the fingerprints by which the same number is found again, within one merchant alone.
create table vault.fingerprint_key (
    merchant_id text collate "C" primary key,
    cell_key    int   not null check (cell_key > 0),
    wrapped     bytea not null check (octet_length(wrapped) = 60)
);

create table vault.instrument (
    token       text collate "C" primary key check (token ~ '^tok_[a-z]+_[0-9a-z]+$' and length(token) <= 64),
    merchant_id text collate "C" not null,
    kind        text collate "C" not null check (kind in ('card', 'iban')),
    brand       text collate "C" check (brand ~ '^[a-z]+$' and length(brand) <= 16),
    country     text collate "C" check (country ~ '^[A-Z][A-Z]$'),
    last4       text collate "C" check (last4 ~ '^[0-9A-Z]+$' and length(last4) = 4),
    key_id      bytea check (octet_length(key_id) = 16),
    sealed      bytea check (octet_length(sealed) between 29 and 200),
    fingerprint bytea check (octet_length(fingerprint) = 32),
    contents    bytea check (octet_length(contents) = 32),
    created_at  timestamptz not null default clock_timestamp(),
    shredded_at timestamptz,
    -- All of it, or, once it is shredded, nothing.
    check (num_nulls(last4, key_id, sealed, fingerprint, contents) = case when shredded_at is null then 0 else 5 end),
    check (shredded_at is null and num_nonnulls(brand, country) = 1 or num_nonnulls(brand, country) = 0)
);
create unique index instrument_fingerprint on vault.instrument (merchant_id, fingerprint);

-- The one key of one instrument. Its row is what shredding destroys.
create table vault.data_key (
    token       text collate "C" primary key references vault.instrument,
    merchant_id text collate "C" not null,
    generation  int   not null,
    key_id      bytea not null check (octet_length(key_id) = 16),
    wrapped     bytea not null check (octet_length(wrapped) = 60),
    foreign key (merchant_id, generation) references vault.merchant_key
);
create index data_key_generation on vault.data_key (merchant_id, generation);

-- Who asked for which number, when, and for which attempt.
create table vault.access (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    caller  text collate "C" not null check (length(caller) between 1 and 128),
    token   text collate "C" not null check (length(token) <= 64),
    about   text collate "C" not null check (length(about) between 1 and 128),
    outcome text collate "C" not null check (outcome in ('found', 'gone'))
);
create index access_token on vault.access (token, id);

-- Append-only for everybody, the owner included.
create function vault.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    raise exception 'the access journal is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger access_append_only before update or delete or truncate
    on vault.access for each statement execute function vault.refuse_change();

-- The newest key of each merchant that has one, with the key of its fingerprints.
create function vault.keys_of(merchant_ids text[])
returns table (merchant_id text, generation int, cell_key int, wrapped bytea, uses bigint, age interval,
               fingerprint_cell_key int, fingerprint_wrapped bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select distinct on (k.merchant_id) k.merchant_id, k.generation, k.cell_key, k.wrapped, k.uses,
           clock_timestamp() - k.made_at, f.cell_key, f.wrapped
    from vault.merchant_key k join vault.fingerprint_key f using (merchant_id)
    where k.merchant_id = any ($1)
    order by k.merchant_id, k.generation desc
$$;

-- The next key of a merchant, and of its fingerprints if there is none: who comes second finds the first one's.
create function vault.add_keys(
    merchant_id text, generation int, cell_key int, wrapped bytea, fingerprint_wrapped bytea) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    insert into vault.merchant_key (merchant_id, generation, cell_key, wrapped)
    values (add_keys.merchant_id, add_keys.generation, add_keys.cell_key, add_keys.wrapped) on conflict do nothing;
    insert into vault.fingerprint_key (merchant_id, cell_key, wrapped)
    values (add_keys.merchant_id, add_keys.cell_key, add_keys.fingerprint_wrapped) on conflict do nothing;
end $$;

-- Keep instruments that are not kept yet; then tell of each what is kept. One that was shredded in between is not
-- told: its owner asks again.
create function vault.keep(
    tokens text[], merchant_ids text[], kinds text[], brands text[], countries text[], last4s text[], key_ids bytea[],
    seals bytea[], fingerprints bytea[], contents bytea[], generations int[], wrapped bytea[])
returns table (item int, token text, kind text, brand text, country text, last4 text, created_at timestamptz,
               stored_contents bytea)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    -- In one order everywhere, so that two batches wait for each other at most one way.
    with kept as (
        insert into vault.instrument (token, merchant_id, kind, brand, country, last4, key_id, sealed, fingerprint,
                                      contents)
        select g.token, g.merchant_id, g.kind, g.brand, g.country, g.last4, g.key_id, g.seal, g.fingerprint, g.contents
        from unnest(keep.tokens, keep.merchant_ids, keep.kinds, keep.brands, keep.countries, keep.last4s, keep.key_ids,
                    keep.seals, keep.fingerprints, keep.contents)
            as g (token, merchant_id, kind, brand, country, last4, key_id, seal, fingerprint, contents)
        order by g.merchant_id, g.fingerprint
        on conflict (merchant_id, fingerprint) do nothing
        returning instrument.token
    ), keyed as (
        insert into vault.data_key (token, merchant_id, generation, key_id, wrapped)
        select g.token, g.merchant_id, g.generation, g.key_id, g.wrapped
        from unnest(keep.tokens, keep.merchant_ids, keep.generations, keep.key_ids, keep.wrapped)
            as g (token, merchant_id, generation, key_id, wrapped)
        join kept on kept.token = g.token
        returning data_key.merchant_id, data_key.generation
    ), counted as (
        select k.merchant_id, k.generation, count(*) as uses from keyed k group by 1, 2 order by 1, 2
    )
    update vault.merchant_key m set uses = m.uses + c.uses
    from counted c where m.merchant_id = c.merchant_id and m.generation = c.generation;

    return query
    select g.item::int, i.token, i.kind, i.brand, i.country, i.last4, i.created_at, i.contents
    from unnest(keep.merchant_ids, keep.fingerprints) with ordinality as g (merchant_id, fingerprint, item)
    join vault.instrument i on i.merchant_id = g.merchant_id and i.fingerprint = g.fingerprint;
end $$;

-- The same number with another expiry: sealed anew under a new key, the old one is gone. False if it was shredded.
create function vault.renew(token text, key_id bytea, sealed bytea, contents bytea, generation int, wrapped bytea)
returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    owner text;
begin
    update vault.instrument i set key_id = renew.key_id, sealed = renew.sealed, contents = renew.contents
    where i.token = renew.token and i.shredded_at is null returning i.merchant_id into owner;
    if owner is null then
        return false;
    end if;
    update vault.data_key d set key_id = renew.key_id, generation = renew.generation, wrapped = renew.wrapped
    where d.token = renew.token;
    update vault.merchant_key m set uses = m.uses + 1
    where m.merchant_id = owner and m.generation = renew.generation;
    return true;
end $$;

-- What opens the instruments, once it is in the journal who asked.
create function vault.resolve(caller text, tokens text[], abouts text[])
returns table (item int, merchant_id text, kind text, key_id bytea, sealed bytea, generation int, wrapped bytea,
               cell_key int, merchant_wrapped bytea)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    insert into vault.access (caller, token, about, outcome)
    select resolve.caller, g.token, g.about, case when d.token is null then 'gone' else 'found' end
    from unnest(resolve.tokens, resolve.abouts) as g (token, about) left join vault.data_key d on d.token = g.token;
    return query
    select g.item::int, i.merchant_id, i.kind, i.key_id, i.sealed, d.generation, d.wrapped, m.cell_key, m.wrapped
    from unnest(resolve.tokens) with ordinality as g (token, item)
    join vault.instrument i on i.token = g.token
    join vault.data_key d on d.token = g.token
    join vault.merchant_key m on m.merchant_id = d.merchant_id and m.generation = d.generation;
end $$;

create function vault.display(merchant_id text, token text)
returns table (token text, kind text, brand text, country text, last4 text, created_at timestamptz,
               shredded_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select i.token, i.kind, i.brand, i.country, i.last4, i.created_at, i.shredded_at
    from vault.instrument i where i.merchant_id = $1 and i.token = $2
$$;

-- Destroy keys, seals and whatever would find or show them; what was is all that is left. Of one token of a merchant,
-- or, without a token, of all and of the merchant's own keys. Returns how many were not destroyed before.
create function vault.shred(merchant_id text, token text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    gone bigint;
begin
    update vault.instrument i set shredded_at = clock_timestamp(), brand = null, country = null, last4 = null,
        key_id = null, sealed = null, fingerprint = null, contents = null
    where i.merchant_id = shred.merchant_id and (shred.token is null or i.token = shred.token)
      and i.shredded_at is null;
    get diagnostics gone = row_count;
    delete from vault.data_key d
    where d.merchant_id = shred.merchant_id and (shred.token is null or d.token = shred.token);
    if shred.token is null then
        delete from vault.merchant_key m where m.merchant_id = shred.merchant_id;
        delete from vault.fingerprint_key f where f.merchant_id = shred.merchant_id;
    end if;
    return gone;
end $$;

revoke all on all tables in schema vault from public;
revoke all on all functions in schema vault from public;
grant usage on schema vault to vault;
grant execute on function
    vault.keys_of(text[]),
    vault.add_keys(text, int, int, bytea, bytea),
    vault.keep(text[], text[], text[], text[], text[], text[], bytea[], bytea[], bytea[], bytea[], int[], bytea[]),
    vault.renew(text, bytea, bytea, bytea, int, bytea),
    vault.resolve(text, text[], text[]),
    vault.display(text, text),
    vault.shred(text, text)
    to vault;
