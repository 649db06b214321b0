-- Which banks get new payments: a person may keep them from one, and let them back. Payments that a bank has
-- already are untouched. Who did it is the person of the certificate (payments.person(), in 0013).

create table payments.bank (
    bank  text collate "C" primary key check (bank ~ '^[a-z][a-z0-9-]*$' and length(bank) <= 63),
    known timestamptz not null default now()
);

create table payments.bank_control (
    number  bigint      generated always as identity primary key,
    at      timestamptz not null default now(),
    bank    text collate "C" not null references payments.bank,
    drained boolean     not null,
    person  text collate "C" not null check (person ~ '^operator-[a-z0-9-]+$' and length(person) <= 31),
    reason  text        not null check (length(reason) between 1 and 200 and reason ~ '^[ -~]+$')
);
create index bank_control_latest on payments.bank_control (bank, number desc);
create trigger append_only before update or delete on payments.bank_control
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.bank_control
    for each statement execute function payments.refuse_change();

-- The last word about each bank that an engine was ever connected to; what nobody drained is in use. As many rows
-- as banks.
create function payments.bank_controls()
returns table (bank text, drained boolean, person text, reason text, at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select b.bank, coalesce(c.drained, false), c.person, c.reason, c.at
    from payments.bank b left join lateral (
        select * from payments.bank_control said where said.bank = b.bank order by said.number desc limit 1) c on true
    order by b.bank
$$;

-- An engine says which banks it is connected to, so that nobody drains a misspelt one in vain.
create function payments.know_banks(banks text[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    insert into payments.bank (bank) select distinct unnest(banks) order by 1 on conflict do nothing
$$;

-- The newest words about one bank, newest first.
create function payments.bank_control_history(bank text, rows_max int)
returns table (at timestamptz, drained boolean, person text, reason text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select c.at, c.drained, c.person, c.reason
    from payments.bank_control c where c.bank = $1 order by c.number desc limit least(rows_max, 1000)
$$;

-- Say it; false where it is so already, and nothing is written. Not granted.
create function payments.control_bank(bank text, drained boolean, reason text) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    who constant text := payments.person();
begin
    -- Two persons at once: the second one sees what the first one said.
    perform from payments.bank b where b.bank = control_bank.bank for update;
    if not found then
        raise exception 'no engine is connected to a bank %', control_bank.bank using errcode = 'no_data_found';
    end if;
    if coalesce(length(btrim(control_bank.reason)), 0) not between 1 and 200 or control_bank.reason !~ '^[ -~]+$' then
        raise exception 'the reason is one line of 1 to 200 printable ASCII characters'
            using errcode = 'invalid_parameter_value';
    end if;
    if control_bank.drained = coalesce((select c.drained from payments.bank_control c
            where c.bank = control_bank.bank order by c.number desc limit 1), false)
    then
        return false;
    end if;
    insert into payments.bank_control (bank, drained, person, reason)
    values (control_bank.bank, control_bank.drained, who, control_bank.reason);
    return true;
end $$;

create function payments.drain_bank(bank text, reason text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select payments.control_bank(bank, true, reason)
$$;

create function payments.resume_bank(bank text, reason text) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    select payments.control_bank(bank, false, reason)
$$;

revoke execute on all functions in schema payments from public;
grant execute on function payments.know_banks(text[]) to payments;
grant execute on function payments.bank_controls() to payments, operator;
grant execute on function
    payments.drain_bank(text, text), payments.resume_bank(text, text),
    payments.bank_control_history(text, int)
    to operator;
