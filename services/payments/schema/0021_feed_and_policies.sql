-- What a merchant may read of payments, under row-level security: see gateway/schema/0007. The functions
-- are in the next file.

-- Every event once more, under its merchant: what its lists are read from. Rows are added and never touched again, so
-- that a step of a payment, which rewrites the payment's row, has no further index to keep.
create table payments.feed (
    merchant_id        text collate "C" not null,
    type               text collate "C" not null,
    at                 timestamptz not null,
    payment_id         text collate "C" not null,
    sequence           int not null,
    -- Of the acceptance alone.
    merchant_reference text collate "C",
    -- By type first: one kind of event, for example every acceptance, is one range; all of them are a merge of a few
    -- dozen ranges.
    primary key (merchant_id, type, at, payment_id, sequence)
);
create index feed_reference on payments.feed (merchant_id, merchant_reference, at, payment_id)
    where merchant_reference is not null;

-- Once a statement, not once a row: a batch of 128 events costs one join.
create function payments.feed_events() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
    insert into payments.feed (merchant_id, type, at, payment_id, sequence, merchant_reference)
    -- A turn tells several events of a payment: its merchant is looked up with the first of them.
    select max(b.merchant_id) over (partition by b.payment_id), b.type, b.at, b.payment_id, b.sequence,
           case when b.type = 'payment.accepted' then
               (select p.merchant_reference from payments.payment p where p.payment_id = b.payment_id) end
    from (select b.*, case when row_number() over (partition by b.payment_id order by b.sequence) = 1 then
                  (select p.merchant_id from payments.payment p where p.payment_id = b.payment_id) end as merchant_id
          from born b) b;
    return null;
end $$;
create trigger feed after insert on payments.event referencing new table as born
    for each statement execute function payments.feed_events();
insert into payments.feed (merchant_id, type, at, payment_id, sequence, merchant_reference)
select p.merchant_id, e.type, e.at, e.payment_id, e.sequence,
       case when e.type = 'payment.accepted' then p.merchant_reference end
from payments.event e join payments.payment p on p.payment_id = e.payment_id;
create trigger append_only before update or delete on payments.feed
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.feed
    for each statement execute function payments.refuse_change();

-- By status: where payments rest, which each of them reaches once or twice. Those on their way are found by the
-- indexes that the engine itself has for them.
create index payment_resting on payments.payment (merchant_id, status, accepted_at, payment_id)
    where status in ('in_review', 'authorized', 'succeeded', 'failed', 'canceled', 'expired');

-- Refunds and disputes know whose they are; few payments have any.
create function payments.name_merchant() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.merchant_id := (select p.merchant_id from payments.payment p where p.payment_id = new.payment_id);
    return new;
end $$;
alter table payments.refund add column merchant_id text collate "C";
alter table payments.dispute add column merchant_id text collate "C";
update payments.refund r set merchant_id = p.merchant_id from payments.payment p where p.payment_id = r.payment_id;
update payments.dispute d set merchant_id = p.merchant_id from payments.payment p where p.payment_id = d.payment_id;
create trigger name_merchant before insert on payments.refund
    for each row execute function payments.name_merchant();
create trigger name_merchant before insert on payments.dispute
    for each row execute function payments.name_merchant();
alter table payments.refund alter column merchant_id set not null;
alter table payments.dispute alter column merchant_id set not null;
create index refund_of_merchant on payments.refund (merchant_id, asked_at, refund_id);
create index dispute_of_merchant on payments.dispute (merchant_id, opened_at, dispute_id);

-- The policies. What has no merchant of its own is seen with its payment.
alter table payments.account enable row level security;
alter table payments.payment enable row level security;
alter table payments.feed enable row level security;
alter table payments.refund enable row level security;
alter table payments.dispute enable row level security;
alter table payments.attempt enable row level security;
alter table payments.event enable row level security;
create policy of_merchant on payments.account for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
create policy of_merchant on payments.payment for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
create policy of_merchant on payments.feed for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
create policy of_merchant on payments.refund for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
create policy of_merchant on payments.dispute for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
create policy of_merchant on payments.attempt for select to merchant_reader
    using (exists (select from payments.payment p where p.payment_id = attempt.payment_id));
create policy of_merchant on payments.event for select to merchant_reader
    using (exists (select from payments.payment p where p.payment_id = event.payment_id));

-- Columns, not tables: what routing weighed, who of our people decided, and leases are nobody's business outside.
grant usage on schema payments to merchant_reader;
grant select (account_id, merchant_id, currency, posted_minor, held_minor, unposted_minor, version, opened_at)
    on payments.account to merchant_reader;
grant select (payment_id, merchant_id, kind, capture_method, amount_minor, currency, instrument, merchant_reference,
              status, sequence, decline_code, captured_minor, refunded_minor, refund_reserved_minor, disputed_minor,
              accepted_at, updated_at, expires_at)
    on payments.payment to merchant_reader;
grant select (merchant_id, type, at, payment_id, sequence, merchant_reference) on payments.feed to merchant_reader;
grant select (refund_id, payment_id, merchant_id, origin, amount_minor, status, reason, decline_code, asked_at)
    on payments.refund to merchant_reader;
grant select (dispute_id, payment_id, merchant_id, amount_minor, status, due, opened_at)
    on payments.dispute to merchant_reader;
grant select (attempt_id, payment_id, subject_id, operation, number, bank, amount_minor, state, decline_code,
              created_at, updated_at)
    on payments.attempt to merchant_reader;
grant select (payment_id, sequence, type, at, subject_id, decline_code, details) on payments.event
    to merchant_reader;

revoke execute on function payments.feed_events(), payments.name_merchant() from public;
