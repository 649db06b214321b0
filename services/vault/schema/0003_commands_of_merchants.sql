-- What the gateway's commands check in the transaction that records them. The vault has acted before: here its word is
-- compared with the record, and an answer that no longer holds is not given.

create function vault.instrument_kept(merchant_id text, request_id text, at timestamptz, arguments json) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from vault.instrument i where i.merchant_id = instrument_kept.merchant_id
                   and i.token = arguments ->> 'token' and i.shredded_at is null) then
        raise exception 'the instrument was deleted meanwhile: send it again with a new idempotency key'
            using errcode = 'CM409';
    end if;
end $$;

create function vault.instrument_shredded(merchant_id text, request_id text, at timestamptz, arguments json)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from vault.instrument i where i.merchant_id = instrument_shredded.merchant_id
                   and i.token = arguments ->> 'token' and i.shredded_at is not null) then
        raise exception 'there is no such instrument' using errcode = 'CM404';
    end if;
end $$;
revoke execute on function vault.instrument_kept(text, text, timestamptz, json),
    vault.instrument_shredded(text, text, timestamptz, json) from public;

insert into commands.effect (name, function) values
    ('instrument_kept', 'vault.instrument_kept'), ('instrument_shredded', 'vault.instrument_shredded');
