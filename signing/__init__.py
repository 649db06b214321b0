"""Countermark for merchants: sign requests, verify receipts and webhooks.

Here are the public names, and nothing else. Every verification raises one of the
listed errors or returns a value that can be obtained in no other way.
Source: RFC 9421, RFC 9530, RFC 7638, Standard Webhooks 1.0.0.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING

from .client_errors import (
    AnswerNotTrusted,
    ExchangeFailed,
    GatewayRefused,
    GatewayUnreachable,
    OutcomeUnknown,
    Problem,
    RedirectRefused,
    RemoteSignatureInvalid,
    WebhookBodyNotRaw,
    WebhookBodyReserialised,
)
from .errors import (
    BodyMissing,
    BodyNotAllowed,
    DigestMalformed,
    DigestMismatch,
    HeaderDuplicated,
    HeaderMalformed,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    KeyRefused,
    KeyRevoked,
    KeyUnknown,
    MethodNotCanonical,
    ReceiptDigestMismatch,
    ReceiptKeyUnknown,
    ReceiptMalformed,
    ReceiptMissing,
    ReceiptRefused,
    ReceiptRequestRefused,
    ReceiptSignatureInvalid,
    ReceiptTimeImplausible,
    RegistrationRefused,
    RequestRefused,
    RequestSignatureInvalid,
    SignatureExpired,
    SignatureInvalid,
    SignatureMalformed,
    SignatureMissing,
    SignatureTooEarly,
    SigningError,
    TargetNotCanonical,
    TooLarge,
    UnsignableRequest,
    UnsignableResponse,
    UnsupportedMedia,
    WebhookExpired,
    WebhookMalformed,
    WebhookRefused,
    WebhookSignatureInvalid,
)
from .explanation import Difference, explain, first_difference, signature_base
from .key_set import keys_from_jwks, keys_to_jwks
from .keys import Algorithm, Signer, SigningKey, VerifyingKey
from .message import Request, Response
from .private_jwk import signing_key_from_jwk, signing_key_to_jwk
from .receipt import VerifiedReceipt, sign_receipt, verify_receipt
from .registration import (
    KeyRegistration,
    parse_registration_statement,
    registration_body,
    registration_statement,
    sign_possession,
    verify_possession,
)
from .remote_signer import AsyncSigner, AsyncVerifiedSigner, VerifiedSigner, sign_request_async
from .request_parsing import SignedRequest, parse_request
from .request_signing import PreparedRequest, prepare_request, sign_request
from .request_verification import VerifiedRequest, verify_request
from .webhook import (
    VerifiedWebhook,
    sign_webhook,
    verify_webhook,
    webhook_key_from_text,
    webhook_public_key,
)
from .webhook_secret import WebhookSecret

if TYPE_CHECKING:
    from .answers import Answer
    from .async_client import AsyncGateway
    from .client import Gateway
    from .following import follow, follow_async
    from .retries import RetryPolicy

# Loaded when asked for: whoever only signs and verifies pays for neither client nor event loop.
_LATER = MappingProxyType(
    {
        "Answer": "answers",
        "AsyncGateway": "async_client",
        "Gateway": "client",
        "RetryPolicy": "retries",
        "follow": "following",
        "follow_async": "following",
    }
)

__all__ = [
    "Algorithm",
    "Answer",
    "AnswerNotTrusted",
    "AsyncGateway",
    "AsyncSigner",
    "AsyncVerifiedSigner",
    "BodyMissing",
    "BodyNotAllowed",
    "Difference",
    "DigestMalformed",
    "DigestMismatch",
    "ExchangeFailed",
    "Gateway",
    "GatewayRefused",
    "GatewayUnreachable",
    "HeaderDuplicated",
    "HeaderMalformed",
    "IdempotencyKeyInvalid",
    "IdempotencyKeyMissing",
    "KeyRefused",
    "KeyRegistration",
    "KeyRevoked",
    "KeyUnknown",
    "MethodNotCanonical",
    "OutcomeUnknown",
    "PreparedRequest",
    "Problem",
    "ReceiptDigestMismatch",
    "ReceiptKeyUnknown",
    "ReceiptMalformed",
    "ReceiptMissing",
    "ReceiptRefused",
    "ReceiptRequestRefused",
    "ReceiptSignatureInvalid",
    "ReceiptTimeImplausible",
    "RedirectRefused",
    "RegistrationRefused",
    "RemoteSignatureInvalid",
    "Request",
    "RequestRefused",
    "RequestSignatureInvalid",
    "Response",
    "RetryPolicy",
    "SignatureExpired",
    "SignatureInvalid",
    "SignatureMalformed",
    "SignatureMissing",
    "SignatureTooEarly",
    "SignedRequest",
    "Signer",
    "SigningError",
    "SigningKey",
    "TargetNotCanonical",
    "TooLarge",
    "UnsignableRequest",
    "UnsignableResponse",
    "UnsupportedMedia",
    "VerifiedReceipt",
    "VerifiedRequest",
    "VerifiedSigner",
    "VerifiedWebhook",
    "VerifyingKey",
    "WebhookBodyNotRaw",
    "WebhookBodyReserialised",
    "WebhookExpired",
    "WebhookMalformed",
    "WebhookRefused",
    "WebhookSecret",
    "WebhookSignatureInvalid",
    "explain",
    "first_difference",
    "follow",
    "follow_async",
    "keys_from_jwks",
    "keys_to_jwks",
    "parse_registration_statement",
    "parse_request",
    "prepare_request",
    "registration_body",
    "registration_statement",
    "sign_possession",
    "sign_receipt",
    "sign_request",
    "sign_request_async",
    "sign_webhook",
    "signature_base",
    "signing_key_from_jwk",
    "signing_key_to_jwk",
    "verify_possession",
    "verify_receipt",
    "verify_request",
    "verify_webhook",
    "webhook_key_from_text",
    "webhook_public_key",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
