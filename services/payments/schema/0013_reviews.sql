-- What people decide: reviews, and captures, voids and refunds on behalf of a merchant. Who decides is the person
-- named by the certificate that the connection was opened with; nobody says it of himself.

create table payments.operator_action (
    number     bigint      generated always as identity primary key,
    at         timestamptz not null default now(),
    person     text collate "C" not null check (person ~ '^operator-[a-z0-9-]+$' and length(person) <= 31),
    action     text        not null check (action in ('approve', 'reject', 'capture', 'void', 'refund')),
    payment_id text collate "C" not null references payments.payment,
    -- The payment itself, or the refund that it is about.
    subject_id text collate "C" not null,
    amount_minor bigint    check (amount_minor between 1 and 999999999999),
    reason     text        not null check (length(reason) between 1 and 200),
    mail_id    bigint      not null unique references payments.mail
);
create index operator_action_subject on payments.operator_action (subject_id);
create trigger append_only before update or delete on payments.operator_action
    for each row execute function payments.refuse_change();
create trigger append_only_whole before truncate on payments.operator_action
    for each statement execute function payments.refuse_change();

create index payment_in_review on payments.payment (due) where status = 'in_review';
create index refund_in_review on payments.refund (due) where status = 'in_review';

-- Who called: the common name of the client certificate of this very connection. PostgreSQL cuts long names off,
-- hence the bound; the shared certificate `operator` is nobody.
create function payments.person() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    dn text := (select s.client_dn from pg_stat_ssl s where s.pid = pg_backend_pid() and s.ssl);
begin
    if session_user <> 'operator' or dn is null or length(dn) > 35 or dn !~ '^/CN=operator-[a-z0-9-]+$' then
        raise exception 'this is for persons: use the own certificate of a person who acts as operator'
            using errcode = 'insufficient_privilege';
    end if;
    return substr(dn, 5);
end $$;

-- Put mail into the account's mailbox and keep who did it, in one transaction. The same again changes nothing and
-- returns the mail of the first time; something else under its name is refused. Not granted.
create function payments.act(
    action text, payment_id text, subject_id text, amount_minor bigint, reason text, body json, source_id text)
returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    who constant text := payments.person();
    placed bigint;
    is_same boolean;
begin
    if coalesce(length(btrim(act.reason)), 0) not between 1 and 200 or act.reason !~ '^[ -~]+$' then
        raise exception 'the reason is one line of 1 to 200 printable ASCII characters'
            using errcode = 'invalid_parameter_value';
    end if;
    if (select m.outcome from payments.put_mail(
            array[act.payment_id], array[act.body], array[who], array[act.source_id]) m) <> 'new'
    then
        select m.mail_id, m.body::jsonb = act.body::jsonb and a.reason = act.reason into strict placed, is_same
        from payments.mail m join payments.operator_action a using (mail_id)
        where m.source = who and m.source_id = act.source_id;
        if is_same then
            return placed;
        end if;
        raise exception '% has used this name before, for something else', who using errcode = 'unique_violation';
    end if;
    select m.mail_id into strict placed from payments.mail m
    where m.source = who and m.source_id = act.source_id;
    insert into payments.operator_action (person, action, payment_id, subject_id, amount_minor, reason, mail_id)
    values (who, act.action, act.payment_id, act.subject_id, act.amount_minor, act.reason, placed);
    return placed;
end $$;

-- Everything that waits for a person, the most urgent first. `approvals` holds those that the engine has counted;
-- `waiting` those who have decided and whose decision the engine has not taken yet.
create function payments.reviews_open()
returns table (subject_id text, payment_id text, kind text, merchant_id text, amount_minor bigint, currency text,
    reasons text[], asked_by text, deadline timestamptz, approvals text[], waiting text[])
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with open as (
        select p.payment_id as subject_id, p.payment_id, p.kind, p.merchant_id, p.amount_minor, p.currency,
               coalesce(s.reasons, '{}') as reasons, null::text as asked_by, p.due, p.reviewers
        from payments.payment p left join payments.screening s using (payment_id)
        where p.status = 'in_review'
        union all
        select r.refund_id, r.payment_id, 'refund', p.merchant_id, r.amount_minor, p.currency,
               array[r.reason], r.asked_by, r.due, '{}'
        from payments.refund r join payments.payment p using (payment_id)
        where r.status = 'in_review'
    )
    select o.subject_id, o.payment_id, o.kind, o.merchant_id, o.amount_minor, o.currency, o.reasons, o.asked_by,
           o.due, o.reviewers,
           array(select a.person from payments.operator_action a join payments.mail m using (mail_id)
                 where a.subject_id = o.subject_id and a.action in ('approve', 'reject') and m.done_at is null
                 order by a.number)
    from open o where payments.person() is not null order by o.due, o.subject_id
$$;

-- Approve or reject a payment or a refund that is in review; returns the mail by which the engine is told. What is
-- refused here is refused at once; the engine decides for good, under the account's lock.
create function payments.decide_review(subject_id text, decision text, reason text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    who constant text := payments.person();
    found_payment text;
    found_status text;
    found_asker text;
    found_refund text;
begin
    if (decide_review.decision in ('approve', 'reject')) is not true then
        raise exception 'the decision is approve or reject' using errcode = 'invalid_parameter_value';
    end if;
    select p.payment_id, p.status into found_payment, found_status
    from payments.payment p where p.payment_id = decide_review.subject_id;
    if not found then
        select r.payment_id, r.status, r.asked_by, r.refund_id
        into found_payment, found_status, found_asker, found_refund
        from payments.refund r where r.refund_id = decide_review.subject_id;
    end if;
    if found_payment is null then
        raise exception 'there is no payment or refund %', decide_review.subject_id using errcode = 'no_data_found';
    end if;
    if exists (select from payments.operator_action a where a.subject_id = decide_review.subject_id
               and a.person = who and a.action in ('approve', 'reject'))
    then
        raise exception '% has decided about % before: another person has to', who, decide_review.subject_id
            using errcode = 'unique_violation';
    end if;
    if found_status <> 'in_review' then
        raise exception '% is not in review: it is %', decide_review.subject_id, found_status
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    if who = found_asker and decide_review.decision = 'approve' then
        raise exception '% asked for %: another person has to approve it', who, decide_review.subject_id
            using errcode = 'insufficient_privilege';
    end if;
    return payments.act(decide_review.decision, found_payment, decide_review.subject_id, null,
        decide_review.reason, json_strip_nulls(json_build_object('type', 'ReviewDecided',
            'payment_id', found_payment, 'decision', decide_review.decision, 'by', who,
            'reason', decide_review.reason, 'refund_id', found_refund)),
        'review/' || decide_review.subject_id);
end $$;

-- Ask for a capture, a void or a refund on behalf of a merchant. `request_id` makes a repeat harmless: the id of
-- the refund, or any other name for a capture or void. Returns the mail by which the engine is told.
create function payments.ask(
    action text, payment_id text, request_id text, amount_minor bigint, reason text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    person constant text := payments.person();
    body jsonb := jsonb_build_object('payment_id', ask.payment_id, 'by', person);
begin
    if not exists (select from payments.payment p where p.payment_id = ask.payment_id) then
        raise exception 'there is no payment %', ask.payment_id using errcode = 'no_data_found';
    end if;
    if (ask.request_id ~ '^[a-z0-9_]+$' and length(ask.request_id) between 8 and 64) is not true then
        raise exception 'the request id is 8 to 64 of a-z, 0-9 and _' using errcode = 'invalid_parameter_value';
    end if;
    if (ask.amount_minor between 1 and 999999999999) is false or ask.action = 'refund' and ask.amount_minor is null
       or ask.action = 'void' and ask.amount_minor is not null
    then
        raise exception 'the amount is 1 to 999999999999 minor units; a void has none'
            using errcode = 'invalid_parameter_value';
    end if;
    if exists (select from payments.refund r
               where r.refund_id = ask.request_id and r.payment_id <> ask.payment_id) then
        raise exception '% is a refund of another payment: leave the request id out', ask.request_id
            using errcode = 'unique_violation';
    end if;
    case ask.action
        when 'capture' then body := body || jsonb_build_object('type', 'CaptureAsked');
        when 'void' then body := body || jsonb_build_object('type', 'VoidAsked');
        when 'refund' then body := body || jsonb_build_object('type', 'RefundAsked', 'refund_id', ask.request_id,
            'origin', 'customer_service', 'reason', ask.reason);
        else raise exception 'the action is capture, void or refund' using errcode = 'invalid_parameter_value';
    end case;
    if ask.amount_minor is not null then
        body := body || jsonb_build_object('amount_minor', ask.amount_minor);
    end if;
    return payments.act(ask.action, ask.payment_id,
        case when ask.action = 'refund' then ask.request_id else ask.payment_id end,
        ask.amount_minor, ask.reason, body::json, ask.action || '/' || ask.request_id);
end $$;

-- What has become of what the calling person asked for: null until the engine has taken it, then `applied` or
-- `refused: <code>`, with the payment and the refund as they are now.
create function payments.action_result(mail_id bigint)
returns table (result text, subject_id text, status text, decline_code text, approvals text[], deadline timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select m.result, a.subject_id, coalesce(r.status, p.status),
           case when r.refund_id is null then p.decline_code else r.decline_code end, p.reviewers,
           case when r.refund_id is null then p.due else r.due end
    from payments.operator_action a
    join payments.mail m using (mail_id)
    join payments.payment p on p.payment_id = a.payment_id
    left join payments.refund r on r.refund_id = a.subject_id
    where a.mail_id = $1 and a.person = payments.person()
$$;

revoke execute on all functions in schema payments from public;
grant execute on function
    payments.reviews_open(), payments.decide_review(text, text, text),
    payments.ask(text, text, text, bigint, text), payments.action_result(bigint)
    to operator;
