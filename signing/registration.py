"""Key registration: the statement about a new key, and the proof that its owner holds it.

The statement is five lines of text that a person and `openssl` can read. The new
key signs it, so nobody can register a key that is not theirs; it names the
merchant, so a proof cannot be shown again for another one. Pure.
Source: reference text RFC 9421 §7.3.4 and §7.3.7 (key and signature substitution).
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from . import profile
from .errors import RegistrationRefused, SignatureInvalid

if TYPE_CHECKING:
    from .keys import Algorithm, Signer, VerifyingKey

    class NewKey(Signer, Protocol):
        """A key that can prove itself and shows its public half, as `SigningKey` does."""

        @property
        def verifying_key(self) -> VerifyingKey: ...


# The first line keeps these signatures apart from all others: a signature base begins with a quotation
# mark, and a webhook's content with an id and a dot.
STATEMENT_TITLE: Final = "countermark-key-registration-v1"
STATEMENT_AGE_S_MAX: Final = 3600  # an enrolment is done by a person, in one sitting
_STATEMENT = re.compile(
    rf"{STATEMENT_TITLE}\n"
    r"merchant: (?P<merchant>[A-Za-z0-9_-]{1,64})\n"
    rf"key-id: (?P<key_id>{profile.KEY_ID.pattern})\n"
    r"alg: (?P<alg>ed25519|ecdsa-p256-sha256)\n"
    r"issued-at: (?P<issued_at>0|[1-9][0-9]{0,11})\n"
)


@dataclass(frozen=True, slots=True)
class KeyRegistration:
    """What a registration statement says.

    Attributes:
        merchant_id: who wants to own the key.
        key_id: the RFC 7638 thumbprint of the key.
        alg: the key's algorithm.
        issued_at: seconds since the epoch.
    """

    merchant_id: str
    key_id: str
    alg: Algorithm
    issued_at: int


def registration_statement(merchant_id: str, key_id: str, alg: Algorithm, issued_at: int) -> bytes:
    """Return the text that the new key must sign.

    Args:
        merchant_id: 1 to 64 characters A-Z a-z 0-9 _ -.
        key_id: the RFC 7638 thumbprint of the new key.
        alg: the new key's algorithm.
        issued_at: seconds since the epoch.

    Raises:
        RegistrationRefused: a part is not of its form.
    """
    statement = (
        f"{STATEMENT_TITLE}\nmerchant: {merchant_id}\nkey-id: {key_id}\nalg: {alg}\nissued-at: {issued_at}\n"
    )
    if _STATEMENT.fullmatch(statement) is None:
        raise RegistrationRefused("merchant id, key id, algorithm or time is not of its form")
    return statement.encode("ascii")


def parse_registration_statement(statement: bytes) -> KeyRegistration:
    """Read a statement.

    Raises:
        RegistrationRefused: it is not exactly of the form that `registration_statement` makes.
    """
    match = _STATEMENT.fullmatch(statement.decode("latin-1"))
    if match is None:
        raise RegistrationRefused("this is not a key registration statement in its exact form")
    return KeyRegistration(
        match["merchant"], match["key_id"], cast("Algorithm", match["alg"]), int(match["issued_at"])
    )


def sign_possession(statement: bytes, key: Signer) -> bytes:
    """Prove possession of the new key: sign the statement about it.

    Args:
        statement: from `registration_statement`.
        key: the new key.

    Returns:
        64 raw bytes.

    Raises:
        RegistrationRefused: the statement is malformed, or about another key.
    """
    registration = parse_registration_statement(statement)
    if registration.key_id != key.key_id or registration.alg != key.alg:
        raise RegistrationRefused("the statement is about another key")
    return key.sign(statement)


def registration_body(
    key: NewKey, *, merchant_id: str, now: int, enrolment_token: str | None = None
) -> bytes:
    """Return the body of the request that registers a key: the public key, and the proof that it is held.

    The request is signed by the new key itself if it is the merchant's first, else by a registered one.

    Args:
        key: the new key.
        merchant_id: whose it shall be, as the operator said.
        now: seconds since the epoch, UTC.
        enrolment_token: for a first key.

    Raises:
        RegistrationRefused: the merchant id is not of its form.
    """
    statement = registration_statement(merchant_id, key.key_id, key.alg, now)
    proof = b2a_base64(sign_possession(statement, key), newline=False).decode("ascii")
    body: dict[str, object] = {"public_key": key.verifying_key.to_jwk(), "proof": proof, "issued_at": now}
    if enrolment_token is not None:
        body["enrolment_token"] = enrolment_token
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def verify_possession(
    statement: bytes, signature: bytes, key: VerifyingKey, *, merchant_id: str, now: int
) -> KeyRegistration:
    """Verify that the holder of a key wants it to be this merchant's.

    Args:
        statement: the bytes that were signed.
        signature: 64 raw bytes.
        key: the key to be registered.
        merchant_id: the merchant as authenticated by enrolment token or by a registered key.
        now: seconds since the epoch, UTC.

    Raises:
        RegistrationRefused: about another key or merchant, from another time, or not signed by it.
    """
    registration = parse_registration_statement(statement)
    if registration.merchant_id != merchant_id:
        raise RegistrationRefused("the statement is about another merchant")
    if registration.key_id != key.key_id or registration.alg != key.alg:
        raise RegistrationRefused("the statement is about another key")
    if not now - STATEMENT_AGE_S_MAX <= registration.issued_at <= now + profile.CLOCK_SKEW_S_MAX:
        raise RegistrationRefused(f"the statement must be at most {STATEMENT_AGE_S_MAX} s old")
    try:
        key.verify(signature, statement)
    except SignatureInvalid as error:
        raise RegistrationRefused("the statement is not signed by the key that it is about") from error
    return registration
