"""A probe asks with the generation in force, however long ago it was made."""

from __future__ import annotations

import asyncio
from pathlib import Path

from compose.derive.places import Address, Places
from compose.launcher.readiness import answers_health, completes_handshake
from compose.mesh import read_mesh
from pki.tls import server_context
from tests.unit.compose.deployment import MESH_FILE
from tests.unit.compose.two_authorities import issue_below, point

MESH = read_mesh(MESH_FILE)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    writer.close()


async def test_a_probe_that_is_older_than_the_root_finds_the_process_ready(tmp_path: Path) -> None:
    issue_below(tmp_path / "old", MESH.trust_domain, ["supervisor", "redis"])
    issue_below(tmp_path / "new", MESH.trust_domain, ["supervisor", "redis"])
    context = server_context(
        tmp_path / "new" / "live" / "redis" / "current", admit=frozenset({MESH.spiffe("supervisor")})
    )
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        places = Places(
            addresses={"redis.tls": Address("127.0.0.1", "127.0.0.1", port)}, certs=tmp_path / "certs",
            run=tmp_path, state=tmp_path, secrets=tmp_path, origins=(), connection_age_s_max=10.0,
        )  # fmt: skip
        probes = [make(MESH, places, "redis.tls", "redis") for make in (completes_handshake, answers_health)]

        assert [False, False] == [await probe() for probe in probes]  # No certificate yet: asked again later.
        point(tmp_path / "certs", tmp_path / "old")
        assert [False, False] == [await probe() for probe in probes]
        point(tmp_path / "certs", tmp_path / "new")
        assert [True, True] == [await probe() for probe in probes]
