"""The decisions of the engine, pure: state and event in, state and effects out.

`model` and `events` are the words; `payment`, `refund`, `account` decide; `turn` lets them speak to each
other within one transaction; `routing` chooses a bank. Nothing here knows of PostgreSQL, sockets, or the time
of day: the rows, the facts about banks and `now` are arguments. The shell (`services.payments.engine`) and
the simulation (`tests.simulation`) run the same code.
"""
