"""Each rotation is an event: in a file, or at a real collector that proves its identity over TLS."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from pki.certificate_files import CertificateTree
from pki.tls import server_context
from tests.integration.pki.conftest import DOMAIN, PASSPHRASE
from tests.integration.pki.daemon_process import Place, expired_tree, place, roles
from tests.integration.pki.following_listener import serial_of

NAMES = ("gateway", "pki", "edge", "payments")
START_S_MAX = 10


@dataclass
class Collector:
    """What a collector took: each record as (event name, attributes); `arrived` is set with the first."""

    port: int = 0
    records: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    async def take(self, request: web.Request) -> web.Response:
        if self.statuses:
            return web.Response(status=self.statuses.pop())
        body = ExportLogsServiceRequest.FromString(await request.read())
        for resource in body.resource_logs:
            self.resources.append({a.key: a.value.string_value for a in resource.resource.attributes})
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    found = {a.key: value(a.value) for a in record.attributes}
                    self.records.append((record.event_name, found))
        self.arrived.set()
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def serve(self, generation: Path, ready: threading.Event, end: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_post("/v1/logs", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        context = server_context(generation, admit=frozenset({f"spiffe://{DOMAIN}/pki"}))
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        ready.set()
        await end.wait()
        await runner.cleanup()


def value(found: Any) -> Any:
    return getattr(found, found.WhichOneof("value"))


@contextmanager
def collector(generation: Path, *statuses: int) -> Iterator[Collector]:
    """Serve over TLS, in a thread with a loop of its own; answers these statuses first."""
    found, ready = Collector(statuses=list(statuses)), threading.Event()
    loop = asyncio.new_event_loop()
    end = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(found.serve(generation, ready, end)))
    thread.start()
    try:
        assert ready.wait(START_S_MAX)
        yield found
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(START_S_MAX)
        loop.close()


@pytest.fixture
def there(tmp_path: Path) -> Place:
    """A tree whose leaves have all expired."""
    certs = tmp_path / "certs"
    expired_tree(certs, NAMES)
    return place(tmp_path, certs, roles(*NAMES))


@pytest.fixture
def collecting(tmp_path: Path, make_authority: Any) -> Place:
    """A tree in force, with one workload whose files are damaged and so due."""
    certs = tmp_path / "certs"
    make_authority(certs, *NAMES, "collector")
    bundle = certs / "live/gateway/current/trust.pem"
    bundle.unlink()  # Written over, it would change for every leaf of its batch.
    bundle.write_bytes(b"")
    return place(tmp_path, certs, roles(*NAMES, "collector"))


def serials(certs: Path) -> dict[str, str]:
    return {
        name: serial_of(certs / "live" / name / "current") for name in CertificateTree(certs).live_names()
    }


def test_a_file_gets_a_line_for_each_event_and_no_secret(there: Place, tmp_path: Path) -> None:
    before, file = serials(there.certs), tmp_path / "events.jsonl"
    done = there.once("--events-file", str(file))
    after = serials(there.certs)
    events = [json.loads(line) for line in file.read_text().splitlines()]

    assert 0 == done.returncode, done.stderr
    leaves = [e["attributes"] for e in events if e["event_name"] == "countermark.pki.leaf_rotated"]
    assert {f"spiffe://{DOMAIN}/{name}" for name in NAMES} == {leaf["spiffe_id"] for leaf in leaves}
    for leaf in leaves:
        name = leaf["spiffe_id"].rpartition("/")[2]
        assert (after[name], before[name]) == (leaf["serial"], leaf["previous_serial"])
        assert ("confirmed", True) == (leaf["outcome"], 0 < leaf["duration_s"] < 30)
        assert leaf["not_after"] > leaf["not_before"]
    lists = [e["attributes"] for e in events if e["event_name"] == "countermark.pki.list_published"]
    assert ["issued"] == [entry["outcome"] for entry in lists]
    assert "PRIVATE" not in file.read_text()
    assert PASSPHRASE.decode() not in file.read_text() + done.stderr


def test_a_collector_gets_events_over_mutual_tls(collecting: Place) -> None:
    with collector(collecting.certs / "live/collector/current", 503) as found:
        done = collecting.once("--otlp-endpoint", f"https://127.0.0.1:{found.port}")

    assert 0 == done.returncode, done.stderr
    ((name, leaf),) = found.records
    assert ("countermark.pki.leaf_rotated", f"spiffe://{DOMAIN}/gateway") == (name, leaf["spiffe_id"])
    assert serials(collecting.certs)["gateway"] == leaf["serial"]
    assert [{"service.name": "countermark-pki", "service.namespace": DOMAIN}] == found.resources


def test_somebody_else_in_the_collectors_place_gets_nothing(collecting: Place) -> None:
    with collector(collecting.certs / "live/edge/current") as found:
        done = collecting.once("--otlp-endpoint", f"https://127.0.0.1:{found.port}")

    assert 0 == done.returncode, done.stderr
    assert [] == found.records
    assert "the collector of events is away" in done.stderr


def test_a_collector_that_is_away_holds_up_neither_work_nor_end(collecting: Place) -> None:
    with collector(collecting.certs / "live/collector/current") as found:
        port = found.port
    with collecting.daemon("--otlp-endpoint", f"https://127.0.0.1:{port}") as daemon:
        daemon.await_event("renewed leaves")
        daemon.await_event("the collector of events is away")
        took = daemon.end()

    assert (0, True) == (daemon.process.returncode, took < 1.5)
    assert all("level" in line for line in daemon.lines)  # neither a warning nor a traceback of the library


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:4318", "127.0.0.1:4318", "https://", "https://u:p@127.0.0.1", "https://h:x"],
)
def test_an_endpoint_that_is_not_one_of_tls_is_refused(collecting: Place, endpoint: str) -> None:
    before = serials(collecting.certs)
    done = collecting.once("--otlp-endpoint", endpoint)

    assert (1, before) == (done.returncode, serials(collecting.certs))
    assert "events leave this machine by TLS alone" in done.stderr
