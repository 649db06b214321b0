"""The command: parses arguments, calls the library, prints.

Data goes to stdout, words for people to stderr. Exit codes: 0 fine, 1 refused,
2 usage, 3 outcome unknown, 130 interrupted. Passphrases and tokens never pass through arguments or
the environment.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import commands
from .arguments import JSON, MESSAGE, PUBLIC_KEYS, add_at, add_key, add_origin, add_passphrase
from .client_errors import AnswerNotTrusted, ExchangeFailed, GatewayRefused, OutcomeUnknown
from .errors import MessageUnreadable, SigningError
from .evidence_command import add_evidence
from .keys import ALGORITHMS
from .listen_command import add_listen
from .profile import LIFETIME_S_MAX
from .register_command import add_register
from .terminal import print_json, say
from .trigger_command import add_trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from .arguments import AddCommand

_EXIT_CODES = (
    "exit codes: 0 fine, 1 refused, 2 wrong usage or unreadable file, "
    "3 no believable answer: repeat with the idempotency key that is shown, 130 interrupted"
)
_TAKE_RANDOM_TEXT = frozenset({"--idempotency-key", "--gateway-key-id"})
# One that begins like an option is told from one by its length: no option has as many characters.
_HYPHENED = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_-]{14,62}|--[A-Za-z0-9_-]{30,62}")
_INTERRUPTED = 130  # what shells say of a process that Ctrl-C ended


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    if sys.stdout is None:
        say("standard output is closed: there is nowhere to print to")
        return 2
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except SigningError as error:
        return _refuse(error, as_json=options.json)
    except OSError as error:
        return _cannot_use(error, as_json=options.json)
    except KeyboardInterrupt:
        say("interrupted")
        return _INTERRUPTED
    return code


def _joined(arguments: list[str]) -> list[str]:
    """Join options and values that begin with a hyphen, as one random text in 64 does.

    argparse takes such a value for an option of its own.
    """
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _TAKE_RANDOM_TEXT and _HYPHENED.fullmatch(argument) is not None:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _cannot_use(error: OSError, *, as_json: bool) -> int:
    text = f"cannot use {error.filename or 'an input or the output'}: {error.strerror or error}"
    with contextlib.suppress(OSError):
        if as_json:
            print_json({"error": {"code": "file_unusable", "message": text}})
        sys.stdout.flush()
    if isinstance(error, BrokenPipeError) or error.errno == errno.ENOSPC:
        # What could not be written would be tried again, and complained about, when the process ends.
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    say(text)
    return 2


def _refuse(error: SigningError, *, as_json: bool) -> int:
    code, word = 1, f"refused ({error.code})"
    if isinstance(error, MessageUnreadable):
        code, word = 2, "unreadable"
    elif isinstance(error, OutcomeUnknown | AnswerNotTrusted):
        code, word = 3, f"no believable answer ({error.code})"
    if as_json:
        document: dict[str, object] = {"code": error.code, "message": str(error)}
        if isinstance(error, ExchangeFailed):
            document["idempotency_key"] = error.idempotency_key
        if isinstance(error, GatewayRefused):
            document["problem_code"], document["status"] = error.problem_code, error.status
        print_json({"error": document})
    say("\n".join([f"{word}: {error}", *getattr(error, "__notes__", ())]))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_program(),
        description="Sign payment requests; verify requests, receipts, webhooks and evidence; register keys.",
        epilog=_EXIT_CODES,
        allow_abbrev=False,
    )
    groups = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, text: str, run: Callable[[argparse.Namespace], int], /, *, has_json: bool = True
    ) -> argparse.ArgumentParser:
        added = groups.add_parser(name, help=text, description=text, epilog=_EXIT_CODES, allow_abbrev=False)
        added.set_defaults(run=run)
        if has_json:
            added.add_argument("--json", action="store_true", help=JSON)
        return added

    for add_commands in _COMMANDS:
        add_commands(add)
    return parser


def _program() -> str:
    """Name the command as it was started: by its own name, or as a module."""
    own = Path(sys.argv[0]).name
    return own if own == __package__ else f"python -m {__package__}"


def add_keys(add: AddCommand) -> None:
    """Add the commands about the merchant's own keys."""
    keygen = add("keygen", "make a key pair: a private PEM, and a public JWK beside it", commands.keygen)
    keygen.add_argument("--alg", choices=ALGORITHMS, default="ed25519")
    keygen.add_argument("--out", type=Path, required=True, metavar="KEY.pem", help="new file, mode 0600")
    keygen.add_argument("--encrypt", action="store_true", help="protect the file with a passphrase")
    add_passphrase(keygen)

    prove = add("prove", "sign the statement that registers a key: proof of possession", commands.prove)
    add_key(prove)
    prove.add_argument("--merchant-id", required=True)


def add_requests(add: AddCommand) -> None:
    """Add the commands about requests."""
    sign = add("sign", "sign a request; print the header lines to send", commands.sign, has_json=False)
    add_key(sign)
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
    verify.add_argument("request", type=Path, metavar="REQUEST", help=MESSAGE)
    verify.add_argument("--public-key", type=Path, required=True, metavar="FILE", help=PUBLIC_KEYS)
    add_origin(verify)
    add_at(verify)

    explain = add("explain", "print a request's signature base; show where another differs", commands.explain)
    explain.add_argument("request", type=Path, metavar="REQUEST", help=MESSAGE)
    explain.add_argument(
        "--server-base",
        type=Path,
        metavar="FILE",
        help="the gateway's base, its saved 401 problem, or `curl --include` output of it",
    )
    add_origin(explain)


def add_answers(add: AddCommand) -> None:
    """Add the commands about what the gateway sends."""
    webhook = add("webhook", "verify webhooks", commands.verify_webhook_file)
    webhook.add_argument("action", choices=("verify",))
    webhook.add_argument("request", type=Path, metavar="REQUEST", help="the webhook as HTTP text or JSON")
    webhook.add_argument("--public-key", type=Path, required=True, metavar="FILE", help=PUBLIC_KEYS)
    add_at(webhook)

    receipt = add("receipt", "verify receipts", commands.verify_receipt_files)
    receipt.add_argument("action", choices=("verify",))
    receipt.add_argument("--request", type=Path, required=True, metavar="REQUEST", help=MESSAGE)
    receipt.add_argument(
        "--response", type=Path, required=True, metavar="RESPONSE", help="what `curl --include` printed"
    )
    receipt.add_argument(
        "--public-key", type=Path, required=True, metavar="FILE", help="the gateway's key set"
    )
    add_origin(receipt)
    add_at(receipt)


# One function for each group of commands; their order is the order of the help.
_COMMANDS: tuple[Callable[[AddCommand], None], ...] = (
    add_keys,
    add_register,
    add_requests,
    add_answers,
    add_evidence,
    add_listen,
    add_trigger,
)
