-- What merchants' commands do to payments. Each effect holds the payment against other commands, decides on what is true
-- then, mail that waits included, and puts its own mail: what certainly cannot be done is refused at once, and kept.
-- CM409 is a refusal, with the problem's code as its detail where it is not state_conflict; CM404 leaves nothing.

create index mail_of_payment on payments.mail (payment_id) where done_at is null;
create index mail_of_refund on payments.mail ((body ->> 'refund_id')) where body ->> 'type' = 'RefundAsked';

-- The merchant's payment, held against its other commands until the end of the transaction. The engine is not held up.
-- A statement after this one sees what the command before has put. Not granted.
create function payments.hold_for_command(merchant_id text, payment_id text) returns payments.payment
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    held payments.payment;
begin
    perform pg_advisory_xact_lock(hashtextextended('payments.command ' || payment_id, 0));
    select p.* into held from payments.payment p
    where p.payment_id = hold_for_command.payment_id and p.merchant_id = hold_for_command.merchant_id;
    if not found then
        raise exception 'there is no such payment' using errcode = 'CM404';
    end if;
    return held;
end $$;

-- Whether mail of one of these types waits for the payment's turn. Not granted.
create function payments.waits(of_payment text, types text[]) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select from payments.mail m
                   where m.payment_id = of_payment and m.done_at is null and m.body ->> 'type' = any (types))
$$;

-- Whether the last try of a step of the payment, or of the refund, was not handed to its bank yet. Not granted.
create function payments.is_unsent(subject text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((select a.state = 'intent' from payments.attempt a where a.subject_id = subject
                     order by a.created_at desc, a.number desc limit 1), false)
$$;

-- What can still be given back of a payment: what was taken less what went back, is on its way, is disputed, or was
-- asked for by mail that waits.
create function payments.refundable(merchant_id text, payment_id text)
returns table (kind text, status text, currency text, headroom_minor bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select p.kind, p.status, p.currency,
           p.captured_minor - p.refund_reserved_minor - p.refunded_minor - p.disputed_minor - coalesce((
               select sum((m.body ->> 'amount_minor')::bigint)::bigint from payments.mail m
               where m.payment_id = p.payment_id and m.done_at is null and m.body ->> 'type' = 'RefundAsked'), 0)
    from payments.payment p where p.payment_id = $2 and p.merchant_id = $1
$$;

-- Arguments: payment_id, by, amount_minor or null for the whole.
create function payments.capture_of_merchant(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    p constant payments.payment := payments.hold_for_command(merchant_id, arguments ->> 'payment_id');
begin
    if p.capture_method <> 'manual' then
        raise exception 'this payment is captured by itself: it was not made with capture_method manual'
            using errcode = 'CM409';
    elsif p.status <> 'authorized' then
        raise exception 'the payment is %: only an authorized one can be captured', p.status using errcode = 'CM409';
    elsif p.expires_at <= now() then
        raise exception 'the authorisation has come to its end' using errcode = 'CM409';
    elsif (arguments ->> 'amount_minor')::bigint > p.amount_minor then
        raise exception '% was authorised: no more can be captured', p.amount_minor using errcode = 'CM409';
    elsif payments.waits(p.payment_id, array['CaptureAsked', 'VoidAsked']) then
        raise exception 'a capture or a cancel of this payment is under way' using errcode = 'CM409';
    end if;
    perform payments.mail_of_merchant(merchant_id, request_id, at, json_build_object('payment_id', p.payment_id,
        'body', json_strip_nulls(json_build_object('type', 'CaptureAsked', 'payment_id', p.payment_id,
            'by', arguments ->> 'by', 'amount_minor', (arguments ->> 'amount_minor')::bigint))));
end $$;

-- Arguments: payment_id, by.
create function payments.cancel_of_merchant(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    p constant payments.payment := payments.hold_for_command(merchant_id, arguments ->> 'payment_id');
begin
    if not (p.status in ('accepted', 'screening', 'in_review', 'reserved', 'authorized')
            or p.status = 'submitted' and payments.is_unsent(p.payment_id)) then
        raise exception 'the payment is %: it cannot be cancelled any more', p.status using errcode = 'CM409';
    elsif payments.waits(p.payment_id, array['CaptureAsked', 'VoidAsked']) then
        raise exception 'a capture or a cancel of this payment is under way' using errcode = 'CM409';
    end if;
    perform payments.mail_of_merchant(merchant_id, request_id, at, json_build_object('payment_id', p.payment_id,
        'body', json_build_object('type', 'VoidAsked', 'payment_id', p.payment_id, 'by', arguments ->> 'by')));
end $$;

-- Arguments: payment_id, refund_id, amount_minor, reason, by.
create function payments.refund_of_merchant(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    p constant payments.payment := payments.hold_for_command(merchant_id, arguments ->> 'payment_id');
    headroom_minor bigint;
begin
    if p.kind <> 'collect' then
        raise exception 'a payout cannot be refunded' using errcode = 'CM409';
    elsif p.status <> 'succeeded' then
        raise exception 'the payment is %: only a succeeded one can be refunded', p.status using errcode = 'CM409';
    end if;
    select r.headroom_minor into strict headroom_minor from payments.refundable(merchant_id, p.payment_id) r;
    if (arguments ->> 'amount_minor')::bigint > headroom_minor then
        raise exception '% of this payment can be refunded now', greatest(headroom_minor, 0)
            using errcode = 'CM409', detail = 'refund_exceeds_available';
    end if;
    perform payments.mail_of_merchant(merchant_id, request_id, at, json_build_object('payment_id', p.payment_id,
        'body', json_build_object('type', 'RefundAsked', 'payment_id', p.payment_id,
            'refund_id', arguments ->> 'refund_id', 'amount_minor', (arguments ->> 'amount_minor')::bigint,
            'origin', 'user', 'reason', arguments ->> 'reason', 'by', arguments ->> 'by')));
end $$;

-- Arguments: refund_id, by. A refund that the engine has not seen yet is known by its mail alone.
create function payments.refund_cancel_of_merchant(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    of_refund constant text := arguments ->> 'refund_id';
    of_payment text;
    r payments.refund;
    result text;
begin
    select f.payment_id into of_payment from payments.refund f where f.refund_id = of_refund;
    if not found then
        select m.payment_id, m.result into of_payment, result from payments.mail m
        where m.body ->> 'refund_id' = of_refund and m.body ->> 'type' = 'RefundAsked'
        order by m.mail_id limit 1;
    end if;
    if of_payment is null then
        raise exception 'there is no such refund' using errcode = 'CM404';
    end if;
    begin
        perform payments.hold_for_command(merchant_id, of_payment);
    exception when sqlstate 'CM404' then
        raise exception 'there is no such refund' using errcode = 'CM404';
    end;
    select f.* into r from payments.refund f where f.refund_id = of_refund;
    if result like 'refused%' then
        raise exception 'the refund could not be made: there is nothing to cancel' using errcode = 'CM409';
    elsif r.origin <> 'user' then
        raise exception 'only a refund that was asked for by the merchant can be cancelled' using errcode = 'CM409';
    elsif not (r.status in ('requested', 'in_review', 'reserved')
               or r.status = 'submitted' and payments.is_unsent(of_refund)) then
        raise exception 'the refund is %: it cannot be cancelled any more', r.status using errcode = 'CM409';
    elsif exists (select from payments.mail m where m.payment_id = of_payment and m.done_at is null
                  and m.body ->> 'type' = 'RefundCancelAsked' and m.body ->> 'refund_id' = of_refund) then
        raise exception 'a cancel of this refund is under way' using errcode = 'CM409';
    end if;
    perform payments.mail_of_merchant(merchant_id, request_id, at, json_build_object('payment_id', of_payment,
        'body', json_build_object('type', 'RefundCancelAsked', 'payment_id', of_payment, 'refund_id', of_refund,
            'by', arguments ->> 'by')));
end $$;

revoke execute on function
    payments.hold_for_command(text, text), payments.waits(text, text[]), payments.is_unsent(text),
    payments.refundable(text, text), payments.capture_of_merchant(text, text, timestamptz, json),
    payments.cancel_of_merchant(text, text, timestamptz, json),
    payments.refund_of_merchant(text, text, timestamptz, json),
    payments.refund_cancel_of_merchant(text, text, timestamptz, json)
    from public;
grant execute on function payments.refundable(text, text) to gateway;

delete from commands.effect where name = 'payment_mail';
insert into commands.effect (name, function) values
    ('payment_capture', 'payments.capture_of_merchant'), ('payment_cancel', 'payments.cancel_of_merchant'),
    ('payment_refund', 'payments.refund_of_merchant'), ('refund_cancel', 'payments.refund_cancel_of_merchant');
