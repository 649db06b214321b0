-- What the engine decides by: reviews, authorisations, captures, refunds, disputes, the mailbox, credits that wait
-- for their window. Rows are read and written whole, under the lock of their account, by the functions of 0010.

-- Ids are compared byte by byte, not by a language's rules: every index below is of ids.
alter table payments.account alter column account_id type text collate "C",
    alter column merchant_id type text collate "C";
alter table payments.payment alter column payment_id type text collate "C",
    alter column account_id type text collate "C", alter column merchant_id type text collate "C",
    alter column bank type text collate "C", alter column status type text collate "C";
alter table payments.attempt alter column attempt_id type text collate "C",
    alter column payment_id type text collate "C", alter column bank type text collate "C",
    alter column operation type text collate "C", alter column state type text collate "C";
alter table payments.event alter column payment_id type text collate "C", alter column type type text collate "C";
alter table payments.ledger_transfer alter column transfer_id type text collate "C",
    alter column payment_id type text collate "C", alter column resolves type text collate "C";
alter table payments.idempotency_key alter column merchant_id type text collate "C",
    alter column route type text collate "C", alter column payment_id type text collate "C";

-- Checks run on every update of their row. A bounded repetition such as {26} makes PostgreSQL build an automaton
-- of as many states each time, which cost more than all the rest of a step; `+` and a length say the same.
alter table payments.account
    drop constraint account_account_id_check, drop constraint account_merchant_id_check,
    drop constraint account_currency_check,
    add constraint account_id_form check (account_id ~ '^[a-z0-9_]+$' and length(account_id) <= 64),
    add constraint account_merchant_form check (merchant_id ~ '^[A-Za-z0-9_-]+$' and length(merchant_id) <= 64),
    add constraint account_currency_form check (currency ~ '^[A-Z]+$' and length(currency) = 3),
    -- Credits that no window has posted yet; not spendable until one has.
    add column unposted_minor bigint not null default 0 check (unposted_minor >= 0);

alter table payments.payment
    drop constraint payment_status_check, drop constraint payment_reminder, drop constraint payment_version,
    drop constraint payment_routed, drop constraint payment_decline, drop constraint payment_payment_id_check,
    drop constraint payment_instrument_check,
    add constraint payment_id_form check (payment_id ~ '^pay_[a-z0-9]+_[0-9a-z]+$'
        and length(split_part(payment_id, '_', 2)) <= 8 and length(split_part(payment_id, '_', 3)) = 26),
    add constraint payment_instrument_form check (instrument ~ '^tok_[A-Za-z0-9_]+$' and length(instrument) <= 128),
    add column capture_method text not null default 'automatic' check (capture_method in ('automatic', 'manual')),
    add column captured_minor bigint not null default 0,
    add column refund_reserved_minor bigint not null default 0 check (refund_reserved_minor >= 0),
    add column refunded_minor bigint not null default 0 check (refunded_minor >= 0),
    add column disputed_minor bigint not null default 0 check (disputed_minor >= 0),
    add column expires_at timestamptz,
    add column reviewers text[] not null default '{}',
    add column raised_at timestamptz,
    add column tries int not null default 0 check (tries >= 0);
update payments.payment set captured_minor = amount_minor where kind = 'collect' and status = 'succeeded';
drop index payments.payment_due, payments.payment_open;
alter table payments.payment
    -- Whose answer is awaited; empty where no bank's is.
    add column waits_for text collate "C" generated always as (
        case when status in ('submitted', 'unknown', 'capturing', 'voiding') then bank end) stored,
    add constraint payment_status check (status in ('accepted', 'screening', 'in_review', 'reserved', 'submitted',
        'unknown', 'authorized', 'capturing', 'voiding', 'succeeded', 'failed', 'canceled', 'expired')),
    add constraint payment_reminder
        check ((status in ('succeeded', 'failed', 'canceled', 'expired')) = (due is null)),
    add constraint payment_version check ((status = 'accepted') = (account_version is null)),
    add constraint payment_routed check (bank is not null or status not in
        ('submitted', 'unknown', 'authorized', 'capturing', 'voiding', 'succeeded')),
    add constraint payment_decline check ((status = 'failed') = (decline_code is not null)),
    add constraint payment_manual check (kind = 'collect' or capture_method = 'automatic'),
    add constraint payment_captured check (captured_minor between 0 and amount_minor),
    -- No more can be given back, or be disputed, than was taken.
    add constraint payment_headroom
        check (captured_minor - refund_reserved_minor - refunded_minor - disputed_minor >= 0);
-- The reminders, bank by bank, so that the backlog of one that is away hides nobody else's. Waiting payments are
-- left out: the mailbox drives these. Two partial indexes are all that a step of a payment has to touch.
create index payment_due on payments.payment (waits_for, due)
    where status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired');

create table payments.refund (
    refund_id    text collate "C" primary key check (refund_id ~ '^ref_[a-z0-9]+_[0-9a-z]+$'
        and length(split_part(refund_id, '_', 2)) <= 8 and length(split_part(refund_id, '_', 3)) = 26),
    payment_id   text collate "C" not null references payments.payment,
    origin       text not null check (origin in ('user', 'bank', 'customer_service', 'system')),
    amount_minor bigint not null check (amount_minor between 1 and 999999999999),
    status       text not null check (status in ('requested', 'in_review', 'reserved', 'submitted', 'unknown',
                     'succeeded', 'failed', 'canceled', 'reversed')),
    reason       text not null check (length(reason) <= 255),
    asked_by     text not null check (length(asked_by) between 1 and 128),
    approved_by  text check (approved_by <> asked_by),
    decline_code text,
    due          timestamptz,
    asked_at     timestamptz not null,
    -- The bank of its last attempt, while that one's answer is awaited.
    waits_for    text collate "C",
    constraint refund_reminder
        check ((status in ('succeeded', 'failed', 'canceled', 'reversed')) = (due is null)),
    constraint refund_waits check ((status in ('submitted', 'unknown')) = (waits_for is not null))
) with (fillfactor = 80);
create index refund_of_payment on payments.refund (payment_id);
create index refund_due on payments.refund (waits_for, due) where due is not null;

create table payments.dispute (
    dispute_id     text collate "C" primary key check (dispute_id ~ '^dsp_[a-z0-9]+_[0-9a-z]+$'
        and length(split_part(dispute_id, '_', 2)) <= 8 and length(split_part(dispute_id, '_', 3)) = 26),
    payment_id     text collate "C" not null references payments.payment,
    amount_minor   bigint not null check (amount_minor between 1 and 999999999999),
    status         text not null check (status in ('opened', 'won', 'lost', 'accepted', 'expired')),
    bank_reference text not null check (length(bank_reference) between 1 and 255),
    due            timestamptz,
    opened_at      timestamptz not null,
    constraint dispute_reminder check ((status = 'opened') = (due is not null))
) with (fillfactor = 80);
create index dispute_of_payment on payments.dispute (payment_id);
create index dispute_due on payments.dispute (due) where due is not null;

-- One try at one bank: of the payment itself, or of a refund of it.
alter table payments.attempt
    drop constraint attempt_operation_check, drop constraint attempt_state_check,
    drop constraint attempt_payment_id_number_key,
    add column subject_id text collate "C",
    add column amount_minor bigint,
    -- How often in a row the bank said that it does not know the attempt, and since when.
    add column not_founds int not null default 0 check (not_founds >= 0),
    add column not_found_since timestamptz,
    add column routing text;
update payments.attempt a set subject_id = a.payment_id, amount_minor = p.amount_minor
from payments.payment p where p.payment_id = a.payment_id;
drop index payments.one_money_attempt;
alter table payments.attempt
    alter column subject_id set not null, alter column amount_minor set not null,
    -- What a subject can do once only: move its money, and each of the steps after that.
    add column op_key text collate "C" generated always as (
        case when operation in ('collect', 'authorise', 'payout') then 'money' else operation end) stored,
    add constraint attempt_operation
        check (operation in ('collect', 'authorise', 'capture', 'void', 'payout', 'refund')),
    add constraint attempt_state check (state in
        ('intent', 'sending', 'unknown', 'confirmed', 'declined', 'not_processed', 'reversed')),
    add constraint attempt_amount check (amount_minor between 1 and 999999999999),
    add constraint attempt_subject check (case operation when 'refund' then subject_id ~ '^ref_'
        else subject_id = payment_id end),
    -- The bank's idempotency key follows from what it is about: nobody can name one request in two ways.
    add constraint attempt_deterministic check (attempt_id = 'att_' || substr(subject_id, 5) || '_'
        || case operation when 'capture' then 'c' when 'void' then 'v' when 'refund' then 'r' else '' end || number);
create index attempt_of_payment on payments.attempt (payment_id);
-- I3. At most one attempt of a subject's step can take effect, over all banks. `confirmed` is inside on purpose:
-- after a success no second attempt can be inserted, nor while one is in flight or unknown.
create unique index one_money_attempt on payments.attempt (subject_id, op_key)
    where state not in ('declined', 'not_processed', 'reversed');

-- What others have to say to an account, durable and once: its place is drawn from the sequence of the payments'
-- ordinals, so that both together are in one order of arrival.
create table payments.mail (
    mail_id    bigint primary key default nextval('payments.payment_ordinal_seq'),
    account_id text collate "C" not null,
    payment_id text collate "C" not null references payments.payment,
    body       json not null,
    source     text not null check (source ~ '^[a-z0-9:_.-]+$' and length(source) <= 128),
    source_id  text collate "C" not null check (length(source_id) between 1 and 255),
    created_at timestamptz not null default now(),
    done_at    timestamptz,
    result     text,
    unique (source, source_id),
    constraint mail_done check ((done_at is null) = (result is null))
);
create index mail_waiting on payments.mail (mail_id) where done_at is null;

-- The decision of the fraud service that a payment went by.
create table payments.screening (
    payment_id    text collate "C" primary key,
    verdict       text not null check (verdict in ('pass', 'review', 'reject')),
    rule_pack     text not null,
    inputs_digest text not null check (inputs_digest ~ '^[0-9a-f]+$' and length(inputs_digest) = 64),
    reasons       text[] not null,
    at            timestamptz not null default now()
);

-- What a bank said that cannot be true together with what it said before.
create table payments.contradiction (
    number  bigint generated always as identity primary key,
    subject text not null,
    problem text not null,
    at      timestamptz not null default now()
);

alter table payments.event
    drop constraint event_type_check,
    add column subject_id text,
    add column details jsonb,
    add constraint event_type check (type in (
        'payment.accepted', 'payment.screening_passed', 'payment.review_opened', 'payment.review_approved',
        'payment.review_rejected', 'payment.reserved', 'payment.submitted', 'payment.outcome_unknown',
        'payment.outcome_resolved', 'payment.bank_changed', 'payment.authorized', 'payment.capture_requested',
        'payment.captured', 'payment.capture_declined', 'payment.void_requested', 'payment.void_declined',
        'payment.canceled', 'payment.expired', 'payment.succeeded', 'payment.failed', 'payment.late_success',
        'payment.needs_operator', 'payment.contradiction', 'refund.requested', 'refund.review_opened',
        'refund.review_approved', 'refund.review_rejected', 'refund.submitted', 'refund.outcome_unknown',
        'refund.outcome_resolved', 'refund.succeeded', 'refund.failed', 'refund.canceled', 'refund.reversed',
        'dispute.opened', 'dispute.won', 'dispute.lost', 'dispute.expired')),
    add constraint event_subject check (case split_part(type, '.', 1)
        when 'refund' then subject_id ~ '^ref_' when 'dispute' then subject_id ~ '^dsp_'
        else subject_id is null or subject_id = payment_id end);

-- An account that a transfer names: a merchant's, or one of the four kinds that are ours.
--   bank:<name>:<currency>   what a bank owes us or we owe it
--   clearing:<currency>      credited by a bank, not yet by a window; the other side of a hold without a bank
--   suspense:<currency>      money that nobody can be given: a late success, until it has been given back
--   debt:<account>           what a merchant owes because a bank took more than there was
alter table payments.ledger_transfer
    drop constraint transfer_deterministic, drop constraint transfer_resolves,
    alter column payment_id drop not null,
    -- The id follows from what is moved and why: writing the same transfer again is an error, not a second one.
    add constraint transfer_deterministic check (case
        when payment_id is null then
            kind = 'post' and transfer_id like credit_account || '/window/%'
            and transfer_id ~ '/window/[0-9]+$' and debit_account = 'clearing:' || currency
        when transfer_id like 'pay\_%' then
            transfer_id in (payment_id || '/' || kind, payment_id || '/late')
            and (kind = 'post' or transfer_id not like '%/late')
        else transfer_id ~ '^(ref|dsp)_[a-z0-9]+_[0-9a-z]+/(hold|post|void|reverse|debt)$'
            and (split_part(transfer_id, '/', 2) = kind
                 or kind = 'post' and split_part(transfer_id, '/', 2) in ('reverse', 'debt')) end),
    add constraint transfer_resolves check (case kind
        when 'hold' then resolves is null
        when 'void' then resolves is not null and resolves = split_part(transfer_id, '/', 1) || '/hold'
        else resolves is null or resolves = split_part(transfer_id, '/', 1) || '/hold' end),
    add constraint transfer_currency check (currency ~ '^[A-Z]+$' and length(currency) = 3);

-- What a bank paid in for an account: one entry from `bank:<bank>:<currency>` to `clearing:<currency>`, and later
-- a share of the window that moves it on to the account. The source's id makes a second one impossible.
create table payments.credit (
    source_id    text collate "C" primary key,
    account_id   text collate "C" not null,
    payment_id   text collate "C" not null,
    bank         text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency     text not null check (currency ~ '^[A-Z]+$' and length(currency) = 3),
    queued       bigint generated always as identity,
    at           timestamptz not null default now(),
    window_id    text collate "C" references payments.ledger_transfer
) with (fillfactor = 80);
-- What waits, oldest first; it holds a few moments' credits, however many were ever posted.
create index credit_waiting on payments.credit (queued) where window_id is null;

-- A credit is entered once and posted once; nothing else about it ever changes.
create trigger posted_once before update on payments.credit
    for each row when (old.window_id is not null or new.window_id is null
        or (new.source_id, new.account_id, new.payment_id, new.bank, new.amount_minor, new.currency, new.queued,
            new.at)
           is distinct from (old.source_id, old.account_id, old.payment_id, old.bank, old.amount_minor,
                             old.currency, old.queued, old.at))
    execute function payments.refuse_change();
create trigger append_only before delete on payments.credit
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.credit
    for each statement execute function payments.refuse_change();
create trigger append_only before update or delete on payments.screening
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.screening
    for each statement execute function payments.refuse_change();
create trigger append_only before update or delete on payments.contradiction
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.contradiction
    for each statement execute function payments.refuse_change();

-- Every entry of the ledger, seen from each of its two accounts: transfers, and credits on their way in.
create view payments.ledger_entry as
    select debit_account as account, currency, kind, resolves, -amount_minor as amount from payments.ledger_transfer
    union all
    select credit_account, currency, kind, resolves, amount_minor from payments.ledger_transfer
    union all
    select 'bank:' || bank || ':' || currency, currency, 'post', null, -amount_minor from payments.credit
    union all
    select 'clearing:' || currency, currency, 'post', null, amount_minor from payments.credit;
