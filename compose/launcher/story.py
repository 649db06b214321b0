"""What a person reads: the story step by step, then where everything is. Colour only on a terminal."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compose.launcher.stack import Stack

_WIDTH_PLAIN = 110  # A file or a pipe has no width of its own.
_SHOWN_CHARS = 96  # Signatures are shown as far as a line goes; the whole request is in --json.


class _PatientConsole(Console):
    """Goes on in silence when whoever read the output has gone: the stack is worth more than its story."""

    def on_broken_pipe(self) -> None:
        """Send what is still to come nowhere, and raise nothing."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


class Story:
    """Writes facts as they happen.

    Args:
        stream: Where to; colours and the live width are used only if it is a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        width = None if stream.isatty() else _WIDTH_PLAIN
        self._console = _PatientConsole(
            file=stream, width=width, highlight=False, soft_wrap=not stream.isatty()
        )

    def step(self, name: str, what: str) -> None:
        """One line of the start."""
        self._console.print(Text.assemble(("  · ", "dim"), (f"{name:<22}", "cyan"), (what, "")))

    def title(self, text: str) -> None:
        """A heading."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def fact(self, fact: dict[str, Any]) -> None:
        """One step of the merchant's story."""
        show = getattr(self, f"_show_{fact['step']}", None)
        if show is not None:
            show(fact)

    def _held(self, text: str) -> None:
        self._console.print(Text.assemble(("  ✓ ", "green"), text))

    def _detail(self, name: str, value: str) -> None:
        shown = value if len(value) <= _SHOWN_CHARS else value[: _SHOWN_CHARS - 1] + "…"
        self._console.print(Text.assemble("      ", (f"{name} ", "dim"), shown))

    def _show_token(self, fact: dict[str, Any]) -> None:
        self._held(f"the operator enrolled {fact['merchant_id']} and handed over a one-time token")

    def _show_key(self, fact: dict[str, Any]) -> None:
        self._held(f"the merchant made its {fact['alg']} key; the private half never leaves it")
        self._detail("key id", fact["key_id"])

    def _show_enrolled(self, _: dict[str, Any]) -> None:
        self._held("the gateway registered the key: token spent, possession proven by the signature")

    def _show_request(self, fact: dict[str, Any]) -> None:
        self._held("the merchant signed a payment")
        self._detail(fact["method"], fact["target"])
        for name, value in fact["headers"]:
            self._detail(f"{name.lower()}:", value)
        self._detail("", fact["body"])

    def _show_accepted(self, fact: dict[str, Any]) -> None:
        self._held(
            f"202 {fact['body']['id']}, and the receipt verifies: it is signed and bound to this request"
        )
        self._detail("receipt by", fact["receipt"]["key_id"])

    def _show_webhook(self, fact: dict[str, Any]) -> None:
        self._held(
            f"webhook {fact['sequence']} {fact['type']}, {fact['age_ms']} ms after it happened, "
            f"signature verified   {fact['payment_id']}"
        )

    def _show_repeated(self, fact: dict[str, Any]) -> None:
        self._held(
            f"the same idempotency key again: {fact['status']}, the same body, a receipt for the repeat"
        )

    def _show_stages(self, fact: dict[str, Any]) -> None:
        self._held(f"stages of {fact['payment_id']}, now {fact['status']}")
        begun = datetime.fromisoformat(fact["stages"][0]["at"])
        for stage in fact["stages"]:
            elapsed_ms = (datetime.fromisoformat(stage["at"]) - begun).total_seconds() * 1000
            self._detail(f"{stage['sequence']}", f"{stage['type']:<28} +{elapsed_ms:.0f} ms")

    def _show_evidence(self, fact: dict[str, Any]) -> None:
        self._held(
            f"its evidence, {fact['bundle_bytes']} bytes, verifies without the gateway: "
            "by the package, and by sh, openssl and coreutils alone"
        )
        for line in fact["proven"]:
            self._detail("proven", line)
        for line in fact["not_proven"]:
            self._detail("not proven", line)

    def _show_charged(self, fact: dict[str, Any]) -> None:
        self._held(
            f"all banks' own books together hold {fact['charges']} charge for it, after the repeat too"
        )

    def summary(self, stack: Stack) -> None:
        """Where everything listens, and what the idle stack costs."""
        sizes, pids = stack.memory_by_process(), stack.supervisor.pids()
        table = Table(title=None, box=None, pad_edge=False, header_style="dim")
        for column in ("  process", "listens on", "pid"):
            table.add_column(column)
        table.add_column("memory", justify="right")
        for name, size in sizes.items():
            listeners = "  ".join(f"{n} {a.host}:{a.port}" for n, a in _listeners_of(stack, name))
            table.add_row(f"  {name}", listeners, str(pids.get(name, "")), f"{size / 1e6:.0f} MB")
        total = sum(sizes.values()) / 1e6
        table.add_row("  together", "", "", f"{total:.0f} MB")
        self._console.print(table)

    def text(self, text: str) -> None:
        """Plain lines, as they are: people copy them."""
        self._console.print(Text(text), soft_wrap=True)


def _listeners_of(stack: Stack, process: str) -> list[tuple[str, Any]]:
    service = process.removesuffix("-sidecar")
    behind = process != service
    found = []
    for name, address in stack.places.addresses.items():
        owner, _, listener = name.partition(".")
        if owner == service and (listener.startswith(("ingress", "egress")) == behind):
            found.append((listener, address))
    return found


def facts_as_json(stack: Stack, facts: list[dict[str, Any]], *, seconds: float) -> str:
    """The same as one JSON object for machines."""
    return json.dumps(
        {
            "ok": True,
            "ready_s": round(seconds, 3),
            "origin": stack.places.origins[0],
            "data_dir": str(stack.layout.root),
            "listeners": {n: f"{a.host}:{a.port}" for n, a in stack.places.addresses.items()},
            "pids": stack.supervisor.pids(),
            "memory_bytes": stack.memory_by_process(),
            "steps": facts,
        }
    )
