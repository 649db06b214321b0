-- What acts once per idempotency key, in full: refusals are kept and repeated like any answer, an answer is forgotten in
-- time, a claim that is under way is not waited for without end. Merchants revoke keys, and every worker hears of it.

-- How long a key is good for: the full answer for 30 days, then the fact that the key was used, for 400 days from its
-- use. Merchants' clients retry for minutes; 400 days leave no book-keeping year in which a key could act twice.
create function commands.answer_age_max() returns interval
language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '30 days' $$;
create function commands.tombstone_age_max() returns interval
language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '400 days' $$;

-- A tombstone keeps scope, key hash and fingerprint.
alter table commands.request
    alter column response_body drop not null, alter column resource_id drop not null,
    alter column request_id drop not null,
    -- The code of a stored refusal; empty where the command was done.
    add column refusal text,
    add constraint request_refusal check ((refusal is null) = (response_status < 400));
drop index commands.request_at;
create index request_answered on commands.request (at) where response_body is not null;
create index request_buried on commands.request (at) where response_body is null;
alter table registry.key_request
    alter column response_body drop not null,
    add column request_id text;
create index key_request_answered on registry.key_request (at) where response_body is not null;
create index key_request_buried on registry.key_request (at) where response_body is null;

-- A function (signing key, arguments) that holds what the effect needs instead of registry.hold_keys.
alter table commands.effect add column hold text check (hold ~ '^[a-z_]+\.[a-z_]+$');

drop function commands.perform(text, text, bytea, bytea, int, bytea, text, text, timestamptz, text, bytea, bytea, bytea,
    bytea, bytea, bytea, text, json);

-- Returns `new`; `refused`, with the refusal that is stored from now on; `repeat` with the stored answer or refusal;
-- `mismatch`, the key was used for another request; `expired`, it was used so long ago that the answer is gone;
-- `in_progress`, another request holds the key; `revoked`, the signing key is not valid. Of the last four nothing was
-- written. `p_request_body` is null where a body must not be kept. `p_refusals` has, for each code with which the effect
-- may refuse, `status` and `body`, in which "{detail}" stands for the sentence; the effect raises CM403 or CM409 with
-- the sentence, and with the code as its detail where it is not the plain not_permitted or state_conflict.
create function commands.perform(
    p_merchant_id text, p_route text, p_key_hash bytea, p_fingerprint bytea, p_response_status int,
    p_response_body bytea, p_resource_id text, p_request_id text, p_at timestamptz, p_key_id text,
    p_request_head bytea, p_request_base bytea, p_request_signature bytea, p_request_body bytea,
    p_receipt_base bytea, p_receipt_signature bytea, p_effect text, p_arguments json, p_refusals json)
returns table (outcome text, response_status int, response_body bytea, resource_id text, request_id text, refusal text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
-- A command takes milliseconds: whoever has waited this long for another one answers instead of hanging.
set lock_timeout = '1s'
as $$
#variable_conflict use_column
declare
    earlier commands.request;
    effect commands.effect;
    code text;
    sentence text;
    form json;
begin
    select e.* into strict effect from commands.effect e where e.name = p_effect;
    -- Before anything is written: see registry.hold_keys.
    if effect.hold is null then
        perform registry.hold_keys(array[p_key_id]);
    else
        execute format('select %I.%I($1, $2)', split_part(effect.hold, '.', 1), split_part(effect.hold, '.', 2))
            using p_key_id, p_arguments;
    end if;
    if not exists (select from registry.merchant_key k
                   where k.key_id = p_key_id and k.merchant_id = p_merchant_id and k.revoked_at is null) then
        return query select 'revoked', null::int, null::bytea, null::text, null::text, null::text;
        return;
    end if;
    begin
        insert into commands.request (merchant_id, route, key_hash, fingerprint, response_status, response_body,
                                      request_id, resource_id, at)
        values (p_merchant_id, p_route, p_key_hash, p_fingerprint, p_response_status, p_response_body, p_request_id,
                p_resource_id, p_at)
        on conflict do nothing;
    exception when lock_not_available then
        return query select 'in_progress', null::int, null::bytea, null::text, null::text, null::text;
        return;
    end;
    if not found then
        return query select * from commands.find_repeat(p_merchant_id, p_route, p_key_hash, p_fingerprint);
        return;
    end if;
    begin
        -- The command stands in the log before what it does: a key's last words before its revocation.
        insert into evidence.record (kind, subject, merchant_id, key_id, decision, decided_at, request_head,
            request_body, request_base, request_signature, response_body, receipt_base, receipt_signature)
        values ('command', p_request_id, p_merchant_id, p_key_id, 'accepted', p_at, p_request_head, p_request_body,
            p_request_base, p_request_signature, p_response_body, p_receipt_base, p_receipt_signature);
        execute format('select %I.%I($1, $2, $3, $4)', split_part(effect.function, '.', 1),
                       split_part(effect.function, '.', 2))
            using p_merchant_id, p_request_id, p_at, p_arguments;
        return query select 'new', p_response_status, p_response_body, p_resource_id, p_request_id, null::text;
        return;
    exception
        when sqlstate 'CM403' then
            get stacked diagnostics code = pg_exception_detail, sentence = message_text;
            code := coalesce(nullif(code, ''), 'not_permitted');
        when sqlstate 'CM409' then
            get stacked diagnostics code = pg_exception_detail, sentence = message_text;
            code := coalesce(nullif(code, ''), 'state_conflict');
    end;
    form := p_refusals -> code;
    if form is null then
        raise exception 'the effect % refused with %, which its operation does not know', p_effect, code
            using errcode = 'invalid_parameter_value';
    end if;
    return query
    update commands.request r
    set response_status = (form ->> 'status')::int, refusal = code,
        response_body = convert_to(replace(form ->> 'body', '"{detail}"', to_json(sentence)::text), 'UTF8')
    where r.merchant_id = p_merchant_id and r.route = p_route and r.key_hash = p_key_hash
    returning 'refused', r.response_status, r.response_body, r.resource_id, r.request_id, r.refusal;
end $$;

drop function commands.find_repeat(text, text, bytea);
-- What is known about a key that a command was claimed with: no row, or `repeat`, `mismatch` or `expired`.
create function commands.find_repeat(p_merchant_id text, p_route text, p_key_hash bytea, p_fingerprint bytea)
returns table (outcome text, response_status int, response_body bytea, resource_id text, request_id text, refusal text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case when r.fingerprint <> p_fingerprint then 'mismatch'
                when r.response_body is null or r.at < now() - commands.answer_age_max() then 'expired'
                else 'repeat' end,
           s.*
    from commands.request r
    -- Nothing of the answer is shown to who asked for something else.
    left join lateral (select r.response_status, r.response_body, r.resource_id, r.request_id, r.refusal
                       where r.fingerprint = p_fingerprint) s on true
    where r.merchant_id = p_merchant_id and r.route = p_route and r.key_hash = p_key_hash
$$;

-- Bury the answers that are old enough and forget the oldest tombstones, oldest first, of commands and registrations;
-- returns how many rows it changed, at most 4 × rows_max. How old is not the caller's to say. One worker at a time.
create function commands.prune(rows_max int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed int;
    total int := 0;
begin
    if rows_max not between 1 and 1000 then
        raise exception 'a batch has 1 to 1000 rows' using errcode = 'invalid_parameter_value';
    end if;
    if not pg_try_advisory_xact_lock(hashtextextended('commands.prune', 0)) then
        return 0;
    end if;
    update commands.request r set response_body = null, resource_id = null, request_id = null
    where r.ctid = any (array(
        select o.ctid from commands.request o
        where o.response_body is not null and o.at < now() - commands.answer_age_max()
        order by o.at limit rows_max for update skip locked));
    get diagnostics changed = row_count;
    total := total + changed;
    delete from commands.request r
    where r.ctid = any (array(
        select o.ctid from commands.request o
        where o.response_body is null and o.at < now() - commands.tombstone_age_max()
        order by o.at limit rows_max for update skip locked));
    get diagnostics changed = row_count;
    total := total + changed;
    update registry.key_request r set response_body = null, request_id = null
    where r.ctid = any (array(
        select o.ctid from registry.key_request o
        where o.response_body is not null and o.at < now() - commands.answer_age_max()
        order by o.at limit rows_max for update skip locked));
    get diagnostics changed = row_count;
    total := total + changed;
    delete from registry.key_request r
    where r.ctid = any (array(
        select o.ctid from registry.key_request o
        where o.response_body is null and o.at < now() - commands.tombstone_age_max()
        order by o.at limit rows_max for update skip locked));
    get diagnostics changed = row_count;
    return total + changed;
end $$;

revoke execute on all functions in schema commands from public;
grant execute on function
    commands.perform(text, text, bytea, bytea, int, bytea, text, text, timestamptz, text, bytea, bytea, bytea, bytea,
        bytea, bytea, text, json, json),
    commands.find_repeat(text, text, bytea, bytea),
    commands.prune(int)
    to gateway;
