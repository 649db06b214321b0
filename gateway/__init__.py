"""The only process that merchants reach: verify, decide, record, and sign every answer."""
