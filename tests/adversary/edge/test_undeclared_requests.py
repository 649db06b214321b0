"""What no signed client sends ends at the edge: undeclared methods, paths, media types and encodings."""

from __future__ import annotations

import json
import re

import pytest

from gateway.api.problems import PROBLEMS
from gateway.api.surface import OPERATIONS
from tests.adversary.edge.recording_gateway import Door, octets
from tests.integration.gateway.merchant_requests import header

JSON = "Content-Type: application/json"


def a_path(template: str) -> str:
    """A path of this route."""
    return re.sub(r"\{[^}]*\}", "x001", template)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_every_declared_operation_passes(door: Door, operation: object) -> None:
    method, path = operation.method, a_path(operation.path)  # type: ignore[attr-defined]  # an Operation
    before = len(door.arrived)
    fields, body = ((), b"") if method == "GET" else ((JSON,), b"{}")

    answer = await door.send(f"{method} {path}?a=1", *fields, body=body)

    assert 200 == answer.status
    (arrived,) = door.new(before)
    assert (method, f"{path}?a=1", body) == (arrived.method, arrived.target, arrived.body)


@pytest.mark.parametrize(
    "file", ["checkpoint", "tile/0/000", "tile/0/x001/x234/067.p/12", "tile/entries/x001/067"]
)
async def test_the_files_of_the_log_pass(door: Door, file: str) -> None:
    assert 200 == (await door.send(f"GET /.well-known/countermark-log/{file}")).status


@pytest.mark.parametrize(
    ("line", "fields", "status", "code"),
    [
        ("PUT /v1/payments", (JSON,), 405, "method_not_allowed"),
        ("PATCH /v1/payments/x", (JSON,), 405, "method_not_allowed"),
        ("DELETE /v1/payments", (JSON,), 405, "method_not_allowed"),
        ("OPTIONS /v1/payments", (), 405, "method_not_allowed"),
        ("TRACE /v1/payments", (), 405, "method_not_allowed"),
        ("PROPFIND /v1/payments", (), 405, "method_not_allowed"),
        ("POST /.well-known/countermark-keys", (JSON,), 405, "method_not_allowed"),
        ("GET /", (), 404, "not_found"),
        ("GET /v1", (), 404, "not_found"),
        ("GET /v1/nothing", (), 404, "not_found"),
        ("GET /v2/payments", (), 404, "not_found"),
        ("GET /metrics", (), 404, "not_found"),
        ("GET /healthz", (), 404, "not_found"),
        ("GET /identity", (), 404, "not_found"),
        ("GET /.git/config", (), 404, "not_found"),
        ("GET /.well-known/security", (), 404, "not_found"),
        ("POST /v1/payments", (), 415, "unsupported_media"),
        ("POST /v1/payments", ("Content-Type: text/xml",), 415, "unsupported_media"),
        ("POST /v1/payments", ("Content-Type: application/json; charset=utf-8",), 415, "unsupported_media"),
        ("POST /v1/payments", ("Content-Type: application/x-www-form-urlencoded",), 415, "unsupported_media"),
        ("POST /v1/payments", (JSON, JSON), 415, "unsupported_media"),
        ("POST /v1/payments", (JSON, "Content-Encoding: gzip"), 415, "unsupported_media"),
        ("POST /v1/payments", (JSON, "Content-Encoding: identity"), 415, "unsupported_media"),
        ("GET /v1/payments", ("Content-Encoding: br",), 415, "unsupported_media"),
        ("GET /v1/payments", ("Upgrade: websocket", "Connection: Upgrade"), 403, "not_permitted"),
    ],
)  # fmt: skip
async def test_what_is_not_declared_is_refused_with_what_to_do(
    door: Door, line: str, fields: tuple[str, ...], status: int, code: str
) -> None:
    before = len(door.arrived)

    answer = await door.send(line, *fields, body=b"" if line.startswith("GET") else b"{}")

    assert status == answer.status
    assert [] == door.new(before)
    said = json.loads(answer.body)
    assert "application/problem+json" == header(answer, "Content-Type")
    assert (code, status, PROBLEMS[code].title) == tuple(said[n] for n in ("code", "status", "title"))
    assert len(said["detail"]) > 20
    assert len(answer.body) < 512
    if status == 405:
        assert set((header(answer, "Allow") or "").split(", ")) <= {"GET", "POST", "DELETE", "PATCH"}


async def test_a_head_is_no_read_of_ours(door: Door) -> None:
    before = len(door.arrived)
    reader, writer = await door.edge.connect()
    writer.write(octets("HEAD /.well-known/countermark-keys"))

    status_line = await reader.readline()
    writer.transport.abort()

    assert status_line.startswith(b"HTTP/1.1 405 ")
    assert [] == door.new(before)
