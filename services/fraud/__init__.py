"""Screening: one verdict for each payment, by signed rules, kept with everything it was decided by.

Callers use `services.fraud.client` and `services.fraud.messages`; nothing else is anybody's business.
"""
