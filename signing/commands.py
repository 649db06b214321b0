"""What each command does: files, clock and randomness around the pure library.

Each function takes the parsed options and returns the exit code; refusals are
raised, and printed by the caller.
"""

from __future__ import annotations

import base64
import json
import secrets
import shlex
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from . import explanation
from .errors import KeyUnknown, MessageUnreadable
from .key_file import generate_key_files, load_signing_key, load_verifying_keys, read_passphrase
from .message import Request
from .message_file import FILE_BYTES_MAX, request_from_file, request_to_json, response_from_file
from .problem import parse_signature_base
from .profile import BODY_BYTES_MAX, MEDIA_TYPE
from .receipt import verify_receipt
from .registration import registration_statement, sign_possession
from .request_parsing import parse_for_origins
from .request_signing import sign_request
from .request_verification import verify_request
from .terminal import print_json, print_lines, say
from .webhook import verify_webhook

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_RANDOM_BYTES = 24  # 192 bits, 32 characters: nonces and idempotency keys never meet by chance


def keygen(options: argparse.Namespace) -> int:
    """Write a key pair; print the key id and where the public half is."""
    passphrase = None
    if options.encrypt or options.passphrase_fd is not None:
        passphrase = read_passphrase(options.passphrase_fd, "Passphrase: ", repeat=True)
    key, public_path = generate_key_files(options.alg, options.out, passphrase)
    document = {"key_id": key.key_id, "public_key": str(public_path)}
    (print_json if options.json else print_lines)(document)
    kept = "encrypted" if passphrase is not None else "not encrypted"
    say(f"{options.out} holds the private key, {kept}: keep it. Register the public key next.")
    return 0


def prove(options: argparse.Namespace) -> int:
    """Print statement, signature and public key for a registration."""
    key = load_signing_key(options.key, options.passphrase_fd)
    statement = registration_statement(options.merchant_id, key.key_id, key.alg, int(time.time()))
    document = {
        "statement": statement.decode("ascii"),
        "signature": base64.b64encode(sign_possession(statement, key)).decode("ascii"),
        "jwk": key.verifying_key.to_jwk(),
    }
    print_json(document)
    say("valid for one hour")
    return 0


def sign(options: argparse.Namespace) -> int:
    """Print a signed request as header lines, as a curl command, or whole as JSON."""
    headers: tuple[tuple[str, str], ...] = ()
    body = None
    if options.method != "GET":
        idempotency_key = options.idempotency_key
        if idempotency_key is None:
            idempotency_key = secrets.token_urlsafe(_RANDOM_BYTES)
            say("made a new Idempotency-Key: a repeat of this request must use the same")
        headers = (("Content-Type", MEDIA_TYPE), ("Idempotency-Key", f'"{idempotency_key}"'))
        body = b"{}" if options.body is None else _read_body(options.body)
    elif options.body is not None or options.idempotency_key is not None:
        say("a GET takes neither --body nor --idempotency-key")
        return 2
    request = Request(options.method, options.url, headers, body)
    key = load_signing_key(options.key, options.passphrase_fd)
    request = request.with_headers(
        sign_request(
            request,
            key,
            now=int(time.time()),
            nonce=secrets.token_urlsafe(_RANDOM_BYTES),
            lifetime_s=options.lifetime_s,
        )
    )
    if options.json:
        sys.stdout.write(request_to_json(request).decode("ascii"))
    elif options.curl:
        print(_curl_command(request, options.body))
    else:
        print("\n".join(f"{name}: {value}" for name, value in request.headers))
    return 0


def verify(options: argparse.Namespace) -> int:
    """Verify a request file under a public key file; print the claims."""
    request = request_from_file(_read(options.request), options.origin)
    signed = parse_for_origins(request, _origins(options))
    key = load_verifying_keys(options.public_key).get(signed.key_id)
    if key is None:
        raise KeyUnknown(
            f"the request is signed with {signed.key_id}, which the file does not hold: give that key's file"
        )
    verified = verify_request(signed, key, now=_now(options))
    print_json(
        {
            "key_id": verified.key_id,
            "alg": verified.alg,
            "created": verified.created,
            "expires": verified.expires,
            "nonce": verified.nonce,
            "idempotency_key": verified.idempotency_key,
        }
    )
    say(f"verified: {request.method} {request.target_uri}")
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print the signature base of a request file; compare it with the gateway's if that is given."""
    request = request_from_file(_read(options.request), options.origin)
    ours = explanation.signature_base(request)
    theirs = None if options.server_base is None else _server_base(_read(options.server_base))
    if options.json:
        difference = None if theirs is None else explanation.first_difference(ours, theirs)
        document: dict[str, object] = {"signature_base": ours.decode("ascii")}
        if theirs is not None:
            document["equal"] = difference is None
            document["difference"] = None if difference is None else asdict(difference)
        print_json(document)
    else:
        print(ours.decode("ascii"))
    if theirs is None:
        return 0
    say(explanation.explain(ours, theirs))
    return 0 if ours == theirs else 1


def verify_webhook_file(options: argparse.Namespace) -> int:
    """Verify a webhook file; print what it says."""
    request = request_from_file(_read(options.request), "")
    keys = list(load_verifying_keys(options.public_key).values())
    webhook = verify_webhook(request.headers, request.body or b"", keys, now=_now(options))
    print_json({"message_id": webhook.message_id, "timestamp": webhook.timestamp, "key_id": webhook.key_id})
    say("verified")
    return 0


def verify_receipt_files(options: argparse.Namespace) -> int:
    """Verify a response file as the answer to a request file; print what the receipt says."""
    request = request_from_file(_read(options.request), options.origin)
    response = response_from_file(_read(options.response))
    keys = load_verifying_keys(options.public_key)
    receipt = verify_receipt(request, response, keys.get, now=_now(options))
    print_json({"key_id": receipt.key_id, "created": receipt.created, "status": receipt.status})
    say(f"verified: the gateway answered {receipt.status} to this request")
    return 0


def _curl_command(request: Request, body_file: str | None) -> str:
    parts = ["curl", "--include", "--globoff", "--request", request.method]
    for name, value in request.headers:
        parts += ["--header", f"{name}: {value}"]
    if request.body is not None:
        if body_file is not None and body_file != "-":
            parts += ["--data-binary", f"@{body_file}"]
        else:
            # The body came from a pipe and is gone: the command carries it itself.
            text = request.body.decode("utf-8", "replace")
            if "\0" in text or text.encode("utf-8") != request.body:
                raise MessageUnreadable("this body is no text: give it as a file to get a curl command")
            parts += ["--data-raw", text]
    return shlex.join([*parts, request.target_uri])


def _server_base(content: bytes) -> bytes:
    """Return the base from a file that holds it bare, in a problem document, or in a whole response."""
    if content.startswith(b"HTTP/"):
        content = response_from_file(content).body
    if content.lstrip()[:1] != b"{":
        return content.removesuffix(b"\n")
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MessageUnreadable(
            "the file is no problem document: save the whole answer to the 401"
        ) from error
    base = parse_signature_base(document)
    if base is None:
        raise MessageUnreadable(
            "the problem document holds no signature_base in base64: only a 401 carries one, and only for a "
            "request that could be parsed"
        )
    return base


def _origins(options: argparse.Namespace) -> frozenset[str] | None:
    return None if options.origin is None else frozenset({options.origin})


def _now(options: argparse.Namespace) -> int:
    return int(time.time()) if options.at is None else int(options.at)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(FILE_BYTES_MAX + 1)


def _read_body(name: str) -> bytes:
    # One byte more than permitted is enough for the library to refuse the rest.
    if name == "-":
        if sys.stdin is None:
            raise MessageUnreadable("standard input is closed: give the body as a file")
        return sys.stdin.buffer.read(BODY_BYTES_MAX + 1)
    with open(name, "rb") as stream:  # noqa: PTH123 - the name stays as typed, for the curl command
        return stream.read(BODY_BYTES_MAX + 1)
