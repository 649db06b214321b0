"""The engine: drives every accepted payment to exactly one outcome, and publishes its events.

State, order and reminders live in PostgreSQL; a process of this package holds nothing that cannot be lost.
Contract: the functions in `schema/` for the gateway and the operators, the stream `EVENTS` for subscribers.
"""
