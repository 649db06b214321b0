"""Identities, certificates and encrypted hops of the mesh.

Callers use `pki.identity`, `pki.tls` and `pki.authority`; operators use `python -m pki`.
"""
