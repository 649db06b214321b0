"""Keys: a private key that signs, a public key that verifies, and the two algorithms they are of."""

from .signing_key import Signer, SigningKey
from .verifying_key import ALGORITHMS, SIGNATURE_BYTES, Algorithm, VerifyingKey

__all__ = ["ALGORITHMS", "SIGNATURE_BYTES", "Algorithm", "Signer", "SigningKey", "VerifyingKey"]
