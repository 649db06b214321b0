-- The Merkle log over the records: leaves in order, hashes in tiles, signed checkpoints, witnesses' cosignatures.
-- One writer at a time: whoever holds the row of `head`. Source: RFC 9162 §2.1, C2SP tlog-tiles, tlog-checkpoint.

create table evidence.leaf (
    leaf_index bigint primary key check (leaf_index >= 0),
    kind       text not null,
    subject    text not null,
    leaf_hash  bytea not null check (octet_length(leaf_hash) = 32),
    unique (kind, subject),
    foreign key (kind, subject) references evidence.record (kind, subject)
);

-- Up to 256 hashes of one level of the tree; level L holds the subtrees of 256^L leaves. Only ever longer.
create table evidence.tile (
    level  int not null check (level between 0 and 7),
    index  bigint not null check (index >= 0),
    hashes bytea not null check (octet_length(hashes) between 32 and 8192 and octet_length(hashes) % 32 = 0),
    primary key (level, index)
);

create table evidence.head (
    only_row      boolean primary key default true check (only_row),
    size          bigint not null,
    -- The last record that has a leaf.
    last_xid      xid8 not null,
    last_position bigint not null
);
insert into evidence.head (size, last_xid, last_position) values (0, '0', 0);

create table evidence.checkpoint (
    size bigint primary key check (size > 0),
    -- The signed note, without the witnesses' lines.
    note bytea not null,
    at   timestamptz not null
);

create table evidence.cosignature (
    size    bigint not null references evidence.checkpoint,
    witness text not null,
    -- One signature line of a signed note, with its line feed.
    line    bytea not null,
    primary key (size, witness)
);

create trigger append_only before update or delete on evidence.leaf
    for each row execute function evidence.refuse_change();
create trigger append_only_whole before truncate on evidence.leaf
    for each statement execute function evidence.refuse_change();
create trigger append_only before update or delete on evidence.checkpoint
    for each row execute function evidence.refuse_change();
create trigger append_only_whole before truncate on evidence.checkpoint
    for each statement execute function evidence.refuse_change();
create trigger append_only before update or delete on evidence.cosignature
    for each row execute function evidence.refuse_change();
create trigger never_deleted before delete on evidence.tile
    for each row execute function evidence.refuse_change();
create trigger never_shortened before update on evidence.tile
    for each row when (substring(new.hashes for octet_length(old.hashes)) <> old.hashes
                       or (new.level, new.index) <> (old.level, old.index))
    execute function evidence.refuse_change();

-- The writer's part. Whether anybody needs the pen; it writes nothing, so it may be asked often.
create function evidence.anything_pending() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
    select exists (
        select from evidence.record r
        where (r.xid, r.position) > (select h.last_xid, h.last_position from evidence.head h)
          and r.xid < pg_snapshot_xmin(pg_current_snapshot()))
$$;

-- Take the pen: returns no row while another holds it.
create function evidence.take_pen() returns table (size bigint, last_xid xid8, last_position bigint)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select h.size, h.last_xid, h.last_position from evidence.head h for update skip locked
$$;

-- Records after a position, in order, as the digests that their leaves are made of. A record of a transaction that
-- is older than one still running waits: another with a smaller position could commit after it.
create function evidence.pending(p_after_xid xid8, p_after_position bigint, p_rows_max int)
returns table (kind text, subject text, merchant_id text, key_id text, decision text, decided_at timestamptz,
    request_head bytea, request_body bytea, request_base bytea, request_signature bytea, response_body bytea,
    receipt_base bytea, receipt_signature bytea, statement bytea, statement_signature bytea,
    xid xid8, "position" bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off as $$
    select r.kind, r.subject, r.merchant_id, r.key_id, r.decision, r.decided_at, sha256(r.request_head),
           sha256(r.request_body), sha256(r.request_base), sha256(r.request_signature), sha256(r.response_body),
           sha256(r.receipt_base), sha256(r.receipt_signature), sha256(r.statement),
           sha256(r.statement_signature), r.xid, r.position
    from evidence.record r
    where (r.xid, r.position) > (p_after_xid, p_after_position)
      and r.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by r.xid, r.position limit p_rows_max
$$;

-- Tiles that exist among those asked for, as far as they are filled.
create function evidence.tiles(p_levels int[], p_indexes bigint[])
returns table (level int, index bigint, hashes bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select t.level, t.index, t.hashes
    from unnest(p_levels, p_indexes) as g (level, index)
    join evidence.tile t on t.level = g.level and t.index = g.index
$$;

-- Append one batch and its checkpoint. The caller holds the pen, and says from which size it counted.
create function evidence.append(
    p_size_before bigint, p_kinds text[], p_subjects text[], p_leaf_hashes bytea[], p_last_xid xid8,
    p_last_position bigint, p_tile_levels int[], p_tile_indexes bigint[], p_tile_hashes bytea[], p_note bytea,
    p_at timestamptz
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    update evidence.head h set size = p_size_before + cardinality(p_subjects), last_xid = p_last_xid,
        last_position = p_last_position
    where h.size = p_size_before and (p_last_xid, p_last_position) > (h.last_xid, h.last_position);
    if not found then
        raise exception 'the log is not where the writer left it' using errcode = 'serialization_failure';
    end if;
    insert into evidence.leaf (leaf_index, kind, subject, leaf_hash)
        select p_size_before + g.item - 1, g.kind, g.subject, g.leaf_hash
        from unnest(p_kinds, p_subjects, p_leaf_hashes) with ordinality as g (kind, subject, leaf_hash, item);
    insert into evidence.tile as t (level, index, hashes)
        select g.level, g.index, g.hashes
        from unnest(p_tile_levels, p_tile_indexes, p_tile_hashes) as g (level, index, hashes)
        on conflict (level, index) do update set hashes = excluded.hashes;
    insert into evidence.checkpoint (size, note, at)
        values (p_size_before + cardinality(p_subjects), p_note, p_at);
end $$;

-- The newest checkpoint, and what its witness has not seen yet: what the cosignature collector asks.
create function evidence.newest_checkpoint() returns table (size bigint, note bytea, at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.size, c.note, c.at from evidence.checkpoint c order by c.size desc limit 1
$$;
create function evidence.cosigned_size(p_witness text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce(max(s.size), 0) from evidence.cosignature s where s.witness = p_witness
$$;
create function evidence.cosign(p_size bigint, p_witness text, p_line bytea) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    insert into evidence.cosignature (size, witness, line) values (p_size, p_witness, p_line)
    on conflict do nothing
$$;
create index cosignature_of_witness on evidence.cosignature (witness, size);

-- The reader's part: what belongs to a bundle.

-- One record of a merchant, with its place in the log; `leaf_index` is null until it has one.
create function evidence.find_record(p_merchant_id text, p_kind text, p_subject text)
returns table (kind text, subject text, merchant_id text, key_id text, decision text, decided_at timestamptz,
    request_head bytea, request_body bytea, request_base bytea, request_signature bytea, response_body bytea,
    receipt_base bytea, receipt_signature bytea, statement bytea, statement_signature bytea, leaf_index bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.kind, r.subject, r.merchant_id, r.key_id, r.decision, r.decided_at, r.request_head, r.request_body,
           r.request_base, r.request_signature, r.response_body, r.receipt_base, r.receipt_signature, r.statement,
           r.statement_signature, l.leaf_index
    from evidence.record r left join evidence.leaf l on l.kind = r.kind and l.subject = r.subject
    where r.kind = p_kind and r.subject = p_subject and r.merchant_id = p_merchant_id
$$;

-- The newest checkpoint, that of at least `p_size_min` leaves, that a witness has cosigned; if there is none, the
-- newest that has waited longer than the grace in vain; else no row. Several rows: one for each cosignature.
create function evidence.find_checkpoint(p_size_min bigint, p_grace interval)
returns table (size bigint, note bytea, line bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with cosigned as (
        select max(s.size) as size from evidence.cosignature s where s.size >= p_size_min
    ), waited as (
        select c.size from evidence.checkpoint c
        where c.size >= p_size_min and c.at < now() - p_grace order by c.size desc limit 1
    )
    select c.size, c.note, s.line
    from evidence.checkpoint c left join evidence.cosignature s on s.size = c.size
    where c.size = coalesce((select k.size from cosigned k), (select w.size from waited w))
    order by s.witness
$$;

-- For `/.well-known/`: the newest checkpoint with what witnesses have said about it.
create function evidence.published_checkpoint() returns table (size bigint, note bytea, line bytea)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.size, c.note, s.line
    from (select * from evidence.checkpoint order by size desc limit 1) c
    left join evidence.cosignature s on s.size = c.size order by s.witness
$$;

revoke all on all tables in schema evidence from public;
revoke all on all functions in schema evidence from public;
grant usage on schema evidence to gateway, evidence;
grant execute on function
    evidence.record_refusals(text[], text[], text[], text[], timestamptz[], bytea[], bytea[], bytea[], bytea[],
        bytea[], bytea[], bytea[]),
    evidence.find_record(text, text, text), evidence.find_checkpoint(bigint, interval),
    evidence.published_checkpoint(), evidence.tiles(int[], bigint[])
to gateway;
grant execute on function
    evidence.anything_pending(), evidence.take_pen(), evidence.pending(xid8, bigint, int), evidence.tiles(int[], bigint[]),
    evidence.append(bigint, text[], text[], bytea[], xid8, bigint, int[], bigint[], bytea[], bytea, timestamptz),
    evidence.newest_checkpoint(), evidence.cosigned_size(text), evidence.cosign(bigint, text, bytea)
to evidence;
