"""Numbered SQL files, each run once, in order, under a lock; a file that changed after it ran is refused.

Each file is one transaction. What ran is kept in `migration.applied` with its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import asyncpg

from services.node.errors import MigrationError

LOCK_KEY = 0x636F756E746D726B  # "countmrk": one migrator at a time per database.
_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")

_CREATE = """
create schema if not exists migration;
create table if not exists migration.applied (
    owner text not null, name text not null, sha256 text not null,
    applied_at timestamptz not null default now(), primary key (owner, name));
"""


async def migrate(connection: asyncpg.Connection, folders: list[tuple[str, Path]]) -> list[str]:
    """Run what has not run yet and return its names.

    Args:
        connection: A connection of the role that owns the schemas.
        folders: Owner name and folder, in the order in which they depend on each other.

    Raises:
        MigrationError: An applied file has changed or vanished, a name is malformed, or SQL failed.
    """
    await connection.execute("select pg_advisory_lock($1)", LOCK_KEY)
    try:
        await connection.execute(_CREATE)
        ran: list[str] = []
        for owner, folder in folders:
            ran += await _migrate_folder(connection, owner, folder)
        return ran
    finally:
        await connection.execute("select pg_advisory_unlock($1)", LOCK_KEY)


async def _migrate_folder(connection: asyncpg.Connection, owner: str, folder: Path) -> list[str]:
    files = sorted(folder.glob("*.sql"))
    strange = [file.name for file in files if not _NAME.fullmatch(file.name)]
    if strange or not files:
        raise MigrationError(f"{folder}: migrations are named NNNN_words.sql, found {strange or 'none'}")
    rows = await connection.fetch("select name, sha256 from migration.applied where owner = $1", owner)
    applied = {row["name"]: row["sha256"] for row in rows}
    vanished = sorted(set(applied) - {file.name for file in files})
    if vanished:
        raise MigrationError(
            f"{owner}: {', '.join(vanished)} ran on this database and is missing from {folder}"
        )
    ran = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        if applied.get(file.name) == digest:
            continue
        if file.name in applied:
            raise MigrationError(
                f"{owner}/{file.name} ran on this database and has changed since; add a new file"
            )
        try:
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute(
                    "insert into migration.applied (owner, name, sha256) values ($1, $2, $3)",
                    owner, file.name, digest,
                )  # fmt: skip
        except asyncpg.PostgresError as fault:
            raise MigrationError(f"{owner}/{file.name}: {fault}") from fault
        ran.append(f"{owner}/{file.name}")
    return ran
