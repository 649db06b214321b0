"""The vault: card and account numbers in, tokens out; the numbers again for the banks service alone.

Callers use `services.vault.client`, `services.vault.messages` and `services.vault.tokens`; nothing else is
anybody's business.
"""
