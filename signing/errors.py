"""The closed list of reasons for which this package refuses.

Each class has a stable `code`, which callers may match, log and document; the
message is written for operators and clients' developers and may change.
No message ever holds private key material.
"""

from __future__ import annotations

from typing import ClassVar


class SigningError(Exception):
    """Refuse an input. The base of every error that this package raises on purpose.

    Attributes:
        code: a stable name, snake_case.
    """

    code: ClassVar[str] = "signing_error"


class KeyRefused(SigningError):
    """A key cannot be loaded: wrong kind, wrong curve, weak point, or not canonical."""

    code = "key_refused"


class SignatureInvalid(SigningError):
    """The signature does not belong to these bytes and this key."""

    code = "signature_invalid"


class UnsignableRequest(SigningError):
    """The gateway would refuse this request however it is signed, so it is not signed."""

    code = "unsignable_request"


class UnsignableResponse(SigningError):
    """This response lacks what a receipt must cover."""

    code = "unsignable_response"


class MessageUnreadable(SigningError):
    """A file does not hold an HTTP message in a form that is read here."""

    code = "message_unreadable"


class RegistrationRefused(SigningError):
    """A key registration statement or its proof of possession does not hold."""

    code = "registration_refused"


class RequestRefused(SigningError):
    """Refuse a received request.

    Attributes:
        code: the `code` of the problem that the gateway answers.
        status: its HTTP status.
        signature_base: the base built from what was received, once it could be built; it holds
            nothing that the sender did not send, and lets the sender find the first difference.
    """

    code = "request_refused"
    status: ClassVar[int] = 400
    signature_base: bytes | None

    def __init__(self, message: str, *, signature_base: bytes | None = None) -> None:
        super().__init__(message)
        self.signature_base = signature_base


class SignatureMissing(RequestRefused):
    """No `Signature` or no `Signature-Input` header field."""

    code = "signature_missing"
    status = 401


class SignatureMalformed(RequestRefused):
    """`Signature-Input` or `Signature` is not of the profile, or not in its canonical form."""

    code = "signature_malformed"


class RequestSignatureInvalid(RequestRefused, SignatureInvalid):
    """The signature over the base does not verify under the key that `keyid` names."""

    code = "signature_invalid"
    status = 401


class SignatureExpired(RequestRefused):
    """Too old: after `expires` and the permitted clock skew, or too long after `created`."""

    code = "signature_expired"
    status = 401


class SignatureTooEarly(RequestRefused):
    """`created` lies further in the future than the permitted clock skew."""

    code = "signature_too_early"
    status = 401


class KeyUnknown(RequestRefused):
    """No registered key has this `keyid`. For the caller of `verify_request`, who owns the directory."""

    code = "key_unknown"
    status = 401


class KeyRevoked(RequestRefused):
    """The key was registered and is not valid now. For the caller of `verify_request`."""

    code = "key_revoked"
    status = 401


class DigestMismatch(RequestRefused):
    """The body received is not the body that was signed."""

    code = "digest_mismatch"
    status = 401


class DigestMalformed(RequestRefused):
    """`Content-Digest` is absent, or is not exactly one canonical `sha-256` member."""

    code = "digest_malformed"


class HeaderDuplicated(RequestRefused):
    """A header field that must occur once occurs more than once."""

    code = "header_duplicated"


class HeaderMalformed(RequestRefused):
    """A header field that is never valid here: an `@` name, a trailer, ambiguous framing."""

    code = "header_malformed"


class MethodNotCanonical(RequestRefused):
    """Not one of the upper-case methods that can be signed."""

    code = "method_not_canonical"


class TargetNotCanonical(RequestRefused):
    """The target URI has another spelling than its only accepted one, or another origin."""

    code = "target_not_canonical"


class IdempotencyKeyMissing(RequestRefused):
    """A request that acts carries no `Idempotency-Key`."""

    code = "idempotency_key_missing"


class IdempotencyKeyInvalid(RequestRefused):
    """`Idempotency-Key` is not one quoted string of 16 to 64 permitted characters."""

    code = "idempotency_key_invalid"


class BodyMissing(RequestRefused):
    """A request that acts has no body; the least is `{}`."""

    code = "body_missing"


class BodyNotAllowed(RequestRefused):
    """A GET carries a body, which no signature of a GET covers."""

    code = "body_not_allowed"


class TooLarge(RequestRefused):
    """The body is longer than `BODY_BYTES_MAX`."""

    code = "too_large"
    status = 413


class UnsupportedMedia(RequestRefused):
    """The content type is not exactly `application/json`, or the content is encoded."""

    code = "unsupported_media"
    status = 415


class ReceiptRefused(SigningError):
    """Refuse a receipt.

    Attributes:
        signature_base: the base built from request and response, once it could be built.
    """

    code = "receipt_refused"
    signature_base: bytes | None

    def __init__(self, message: str, *, signature_base: bytes | None = None) -> None:
        super().__init__(message)
        self.signature_base = signature_base


class ReceiptMissing(ReceiptRefused):
    """The response carries no signature."""

    code = "receipt_missing"


class ReceiptMalformed(ReceiptRefused):
    """The response's signature fields, or what they cover, are not of the receipt profile."""

    code = "receipt_malformed"


class ReceiptRequestRefused(ReceiptRefused):
    """The request that is said to have been answered is not a well-formed signed request."""

    code = "receipt_request_refused"


class ReceiptKeyUnknown(ReceiptRefused):
    """The receipt names a key that is not among the gateway's."""

    code = "receipt_key_unknown"


class ReceiptTimeImplausible(ReceiptRefused):
    """The receipt was made in the future, or before the request."""

    code = "receipt_time_implausible"


class ReceiptDigestMismatch(ReceiptRefused):
    """The body of the response or of the request is not the one the receipt covers."""

    code = "receipt_digest_mismatch"


class ReceiptSignatureInvalid(ReceiptRefused, SignatureInvalid):
    """The gateway's key did not sign this response to this request."""

    code = "receipt_signature_invalid"


class ProofRefused(SigningError):
    """The proof beside an access token is not one for this request, or not by the token's key."""

    code = "proof_refused"


class WebhookRefused(SigningError):
    """Refuse a webhook."""

    code = "webhook_refused"


class WebhookMalformed(WebhookRefused):
    """A webhook header field is absent, repeated or not of its form."""

    code = "webhook_malformed"


class WebhookExpired(WebhookRefused):
    """The webhook's timestamp is too far from now, in either direction."""

    code = "webhook_expired"


class WebhookSignatureInvalid(WebhookRefused, SignatureInvalid):
    """None of the signatures verifies under any of the keys."""

    code = "webhook_signature_invalid"
