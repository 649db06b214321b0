"""How the private keys of authorities are kept: sealed under a passphrase, in shares, or inside a token."""
