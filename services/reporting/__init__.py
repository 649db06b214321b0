"""Reporting: how much of what happens, from facts about nobody.

Promises: no id of a payment, merchant, account, instrument or person reaches this service; each fact is
counted once, however often the bus brings it; figures of small groups are not shown.
Contract: `schema/` for operators, the stream `FACTS` of the bus for facts.
"""
