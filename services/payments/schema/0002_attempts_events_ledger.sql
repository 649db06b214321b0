-- What was done about a payment: bank attempts, events, ledger transfers. The last two only ever grow.

-- One try at one bank. Its id is the bank's idempotency key and follows from the payment's id and the number,
-- so that every worker rebuilds the same request from the row.
--   intent         nothing was sent; anybody may take the lease and send
--   sending        the holder of `epoch` may have sent it
--   unknown        it may have moved money; ask, never give up, never send it elsewhere
--   confirmed, declined, not_processed   final
create table payments.attempt (
    attempt_id     text primary key,
    payment_id     text not null references payments.payment,
    number         int not null check (number >= 1),
    bank           text not null,
    operation      text not null check (operation in ('collect', 'payout')),
    state          text not null
        check (state in ('intent', 'sending', 'unknown', 'confirmed', 'declined', 'not_processed')),
    epoch          int not null check (epoch >= 1),
    -- How often the outcome was asked for in vain; chooses the next delay.
    tries          int not null default 0,
    -- How often in a row a call certainly never left; chooses the pause before the next.
    unsent         int not null default 0,
    bank_reference text,
    decline_code   text,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    unique (payment_id, number)
) with (fillfactor = 80);

-- At most one attempt of a payment can move money, over all banks. `confirmed` is inside on purpose: after a
-- success no second attempt can be inserted, nor while one is in flight or unknown.
create unique index one_money_attempt on payments.attempt (payment_id)
    where state not in ('declined', 'not_processed');

-- Every change of state, and at the same time the outbox: a row is written in the transaction that made the
-- change. (xid, position) orders rows so that a reader that stays below the oldest running transaction can never
-- miss one that commits late. Transaction ids survive a physical copy and a failover; after a logical restore
-- into another cluster the bus has to be wiped, so that it is filled again from the start.
create table payments.event (
    payment_id      text not null,
    sequence        int not null,
    type            text not null check (type in ('payment.accepted', 'payment.submitted',
                        'payment.outcome_unknown', 'payment.succeeded', 'payment.failed')),
    account_version bigint,
    decline_code    text,
    at              timestamptz not null,
    xid             xid8 not null default pg_current_xact_id(),
    position        bigint generated always as identity,
    primary key (payment_id, sequence)
);
create index event_outbox on payments.event (xid, position);

-- Double entry in TigerBeetle's form: one row moves one amount from one account to another, so that it balances
-- by construction. A hold is pending; a post or void of it names it in `resolves`, once. The bank's side is
-- `bank:<name>:<currency>`; it has no row of balances, because every payment would queue for that row.
create table payments.ledger_transfer (
    transfer_id    text primary key,
    payment_id     text not null,
    kind           text not null check (kind in ('hold', 'post', 'void')),
    debit_account  text not null,
    credit_account text not null check (credit_account <> debit_account),
    amount_minor   bigint not null check (amount_minor > 0),
    currency       text not null,
    resolves       text unique references payments.ledger_transfer,
    at             timestamptz not null default now(),
    -- The id follows from payment and kind: writing the same transfer again is an error, not a second transfer.
    constraint transfer_deterministic check (transfer_id = payment_id || '/' || kind),
    constraint transfer_resolves check (
        case kind when 'hold' then resolves is null
                  when 'void' then resolves = payment_id || '/hold'
                  else resolves is null or resolves = payment_id || '/hold' end)
);

create function payments.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% on %.% is refused: it only ever grows', tg_op, tg_table_schema, tg_table_name
        using errcode = 'restrict_violation';
end $$;
revoke execute on function payments.refuse_change() from public;

create trigger append_only before update or delete on payments.evidence
    for each row execute function payments.refuse_change();
create trigger append_only before update or delete on payments.event
    for each row execute function payments.refuse_change();
create trigger append_only before update or delete on payments.ledger_transfer
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.evidence
    for each statement execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.event
    for each statement execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.ledger_transfer
    for each statement execute function payments.refuse_change();
