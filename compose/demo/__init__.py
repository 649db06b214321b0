"""A demonstration merchant: what somebody outside would do with the SDK, against the running stack."""
