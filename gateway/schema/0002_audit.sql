-- The audit log: rows that name each other's hash, written by one function, changed by nobody. Whoever alters,
-- removes or reorders a row breaks the chain from there on; `audit.verify_chain()` says where.

create schema if not exists audit;
revoke all on schema audit from public;
grant usage on schema audit to gateway, operator;

create table audit.entry (
    position      bigint primary key check (position > 0),
    at            timestamptz not null,
    -- 'refusal': one refused request that named a registered key. 'summary': what was only counted.
    kind          text not null check (kind in ('refusal', 'summary')),
    code          text not null,
    key_id        text not null,
    merchant_id   text not null,
    request_id    text not null,
    method        text not null,
    route         text not null,
    -- SHA-256 of the signature base that was built, empty when none could be.
    base_digest   bytea not null,
    detail        text not null,
    previous      bytea not null,
    hash          bytea not null check (octet_length(hash) = 32)
);

-- The end of the chain, locked by whoever appends. It also shows that rows were cut off the end.
create table audit.head (
    only_row  boolean primary key default true check (only_row),
    position  bigint not null,
    hash      bytea not null
);
insert into audit.head (position, hash) values (0, sha256('countermark-audit-v1'));

create function audit.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% on audit.entry is not possible: the log is append-only', tg_op
        using errcode = 'restrict_violation';
end $$;

create trigger append_only before update or delete on audit.entry
    for each row execute function audit.refuse_change();
create trigger append_only_whole before truncate on audit.entry
    for each statement execute function audit.refuse_change();

-- A field as bytes that cannot run into the next one: its length in octets, a colon, the octets.
create function audit.framed(field bytea) returns bytea
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select convert_to(octet_length(field)::text || ':', 'UTF8') || field
$$;

-- The hash of one row over everything in it and the hash before it. Microseconds since the epoch stand for the
-- time, so that no session's time zone or date style has a say.
create function audit.hash_of(e audit.entry) returns bytea
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select sha256(
        audit.framed(e.previous)
        || audit.framed(convert_to(e.position::text, 'UTF8'))
        || audit.framed(convert_to((extract(epoch from e.at) * 1000000)::bigint::text, 'UTF8'))
        || audit.framed(convert_to(e.kind, 'UTF8'))
        || audit.framed(convert_to(e.code, 'UTF8'))
        || audit.framed(convert_to(e.key_id, 'UTF8'))
        || audit.framed(convert_to(e.merchant_id, 'UTF8'))
        || audit.framed(convert_to(e.request_id, 'UTF8'))
        || audit.framed(convert_to(e.method, 'UTF8'))
        || audit.framed(convert_to(e.route, 'UTF8'))
        || audit.framed(e.base_digest)
        || audit.framed(convert_to(e.detail, 'UTF8'))
    )
$$;

create function audit.append(
    p_at timestamptz[], p_kind text[], p_code text[], p_key_id text[], p_merchant_id text[], p_request_id text[],
    p_method text[], p_route text[], p_base_digest bytea[], p_detail text[]
) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    tip audit.head;
    e audit.entry;
begin
    select h.* into strict tip from audit.head h for update;
    for i in 1 .. coalesce(array_length(p_at, 1), 0) loop
        e := row(
            tip.position + 1, p_at[i], p_kind[i], p_code[i], p_key_id[i], p_merchant_id[i], p_request_id[i],
            p_method[i], p_route[i], p_base_digest[i], p_detail[i], tip.hash, null
        );
        e.hash := audit.hash_of(e);
        insert into audit.entry select e.*;
        tip.position := e.position;
        tip.hash := e.hash;
    end loop;
    update audit.head set position = tip.position, hash = tip.hash;
    return tip.position;
end $$;

-- The position of the first row that does not follow from the one before it, or null when all do. A log cut at
-- the end breaks at the position after its last row.
create function audit.verify_chain() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    expected bytea := sha256('countermark-audit-v1');
    next_position bigint := 1;
    tip audit.head;
    e audit.entry;
begin
    for e in select * from audit.entry order by position loop
        if e.position <> next_position or e.previous <> expected or e.hash <> audit.hash_of(e) then
            return next_position;
        end if;
        expected := e.hash;
        next_position := next_position + 1;
    end loop;
    select h.* into tip from audit.head h;
    if not found or tip.position <> next_position - 1 or tip.hash <> expected then
        return next_position;
    end if;
    return null;
end $$;

-- Verify a part of the chain: up to p_count rows behind a row that is known to be good. `broken` is the first
-- row that does not fit, if any; `at_end` says that the chain was read to its end and its head agrees. So a log
-- of any length is verified in statements that are short.
create function audit.verify_slice(p_position bigint, p_hash bytea, p_count integer)
returns table (broken bigint, reached bigint, reached_hash bytea, at_end boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    tip audit.head;
    e audit.entry;
begin
    reached := p_position;
    reached_hash := coalesce(p_hash, sha256('countermark-audit-v1'));
    for e in select * from audit.entry where position > p_position order by position limit p_count loop
        if e.position <> reached + 1 or e.previous <> reached_hash or e.hash <> audit.hash_of(e) then
            broken := reached + 1;
            return next;
            return;
        end if;
        reached := e.position;
        reached_hash := e.hash;
    end loop;
    select h.* into tip from audit.head h;
    at_end := found and tip.position = reached and tip.hash = reached_hash;
    if not at_end and (tip.position is null or tip.position <= reached or reached < p_position + p_count) then
        broken := reached + 1;
    end if;
    return next;
end $$;

create function audit.entries_after(p_position bigint, p_count integer) returns setof audit.entry
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select * from audit.entry where position > p_position order by position limit least(p_count, 1000)
$$;

revoke all on all tables in schema audit from public;
revoke all on all functions in schema audit from public;
grant execute on function
    audit.append(timestamptz[], text[], text[], text[], text[], text[], text[], text[], bytea[], text[])
to gateway;
grant execute on function audit.verify_chain(), audit.verify_slice(bigint, bytea, integer),
    audit.entries_after(bigint, integer) to operator;
