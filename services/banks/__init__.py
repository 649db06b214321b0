"""The connector: one typed hop in front of every bank, stateless.

Callers use `services.banks.client` and `services.banks.messages`; nothing else is anybody's business.
"""
