-- What is a merchant's is read under row-level security. The role merchant_reader logs in nowhere, owns the functions
-- through which the gateway reads and nothing else, and owns no table: the policies hold for it. Each of its functions
-- says for the length of its transaction whose rows it is about; where nobody said so there are no rows.

grant usage on schema evidence, registry to merchant_reader;

-- No row is seen unless `countermark.merchant_id` was set in this very transaction. It is text that anyone could set:
-- the policies are for the statement that forgets whom it serves, not for somebody who may write statements.
alter table evidence.record enable row level security;
create policy of_merchant on evidence.record for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
alter table evidence.leaf enable row level security;
-- Subqueries of a policy are under the policies of what they read.
create policy of_merchant on evidence.leaf for select to merchant_reader
    using (exists (select from evidence.record r where r.kind = leaf.kind and r.subject = leaf.subject));
grant select (kind, subject, merchant_id, key_id, decision, decided_at, request_head, request_body, request_base,
              request_signature, response_body, receipt_base, receipt_signature, statement, statement_signature)
    on evidence.record to merchant_reader;
grant select (kind, subject, leaf_index) on evidence.leaf to merchant_reader;

create or replace function evidence.find_record(p_merchant_id text, p_kind text, p_subject text)
returns table (kind text, subject text, merchant_id text, key_id text, decision text, decided_at timestamptz,
    request_head bytea, request_body bytea, request_base bytea, request_signature bytea, response_body bytea,
    receipt_base bytea, receipt_signature bytea, statement bytea, statement_signature bytea, leaf_index bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    perform set_config('countermark.merchant_id', p_merchant_id, true);
    return query
    select r.kind, r.subject, r.merchant_id, r.key_id, r.decision, r.decided_at, r.request_head, r.request_body,
           r.request_base, r.request_signature, r.response_body, r.receipt_base, r.receipt_signature, r.statement,
           r.statement_signature, l.leaf_index
    from evidence.record r left join evidence.leaf l on l.kind = r.kind and l.subject = r.subject
    where r.kind = p_kind and r.subject = p_subject and r.merchant_id = p_merchant_id;
end $$;

-- For the list of a merchant's keys.
alter table registry.merchant_key enable row level security;
create policy of_merchant on registry.merchant_key for select to merchant_reader
    using (merchant_id = current_setting('countermark.merchant_id', true));
grant select (key_id, merchant_id, jwk, registered_at, revoked_at, scopes) on registry.merchant_key
    to merchant_reader;

-- Who is given a function must be able to make one in its schema; for the length of this file.
grant create on schema evidence to merchant_reader;
alter function evidence.find_record(text, text, text) owner to merchant_reader;
revoke create on schema evidence from merchant_reader;
