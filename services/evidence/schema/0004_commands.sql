-- A merchant's command other than a payment (a capture, a refund, an endpoint, …) is evidence as a payment is: what was
-- asked and what was answered, signed by both. Its subject is the request's id: one thing is told many commands.

alter table evidence.record
    drop constraint record_kind_check,
    add constraint record_kind_check check (kind in
        ('payment', 'command', 'refusal', 'key-registration', 'key-revocation', 'ledger-head')),
    add constraint record_of_command check (kind <> 'command' or subject like 'req\_%');
