-- What a merchant may read of its webhooks, under row-level security: see gateway/schema/0007. A function that shows
-- deliveries to merchants belongs to merchant_reader, and says in its own statement whose they are.

alter table notifications.endpoint enable row level security;
alter table notifications.delivery enable row level security;
alter table notifications.delivery_attempt enable row level security;
-- The service itself serves every merchant; what it may do with which table, its grants say.
create policy of_service on notifications.endpoint for all to notifications using (true) with check (true);
create policy of_service on notifications.delivery for all to notifications using (true) with check (true);
create policy of_service on notifications.delivery_attempt for all to notifications using (true) with check (true);

create policy of_merchant on notifications.endpoint for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
create policy of_merchant on notifications.delivery for select to merchant_reader
    using (exists (select from notifications.endpoint e where e.id = delivery.endpoint_id));
create policy of_merchant on notifications.delivery_attempt for select to merchant_reader
    using (exists (select from notifications.endpoint e where e.id = delivery_attempt.endpoint_id));
grant usage on schema notifications to merchant_reader;
grant select (id, merchant_id, url, status, added_at) on notifications.endpoint to merchant_reader;
grant select (endpoint_id, payment_id, sequence, event_id, body, state, due, attempts, last_status, last_error,
              added_at, delivered_at)
    on notifications.delivery to merchant_reader;
grant select (endpoint_id, payment_id, sequence, at, duration_ms, status, error, verdict)
    on notifications.delivery_attempt to merchant_reader;
