-- Wrapping everything anew, so that an older cell key can be destroyed and whatever was copied before is useless.

-- A merchant that still has something under a cell key before this one, or more than its newest key.
create function vault.merchant_behind(cell_key int) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.merchant_id from vault.merchant_key k where k.cell_key < $1
    union all
    select f.merchant_id from vault.fingerprint_key f where f.cell_key < $1
    limit 1
$$;

create function vault.oldest_cell_key() returns int
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select min(u.cell_key) from (select k.cell_key from vault.merchant_key k
                                 union all select f.cell_key from vault.fingerprint_key f) u
$$;

-- Keys of instruments that are wrapped by a generation before this one, a slice at a time.
create function vault.data_keys_before(merchant_id text, generation int, rows_max int)
returns table (token text, key_id bytea, generation int, wrapped bytea, cell_key int, merchant_wrapped bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select d.token, d.key_id, d.generation, d.wrapped, m.cell_key, m.wrapped
    from vault.data_key d join vault.merchant_key m using (merchant_id, generation)
    where d.merchant_id = $1 and d.generation < $2
    order by d.generation limit $3
$$;

-- Put keys wrapped anew in place; one that was replaced or shredded meanwhile is left as it is.
create function vault.rewrap(
    merchant_id text, generation int, tokens text[], key_ids bytea[], wrapped bytea[]) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    done bigint;
begin
    update vault.data_key d set generation = rewrap.generation, wrapped = g.wrapped
    from unnest(rewrap.tokens, rewrap.key_ids, rewrap.wrapped) as g (token, key_id, wrapped)
    where d.token = g.token and d.key_id = g.key_id and d.merchant_id = rewrap.merchant_id
      and d.generation < rewrap.generation;
    get diagnostics done = row_count;
    update vault.merchant_key m set uses = m.uses + done
    where m.merchant_id = rewrap.merchant_id and m.generation = rewrap.generation;
end $$;

-- The key of a merchant's fingerprints under another cell key.
create function vault.rewrap_fingerprint_key(merchant_id text, before int, cell_key int, wrapped bytea) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    update vault.fingerprint_key f set cell_key = $3, wrapped = $4 where f.merchant_id = $1 and f.cell_key = $2
$$;

-- Destroy what wraps nothing any more. One that wraps again meanwhile stays: its reference refuses.
create function vault.drop_generations(merchant_id text, before int) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    delete from vault.merchant_key m
    where m.merchant_id = drop_generations.merchant_id and m.generation < drop_generations.before
      and not exists (select from vault.data_key d
                      where d.merchant_id = m.merchant_id and d.generation = m.generation);
    return true;
exception when foreign_key_violation then
    return false;
end $$;

revoke execute on all functions in schema vault from public;
grant execute on function
    vault.merchant_behind(int),
    vault.oldest_cell_key(),
    vault.data_keys_before(text, int, int),
    vault.rewrap(text, int, text[], bytea[], bytea[]),
    vault.rewrap_fingerprint_key(text, int, int, bytea),
    vault.drop_generations(text, int)
    to vault;
