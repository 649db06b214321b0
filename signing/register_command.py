"""`register`: a first key with an operator's token, a later key with a key that is registered already.

The token is read from a file descriptor or from the terminal, never from an argument.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_key, add_passphrase, descriptor
from .client_errors import ExchangeFailed
from .connecting import add_connection, add_origin_of_gateway, connect
from .errors import KeyRefused
from .key_file import load_signing_key, read_secret
from .terminal import print_json, print_lines, say

if TYPE_CHECKING:
    import argparse

    from .arguments import AddCommand

_RANDOM_BYTES = 24  # 192 bits, 32 characters: idempotency keys never meet by chance


def add_register(add: AddCommand) -> None:
    """Add `register`."""
    parser = add("register", "register a key with the gateway: a first one with a token, or a later one", run)
    add_key(parser)
    add_origin_of_gateway(parser)
    parser.add_argument(
        "--token-fd",
        type=descriptor,
        metavar="N",
        help="read the enrolment token from this open file descriptor; else the terminal is asked",
    )
    parser.add_argument(
        "--with-key",
        type=Path,
        metavar="OLD.pem",
        help="a registered key that vouches for the new one; no token is needed then",
    )
    add_passphrase(parser, "--with-passphrase-fd")
    parser.add_argument("--merchant-id", required=True, help="the owner, as the operator said")
    add_connection(parser)
    parser.add_argument("--idempotency-key", help="of an earlier run whose outcome is unknown, to repeat it")
    parser.add_argument("--issued-at", type=int, metavar="SECONDS", help="of an earlier run, to repeat it")


def run(options: argparse.Namespace) -> int:
    """Register a key; print what the gateway says about it."""
    if options.with_key is not None and options.token_fd is not None:
        say("a key is registered with a token or with --with-key, not with both")
        return 2
    new = load_signing_key(options.key, options.passphrase_fd)
    token = _read_token(options.token_fd) if options.with_key is None else None
    signer = new if token is not None else load_signing_key(options.with_key, options.with_passphrase_fd)
    idempotency_key = options.idempotency_key or secrets.token_urlsafe(_RANDOM_BYTES)
    issued_at = int(time.time()) if options.issued_at is None else options.issued_at
    repeat = f"to repeat it: --idempotency-key={idempotency_key} --issued-at {issued_at}"
    try:
        with connect(options, signer) as gateway:
            answer = gateway.keys.register(
                new,
                merchant_id=options.merchant_id,
                now=issued_at,
                enrolment_token=token,
                idempotency_key=idempotency_key,
            )
    except ExchangeFailed as error:
        # The time is a part of the body, and a repeat has the same body.
        error.add_note(repeat)
        raise
    except KeyboardInterrupt:
        say(f"the key may be registered; {repeat}")
        raise
    document = {**answer.data, "receipt_key_id": answer.receipt.key_id}
    (print_json if options.json else print_lines)(document)
    say(f"registered, and the answer's receipt verified under {answer.receipt.key_id}")
    return 0


def _read_token(token_fd: int | None) -> str:
    token = read_secret(token_fd, "Enrolment token: ", name="token", option="--token-fd").strip()
    if not token.isascii() or not token.decode("ascii").isprintable():
        raise KeyRefused("an enrolment token is one line of ASCII: give it as the operator printed it")
    return token.decode("ascii")
