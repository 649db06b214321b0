-- What a merchant asked for, and what we promised: accounts, payments, idempotency keys, evidence.
-- The role `migrator` owns everything here; services reach it through the functions of the later files alone.

create schema if not exists payments;
revoke all on schema payments from public;

-- The balance of one merchant in one currency, and the account's place in its own order of events.
-- Credits raise posted_minor, holds raise held_minor; what may be paid out is posted - held.
create table payments.account (
    account_id   text primary key check (account_id ~ '^[a-z0-9_]{1,64}$'),
    merchant_id  text not null check (merchant_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    currency     text not null check (currency ~ '^[A-Z]{3}$'),
    posted_minor bigint not null default 0,
    held_minor   bigint not null default 0 check (held_minor >= 0),
    version      bigint not null default 0 check (version >= 0),
    opened_at    timestamptz not null default now(),
    unique (merchant_id, currency),
    -- The target of payment's reference: an account of another merchant or currency cannot be named.
    unique (account_id, merchant_id, currency),
    constraint account_never_overdrawn check (posted_minor - held_minor >= 0)
) with (fillfactor = 50);  -- balances change all the time: room on the page lets the update stay there

create table payments.payment (
    -- Ids carry their cell; the attempt's id and the event's id are derived from the part after `pay_`.
    payment_id         text primary key check (payment_id ~ '^pay_[a-z0-9]{1,8}_[0-9a-z]{26}$'),
    -- Order of acceptance. Among accepts that overlapped in time, account_version tells which was first.
    ordinal            bigint generated always as identity,
    account_id         text not null,
    merchant_id        text not null,
    kind               text not null check (kind in ('collect', 'payout')),
    -- Twelve digits are ten thousand million euros: a larger amount is a mistake, and sums stay far below 2^63.
    amount_minor       bigint not null check (amount_minor between 1 and 999999999999),
    currency           text not null,
    instrument         text not null check (instrument ~ '^tok_[A-Za-z0-9_]{1,124}$'),
    merchant_reference text check (length(merchant_reference) between 1 and 255),
    status             text not null check (status in ('accepted', 'submitted', 'unknown', 'succeeded', 'failed')),
    sequence           int not null check (sequence >= 1),
    account_version    bigint,
    -- Where it was sent, once it was; a failed funds check leaves it empty.
    bank               text,
    decline_code       text,
    accepted_at        timestamptz not null,
    updated_at         timestamptz not null,
    -- The reminder. It lives in the row that it reminds of, so the two cannot disagree.
    due                timestamptz,
    constraint payment_reminder check ((status in ('succeeded', 'failed')) = (due is null)),
    constraint payment_version check ((status = 'accepted') = (account_version is null)),
    constraint payment_routed check (status not in ('submitted', 'unknown') or bank is not null),
    constraint payment_decline check ((status = 'failed') = (decline_code is not null)),
    foreign key (account_id, merchant_id, currency)
        references payments.account (account_id, merchant_id, currency)
) with (fillfactor = 80);

-- The mailbox: what waits for its account's turn, oldest first.
create index payment_waiting on payments.payment (ordinal) where status = 'accepted';
-- The reminders of what was handed to a bank, bank by bank, so that the backlog of one that is away hides nobody
-- else's. Waiting payments are left out: the mailbox drives these.
create index payment_due on payments.payment (bank, due) where status in ('submitted', 'unknown');
-- For the checks that look at every open payment, whatever its bank.
create index payment_open on payments.payment (due) where status in ('accepted', 'submitted', 'unknown');

create table payments.idempotency_key (
    merchant_id     text not null,
    route           text not null,
    key_hash        bytea not null check (length(key_hash) = 32),
    fingerprint     bytea not null check (length(fingerprint) = 32),
    response_status int not null,
    response_body   bytea not null,
    payment_id      text not null,
    accepted_at     timestamptz not null,
    primary key (merchant_id, route, key_hash)
);

-- What was verified and what we signed back, byte for byte; an arbiter reads this.
create table payments.evidence (
    payment_id        text primary key references payments.payment,
    key_id            text not null,
    request_base      bytea not null,
    request_signature bytea not null,
    request_body      bytea not null,
    receipt_base      bytea not null,
    receipt_signature bytea not null,
    accepted_at       timestamptz not null
);
