"""The evidence log: every record becomes a leaf, every second's leaves a signed and witnessed checkpoint.

One security context: it reads records and writes the log; it cannot accept, refuse or change anything.
"""
