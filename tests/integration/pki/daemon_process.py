"""The daemon as a process of the tests: started, listened to, ended or killed."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pki.authority import IssuingAuthority, initialise
from tests.integration.pki.conftest import DOMAIN, KEEPER, PASSPHRASE

ROOT = Path(__file__).parents[3]
NAMES = ("gateway", "gateway-sidecar", "payments", "pki", "edge")
# Scrypt at its least and a few handshakes take a second; a busy machine takes its time.
EVENT_S_MAX = 40.0


def expired_tree(certs: Path, names: tuple[str, ...] = NAMES, *, age_days: int = 9) -> None:
    """Make an authority whose leaves and intermediate's list ended yesterday."""
    now = datetime.now(UTC)
    made = now - timedelta(days=age_days)
    initialise(certs, trust_domain=DOMAIN, root=KEEPER, issuing=KEEPER, now=made)
    IssuingAuthority.open(certs, KEEPER).issue(names, owners={}, now=now - timedelta(days=8))


def copy(certs: Path, place: Path) -> Path:
    shutil.copytree(certs, place, symlinks=True)
    return place


def roles(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "type": "role"} for name in names]


def write_deployment(path: Path, consumers: list[dict[str, Any]]) -> Path:
    document = {
        "version": 1,
        "trust_domain": DOMAIN,
        "connection_age_s_max": 1.0,
        "processes_file": str(path.with_name("processes.json")),
        "consumers": consumers,
    }
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(document))
    aside.replace(path)
    return path


def policy_of_the_tests(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    entries = [
        f'[workload.{name}]\nspiffe_id = "spiffe://{DOMAIN}/{name}"\ndns_name = "{name}.{DOMAIN}"\n'
        f'common_name = "{name}"\naccount = "cm-{name}"\nconsumer = "role"\n'
        for name in names
    ]
    path.write_text(f'version = 1\ntrust_domain = "{DOMAIN}"\n' + "\n".join(entries))
    return path


@dataclass
class Daemon:
    """A running daemon; `lines` holds what it logged so far."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    _fresh: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)

    def follow(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            line = json.loads(text) if text.startswith("{") else {"event": text}
            self._fresh.put(line)
        self._fresh.put(None)

    def await_line(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next line that is wanted."""
        give_up = time.monotonic() + EVENT_S_MAX
        while True:
            line = self._fresh.get(timeout=max(0.0, give_up - time.monotonic()))
            assert line is not None, f"it ended: {self.lines}"
            self.lines.append(line)
            if wanted(line):
                return line

    def await_event(self, sentence: str) -> dict[str, Any]:
        return self.await_line(lambda line: line["event"] == sentence)

    def end(self, number: int = signal.SIGTERM) -> float:
        """Ask it to end; return how long that took, seconds."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(EVENT_S_MAX)
        return time.monotonic() - began


@dataclass
class Place:
    """Where a daemon works: tree, deployment and policy; `more` are arguments for each start."""

    certs: Path
    deployment: Path
    policy: Path
    more: list[str] = field(default_factory=list)

    def command(self, descriptor: int, *more: str) -> list[str]:
        options = ["--certs", self.certs, "--deployment", self.deployment, "--policy", self.policy]
        fixed = [sys.executable, "-W", "error", "-m", "pki", "daemon", "--passphrase-fd", descriptor]
        return [str(word) for word in (*fixed, *options, *self.more, *more)]

    @contextmanager
    def daemon(self, *more: str) -> Iterator[Daemon]:
        """Start one; whatever the test did, it does not outlive the context."""
        with passphrase(PASSPHRASE) as descriptor:
            process = subprocess.Popen(
                self.command(descriptor, *more),
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                text=True, pass_fds=(descriptor,),
            )  # fmt: skip
        daemon = Daemon(process)
        thread = threading.Thread(target=daemon.follow, daemon=True)
        thread.start()
        try:
            yield daemon
        finally:
            process.kill()
            process.wait()
            thread.join()
            assert process.stderr is not None
            process.stderr.close()

    def once(self, *more: str, secret: bytes = PASSPHRASE) -> subprocess.CompletedProcess[str]:
        """Run a single pass."""
        with passphrase(secret) as descriptor:
            return subprocess.run(
                self.command(descriptor, "--once", *more),
                cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                pass_fds=(descriptor,), timeout=120,
            )  # fmt: skip


@contextmanager
def passphrase(secret: bytes) -> Iterator[int]:
    reader, writer = os.pipe()
    os.write(writer, secret + b"\n")
    os.close(writer)
    try:
        yield reader
    finally:
        os.close(reader)


def place(folder: Path, certs: Path, consumers: list[dict[str, Any]]) -> Place:
    """Return a place whose policy lists everybody."""
    return Place(
        certs,
        write_deployment(folder / "deployment.json", consumers),
        policy_of_the_tests(folder / "policy.toml"),
    )
