"""The process that renews leaves and revocation lists by itself, and says how the authority is doing."""
