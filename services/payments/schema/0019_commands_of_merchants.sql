-- Merchants' commands: mail for the engine, put in the transaction that keeps the command and its evidence.

-- Arguments: payment_id, and body as the engine's mail (`CaptureAsked`, `VoidAsked`, `RefundAsked`,
-- `RefundCancelAsked`). Not granted: commands.perform alone calls it.
create function payments.mail_of_merchant(merchant_id text, request_id text, at timestamptz, arguments json)
returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    of_payment constant text := arguments ->> 'payment_id';
    body constant json := arguments -> 'body';
begin
    if not exists (select from payments.payment p
                   where p.payment_id = of_payment and p.merchant_id = mail_of_merchant.merchant_id) then
        raise exception 'there is no such payment' using errcode = 'CM404';
    end if;
    if (body ->> 'type' in ('CaptureAsked', 'VoidAsked', 'RefundAsked', 'RefundCancelAsked')
        and body ->> 'payment_id' = of_payment
        and coalesce(body ->> 'origin', 'user') = 'user'
        and coalesce(body ->> 'bank_moved', 'false') = 'false') is not true
    then
        raise exception 'this is no mail that a merchant may send' using errcode = 'insufficient_privilege';
    end if;
    perform payments.put_mail(array[of_payment], array[body], array['gateway'], array[request_id]);
end $$;
revoke execute on function payments.mail_of_merchant(text, text, timestamptz, json) from public;

insert into commands.effect (name, function) values ('payment_mail', 'payments.mail_of_merchant');
