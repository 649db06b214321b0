"""Whoever verifies the edge goes on verifying it after its root was replaced."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from compose.demo.wire import Wire
from compose.launcher.accounts import Account
from compose.launcher.followed_bundle import FollowedBundle
from compose.mesh import read_mesh
from signing import SigningKey, keys_to_jwks
from tests.unit.compose.deployment import MESH_FILE
from tests.unit.compose.two_authorities import issue_below, point

MESH = read_mesh(MESH_FILE)
ME = Account("me", os.geteuid(), os.getegid(), drop=False)
FOLLOW_S_MAX = 5.0  # Twenty times what it takes.


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    body = keys_to_jwks([SigningKey.generate("ed25519").verifying_key])
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
    writer.close()


@asynccontextmanager
async def edge(identity: Path, port: int = 0) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
    async with await asyncio.start_server(answer, "127.0.0.1", port, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_copy_is_as_new_as_the_bundle_and_closed_to_strangers(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trust.pem").write_text(name)
    point(tmp_path / "current", tmp_path / "old")
    copy = tmp_path / "copy.pem"
    bundle = FollowedBundle(tmp_path / "current" / "trust.pem", copy, ME)
    bundle.publish()
    assert "old" == copy.read_text()
    assert 0 == copy.stat().st_mode & 0o007

    following = asyncio.create_task(bundle.follow())
    (tmp_path / "current").unlink()  # Nothing to follow for a moment is no reason to stop.
    await asyncio.sleep(0)
    point(tmp_path / "current", tmp_path / "new")
    async with asyncio.timeout(FOLLOW_S_MAX):
        while copy.read_text() != "new":  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)
    following.cancel()


async def test_a_merchant_that_runs_verifies_with_the_authority_in_force(tmp_path: Path) -> None:
    trees = [tmp_path / "old", tmp_path / "new"]
    for tree in trees:
        issue_below(tree, MESH.trust_domain, ["edge"])
    old, new = (tree / "live" / "edge" / "current" for tree in trees)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes((old / "trust.pem").read_bytes())
    async with edge(old) as port:
        wire = Wire(f"https://{MESH.dns('edge')}:{port}", "127.0.0.1", str(bundle))
        try:
            await wire.learn_keys()
            first = set(wire.gateway_keys)
            async with edge(new) as other:
                stranger = Wire(f"https://{MESH.dns('edge')}:{other}", "127.0.0.1", str(bundle))
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await stranger.learn_keys()
                bundle.write_bytes((new / "trust.pem").read_bytes())
                await stranger.learn_keys()
                await stranger.close()
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await wire.learn_keys()
            assert len(first) == 1
        finally:
            await wire.close()
