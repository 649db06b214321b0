"""A witness of the evidence log: an outside party that remembers one line and cosigns what continues it.

It stands for an auditor or an association of merchants, and shares nothing with the gateway but the log's
public key.
"""
