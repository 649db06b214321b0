"""Calls of the SQL functions that are the gateway's contract with PostgreSQL."""
