"""The processes behind the gateway: one folder is one security context."""
