"""The one profile of RFC 9421 that is spoken here: words, limits and exact forms.

Everything has one spelling. A fixed spelling is what lets one compiled expression
parse a signature and one string template build its base, and it leaves no two
parsers anything to disagree about. Source: RFC 9421 §1.4 and §3.2.1, RFC 9651.
"""

from __future__ import annotations

import re
from typing import Final

LABEL: Final = "countermark"  # labels are not signed; one fixed label leaves nothing to choose
REQUEST_TAG: Final = "countermark-request-v1"
RECEIPT_TAG: Final = "countermark-receipt-v1"

METHODS_THAT_ACT: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MEDIA_TYPE: Final = "application/json"

COVERED_ACTING: Final = '"@method" "@target-uri" "content-type" "content-digest" "idempotency-key"'
COVERED_GET: Final = '"@method" "@target-uri"'

BODY_BYTES_MAX: Final = 64 * 1024  # a payment has about 1 KiB; a body is hashed before its sender is known
TARGET_CHARS_MAX: Final = 2048  # what common proxies pass without configuration
SIGNATURE_INPUT_CHARS_MAX: Final = 2048  # ours has about 350
SIGNATURE_CHARS_MAX: Final = 1024  # ours has 102
LIFETIME_S_MAX: Final = 300  # long enough for retries, short enough to remember every nonce meanwhile
CLOCK_SKEW_S_MAX: Final = 30  # clocks kept by NTP differ by less than one second

TIME_S_END: Final = 10**12  # later times are a mistake of unit (milliseconds), not of clock

# RFC 9651 integers have at most 15 digits and no leading zero in their canonical form.
_INTEGER = r"0|[1-9][0-9]{0,14}"
_NONCE = r"[A-Za-z0-9_-]{22,64}"  # 22 base64url characters hold 128 random bits
# The last character of a canonical base64 text holds the bits left over: 4 for 32 bytes, 2 for 64 bytes.
_KEY_ID = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_ALG = r"ed25519|ecdsa-p256-sha256"

NONCE: Final = re.compile(_NONCE)
KEY_ID: Final = re.compile(_KEY_ID)
_IDEMPOTENCY_KEY = r'"[A-Za-z0-9_-]{16,64}"'
_CONTENT_DIGEST = r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:"
_SIGNATURE = LABEL + r"=:([A-Za-z0-9+/]{85}[AQgw]==):"
IDEMPOTENCY_KEY: Final = re.compile(_IDEMPOTENCY_KEY)
CONTENT_DIGEST: Final = re.compile(_CONTENT_DIGEST)
SIGNATURE: Final = re.compile(_SIGNATURE)

# Six parameters in any order, each of six groups filled: so each occurs exactly once.
_REQUEST_PARAMETERS = (
    rf'(?:;(?:created=({_INTEGER})|expires=({_INTEGER})|nonce="({_NONCE})"|keyid="({_KEY_ID})"'
    rf'|alg="({_ALG})"|tag="({REQUEST_TAG})")(?=;|\Z)){{6}}'
)
REQUEST_PARAMETER_NAMES: Final = ("created", "expires", "nonce", "keyid", "alg", "tag")
INPUT_ACTING: Final = re.compile(rf"{LABEL}=\({re.escape(COVERED_ACTING)}\)" + _REQUEST_PARAMETERS)
INPUT_GET: Final = re.compile(rf"{LABEL}=\({re.escape(COVERED_GET)}\)" + _REQUEST_PARAMETERS)

# What a receipt covers: the response, then everything that the request's signature covered, then that
# signature itself. Signing the request's signature value alone would leave room for another request that
# the same value fits (RFC 9421 §7.3.7).
_RESPONSE_PART = '"@status" "content-type" "content-digest"'
_SIGNATURE_PART = f'"signature-input";req;key="{LABEL}" "signature";req;key="{LABEL}"'


def _with_req(covered: str) -> str:
    return " ".join(f"{name};req" for name in covered.split(" "))


RECEIPT_COVERED_ACTING: Final = f"{_RESPONSE_PART} {_with_req(COVERED_ACTING)} {_SIGNATURE_PART}"
RECEIPT_COVERED_GET: Final = f"{_RESPONSE_PART} {_with_req(COVERED_GET)} {_SIGNATURE_PART}"
_RECEIPT_PARAMETERS = (
    rf'(?:;(?:created=({_INTEGER})|keyid="({_KEY_ID})"|alg="({_ALG})"|tag="({RECEIPT_TAG})")(?=;|\Z)){{4}}'
)
RECEIPT_PARAMETER_NAMES: Final = ("created", "keyid", "alg", "tag")
RECEIPT_INPUT_ACTING: Final = re.compile(
    rf"{LABEL}=\({re.escape(RECEIPT_COVERED_ACTING)}\)" + _RECEIPT_PARAMETERS
)
RECEIPT_INPUT_GET: Final = re.compile(rf"{LABEL}=\({re.escape(RECEIPT_COVERED_GET)}\)" + _RECEIPT_PARAMETERS)

# Printable ASCII that neither begins nor ends with a space: a header value that has one reading.
PLAIN_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?")

_ORIGIN = r"https://[a-z0-9.:\[\]-]+"
_PATH = r"/v1(?:/[A-Za-z0-9_-]+)+"
_PAIR = r"[A-Za-z0-9_-]+=[A-Za-z0-9_.-]*"
# No percent, dot or empty segment, user information, fragment or bare question mark exists in this form:
# these are what proxies and libraries rewrite, each in its own way.
TARGET: Final = re.compile(rf"({_ORIGIN})({_PATH})(?:\?({_PAIR}(?:&{_PAIR})*))?")
_CANONICAL_ORIGIN = (
    r"https://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(?!:443(?:/|\Z))(?::[1-9][0-9]{0,4})?"
)
CANONICAL_ORIGIN: Final = re.compile(_CANONICAL_ORIGIN)

# The signature bases of nearly all requests: one expression says in one pass that each part has its form.
# Five line breaks are ours (two for a GET) and no part's form holds another, so the lines are the parts.
# What these do not match is unusual, not wrong: it is read part by part, and refused with its reason.
_USUAL_PARAMETERS = (
    rf';created=({_INTEGER});expires=({_INTEGER});nonce="({_NONCE})";keyid="({_KEY_ID})";alg="({_ALG})"'
    rf';tag="{REQUEST_TAG}"'
)
USUAL_BASE_ACTING: Final = re.compile(
    rf'"@method": (?:POST|PUT|PATCH|DELETE)\n"@target-uri": ({_ORIGIN}){_PATH}\n'
    rf'"content-type": {MEDIA_TYPE}\n"content-digest": {_CONTENT_DIGEST}\n'
    rf'"idempotency-key": {_IDEMPOTENCY_KEY}\n'
    rf'"@signature-params": \({re.escape(COVERED_ACTING)}\){_USUAL_PARAMETERS}'
)
USUAL_BASE_GET: Final = re.compile(
    rf'"@method": GET\n"@target-uri": ({_ORIGIN}){_PATH}\n'
    rf'"@signature-params": \({re.escape(COVERED_GET)}\){_USUAL_PARAMETERS}'
)
# The same for a signer, who need not match what is its own or was matched before.
USUAL_TARGET: Final = re.compile(_CANONICAL_ORIGIN + _PATH)
USUAL_KEY_AND_NONCE: Final = re.compile(rf"{_IDEMPOTENCY_KEY}\n{_NONCE}")
