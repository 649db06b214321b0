"""Webhooks: events from the bus become signed deliveries, each made at least once.

Promises: a merchant is told of its own events only; an event reaches every active endpoint at least once,
with the same id and body; no delivery goes to a non-public address.
Contract: `schema/` for operators, the bus for events.
"""
