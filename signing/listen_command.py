"""`listen`: the merchant's own events as they come, over the signed feed; nothing has to come in."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .client_errors import GatewayRefused, OutcomeUnknown
from .connecting import add_gateway, connect
from .following import follow
from .key_file import load_signing_key
from .terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .answers import Answer
    from .arguments import AddCommand
    from .client import Gateway
    from .forwarding import Forwarder

AWAY_S: Final = 2.0  # between tries while the gateway is away; the client has tried for a while before
_SPAN: Final = re.compile(r"([0-9]{1,9})([smhd]?)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_GOOD, _BAD, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
_BAD_TYPES: Final = ("*.failed", "*.lost", "*.reversed", "*.review_rejected", "payment.late_success")
_GOOD_TYPES: Final = ("*.succeeded", "payment.captured", "*.won")

Event = dict[str, Any]


def add_listen(add: AddCommand) -> None:
    """Add `listen`."""
    parser = add(
        "listen", "print your events as they come, and forward them to a local server", run, has_json=False
    )
    add_gateway(parser, os.environ)
    parser.add_argument(
        "--events", default="*", metavar="TYPES", help="such as payment.succeeded,refund.*; all"
    )
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--since", type=_since, metavar="AGE", help="begin so long ago: 90s, 15m, 2h, 7d")
    begin.add_argument(
        "--after", metavar="PLACE", help="go on where an earlier run ended; it printed the place"
    )
    parser.add_argument(
        "--forward-to",
        metavar="URL",
        help="send each event there, too, as a signed webhook: http://localhost:…",
    )
    parser.add_argument(
        "--forward-key", type=Path, metavar="KEY.pem", help="Ed25519 key to sign them with; else a fresh one"
    )
    parser.add_argument("--count", type=_count, metavar="N", help="end after N events; else with Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print each event as one line of JSON")


def run(options: argparse.Namespace) -> int:
    """Print events until there were enough, or nobody wants more."""
    key = load_signing_key(options.key, options.passphrase_fd)
    forwarder = _forwarder(options)
    wanted = tuple(options.events.split(","))
    place, left = options.after, options.count
    show = _show_json if options.json else _show_line
    with connect(options, key) as gateway:
        try:
            say(f"listening to {options.url}; end with Ctrl-C")
            for page in _pages(gateway, place, options.since):
                for event in _matching(page["data"], wanted):
                    show(event)
                    if forwarder is not None:
                        _forward(forwarder, event)
                    left = None if left is None else left - 1
                    if left == 0:
                        return 0
                place = page["next"]
        except KeyboardInterrupt:
            if place is not None:
                say(f"to go on from here: --after {place}")
    return 0


def _pages(gateway: Gateway, after: str | None, since: int | None) -> Iterator[Answer]:
    """Yield pages; while the gateway is away, wait and go on where it was left."""
    while True:
        try:
            for page in follow(gateway.events, after=after, created_gte=since):
                yield page
                after, since = page["next"], None
        except OutcomeUnknown as error:
            if error.lasting:
                raise
            say(f"the gateway is away ({error}); trying again")
        except GatewayRefused as error:
            if not error.retryable:
                raise
            say(f"the gateway is busy ({error.problem_code}); trying again")
        time.sleep(AWAY_S)


def _matching(events: list[Event], wanted: tuple[str, ...]) -> list[Event]:
    return [
        event for event in events if any(fnmatch.fnmatchcase(event["type"], pattern) for pattern in wanted)
    ]


def _show_json(event: Event) -> None:
    print(json.dumps(event, separators=(",", ":")), flush=True)


def _show_line(event: Event) -> None:
    print(line_of(event, coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ), flush=True)


def line_of(event: Event, *, coloured: bool) -> str:
    """Return an event on one line: time of day in UTC, type, ids, amount, and what else matters."""
    data = event["data"]
    kind = f"{event['type']:<26}"
    colour = _colour(event["type"]) if coloured else ""
    further = [event["subject_id"], data["merchant_reference"], data["decline_code"]]
    parts = [
        event["at"][11:23],
        f"{colour}{kind}{_PLAIN}" if colour else kind,
        event["payment_id"],
        f"#{event['sequence']:<3}",
        f"{data['currency']} {data['amount_minor']} minor",
        *(text for text in further if text),
    ]
    return "  ".join(parts).rstrip()


def _colour(kind: str) -> str:
    if any(fnmatch.fnmatchcase(kind, pattern) for pattern in _BAD_TYPES):
        return _BAD
    return _GOOD if any(fnmatch.fnmatchcase(kind, pattern) for pattern in _GOOD_TYPES) else ""


def _forwarder(options: argparse.Namespace) -> Forwarder | None:
    if options.forward_to is None:
        return None
    from .forwarding import Forwarder  # noqa: PLC0415 - sockets are loaded by who uses them
    from .keys import SigningKey  # noqa: PLC0415
    from .webhook import webhook_public_key  # noqa: PLC0415

    if options.forward_key is None:
        key = SigningKey.generate("ed25519")
    else:
        key = load_signing_key(options.forward_key, None)
    forwarder = Forwarder(options.forward_to, key, time.time)
    say(f"forwarding to {options.forward_to}; there, verify with {webhook_public_key(key.verifying_key)}")
    return forwarder


def _forward(forwarder: Forwarder, event: Event) -> None:
    began = time.monotonic()
    try:
        status = forwarder.send(event)
    except OSError as error:
        say(f"  not forwarded: {error.strerror or error} ({event['id']})")
    else:
        say(f"  forwarded: {status} after {(time.monotonic() - began) * 1000:.0f} ms ({event['id']})")


def _since(text: str) -> int:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("an age is a number and s, m, h or d, such as 15m")
    return max(0, int(time.time()) - int(match[1]) * _SECONDS[match[2] or "s"])


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:10]) <= 10**9:
        raise argparse.ArgumentTypeError("a count is a number from 1 on")
    return int(text)
