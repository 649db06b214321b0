"""How the private keys of CAs are kept: under a passphrase, in shares of several people, or in a token."""
