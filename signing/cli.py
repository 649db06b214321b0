"""The command: parses arguments, calls the library, prints.

Data goes to stdout, words for people to stderr. Exit codes: 0 fine, 1 refused,
2 usage. Passphrases never pass through arguments or the environment.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import commands
from .errors import MessageUnreadable, SigningError
from .keys import ALGORITHMS
from .profile import LIFETIME_S_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

_EXIT_CODES = "exit codes: 0 fine, 1 refused, 2 wrong usage or unreadable file"
_MESSAGE = "what `sign --json` printed, or HTTP text"
_PUBLIC_KEYS = "public key file: PEM, JWK, JWKS or whpk_ lines"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except MessageUnreadable as error:
        print(f"unreadable: {error}", file=sys.stderr)
        return 2
    except SigningError as error:
        print(f"refused ({error.code}): {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot use {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="Sign payment requests; verify requests, receipts and webhooks.",
        epilog=_EXIT_CODES,
        allow_abbrev=False,
    )
    groups = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = groups.add_parser(name, help=text, description=text, epilog=_EXIT_CODES, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    keygen = add("keygen", "make a key pair: a private PEM, and a public JWK beside it", commands.keygen)
    keygen.add_argument("--alg", choices=ALGORITHMS, default="ed25519")
    keygen.add_argument("--out", type=Path, required=True, metavar="KEY.pem", help="new file, mode 0600")
    keygen.add_argument("--encrypt", action="store_true", help="protect the file with a passphrase")
    _add_passphrase(keygen)

    prove = add("prove", "sign the statement that registers a key: proof of possession", commands.prove)
    _add_key(prove)
    prove.add_argument("--merchant-id", required=True)

    sign = add("sign", "sign a request; print the header lines to send", commands.sign)
    _add_key(sign)
    sign.add_argument("--method", default="POST")
    sign.add_argument("--url", required=True, help="https origin and path, as requested")
    sign.add_argument("--body", metavar="FILE", help="the exact bytes to send; - reads stdin; not for GET")
    sign.add_argument("--idempotency-key", help="16 to 64 characters A-Z a-z 0-9 _ -; made if left out")
    sign.add_argument("--lifetime-s", type=int, default=LIFETIME_S_MAX, help="validity, 1 to 300 s")
    form = sign.add_mutually_exclusive_group()
    form.add_argument("--curl", action="store_true", help="print a curl command that sends the request")
    form.add_argument(
        "--json", action="store_true", help="print the whole request as JSON, to keep or verify"
    )

    verify = add("verify", "verify a signed request", commands.verify)
    verify.add_argument("request", type=Path, metavar="REQUEST", help=_MESSAGE)
    verify.add_argument("--public-key", type=Path, required=True, metavar="FILE", help=_PUBLIC_KEYS)
    _add_origin(verify)
    _add_at(verify)

    explain = add("explain", "print a request's signature base; show where another differs", commands.explain)
    explain.add_argument("request", type=Path, metavar="REQUEST", help=_MESSAGE)
    explain.add_argument(
        "--server-base",
        type=Path,
        metavar="FILE",
        help="the gateway's base, its saved 401 problem, or `curl --include` output of it",
    )
    _add_origin(explain)

    _add_answers(add)
    return parser


def _add_answers(
    add: Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser],
) -> None:
    webhook = add("webhook", "verify webhooks", commands.verify_webhook_file)
    webhook.add_argument("action", choices=("verify",))
    webhook.add_argument("request", type=Path, metavar="REQUEST", help="the webhook as HTTP text or JSON")
    webhook.add_argument("--public-key", type=Path, required=True, metavar="FILE", help=_PUBLIC_KEYS)
    _add_at(webhook)

    receipt = add("receipt", "verify receipts", commands.verify_receipt_files)
    receipt.add_argument("action", choices=("verify",))
    receipt.add_argument("--request", type=Path, required=True, metavar="REQUEST", help=_MESSAGE)
    receipt.add_argument(
        "--response", type=Path, required=True, metavar="RESPONSE", help="what `curl --include` printed"
    )
    receipt.add_argument(
        "--public-key", type=Path, required=True, metavar="FILE", help="the gateway's key set"
    )
    _add_origin(receipt)
    _add_at(receipt)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", type=Path, required=True, metavar="KEY.pem", help="private key, PKCS#8 PEM")
    _add_passphrase(parser)


def _add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-fd",
        type=_descriptor,
        metavar="N",
        help="read the passphrase from this open file descriptor",
    )


def _descriptor(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a file descriptor is a number such as 3")
    return int(text)


def _add_origin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--origin", metavar="URL", help="accept this origin alone; completes a bare path")


def _add_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at", type=int, metavar="SECONDS", help="judge as of this Unix time, for kept messages; else now"
    )
