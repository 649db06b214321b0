"""Looks for a number in everything that a running stack has written, in every way it could be written."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg

from compose.derive.stores import DATABASE
from compose.launcher.stack import Stack
from pki.tls import client_context

CHUNK_BYTES = 4 * 1024 * 1024
# Sockets and pipes have no content; a file may go while we look.
_TABLES = """
    select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
"""


def spellings(number: str, *bodies: bytes) -> set[bytes]:
    """The number in groups, in hexadecimal, in base64 at any offset, and its digests."""
    plain = number.encode()
    groups = [number[i : i + 4] for i in range(0, len(number), 4)]
    found = {plain, number.lower().encode(), " ".join(groups).encode(), "-".join(groups).encode()}
    found |= {plain.hex().encode(), plain.hex().upper().encode(), plain[::-1]}
    for offset in range(3):
        # What stands before shifts it; the first and last characters depend on neighbours.
        found.add(base64.b64encode(b"\0" * offset + plain)[4 if offset else 0 : -4])
    for content in (plain, *bodies):
        for name in ("sha256", "sha1", "md5", "sha512"):
            digest = hashlib.new(name, content).digest()
            found |= {digest, digest.hex().encode(), base64.b64encode(digest)[:-2],
                      base64.urlsafe_b64encode(digest)[:-2]}  # fmt: skip
    return found


def files_with(root: Path, wanted: set[bytes]) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder that holds one of these."""
    longest = max(map(len, wanted))
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        before = b""
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    text = before + chunk
                    yield from ((path, each) for each in wanted if each in text)
                    before = text[-longest:]
        except FileNotFoundError:
            continue


async def rows_with(stack: Stack, wanted: set[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Every table with a row that holds one of these, large values unpacked."""
    address = stack.places.addresses["postgres.tls"]
    context = client_context(
        stack.places.identity("migrator"), expect=frozenset({stack.mesh.spiffe("postgres")})
    )
    connection = await asyncpg.connect(
        host=address.host, port=address.port, user="migrator", database=DATABASE, ssl=context
    )
    try:
        hexed = {each.hex() for each in wanted}
        for (table,) in await connection.fetch(_TABLES):
            for (row,) in await connection.fetch(f"select t::text from {table} t"):
                for each in wanted:
                    if each in row.encode():
                        yield table, each
                for text in hexed:
                    if text in row:
                        yield table, bytes.fromhex(text)
    finally:
        await connection.close()
