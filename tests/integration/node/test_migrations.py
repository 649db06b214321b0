"""Migrations run once, in order, whole or not at all, and are never altered afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from services.node.errors import MigrationError
from services.node.migrations import migrate
from tests.integration.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def database(postgres: PostgresServer) -> str:
    return await postgres.create_database(f"test_{uuid.uuid4().hex}", [])


@pytest.fixture
async def connection(postgres: PostgresServer, database: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await postgres.connect("migrator", database)
    yield opened
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("create schema sample; create table sample.one (id int);")
    (tmp_path / "0002_second.sql").write_text("create table sample.two (id int);")
    return tmp_path


async def tables(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "select table_name from information_schema.tables where table_schema = 'sample' order by 1"
    )
    return [row["table_name"] for row in rows]


async def applied(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch("select name from migration.applied order by owner, name")
    return [row["name"] for row in rows]


async def test_each_file_runs_once_in_order(connection: asyncpg.Connection, folder: Path) -> None:
    first = await migrate(connection, [("sample", folder)])
    second = await migrate(connection, [("sample", folder)])
    (folder / "0003_third.sql").write_text("create table sample.three (id int);")
    third = await migrate(connection, [("sample", folder)])

    assert ["sample/0001_first.sql", "sample/0002_second.sql"] == first
    assert [] == second
    assert ["sample/0003_third.sql"] == third
    assert ["one", "three", "two"] == await tables(connection)


async def test_a_file_that_changed_after_it_ran_is_refused(
    connection: asyncpg.Connection, folder: Path
) -> None:
    await migrate(connection, [("sample", folder)])
    (folder / "0001_first.sql").write_text("create schema sample; create table sample.other (id int);")
    (folder / "0003_third.sql").write_text("create table sample.three (id int);")

    with pytest.raises(MigrationError, match=r"0001_first.sql ran on this database and has changed"):
        await migrate(connection, [("sample", folder)])

    assert ["one", "two"] == await tables(connection)


async def test_a_file_that_ran_and_vanished_is_refused(connection: asyncpg.Connection, folder: Path) -> None:
    await migrate(connection, [("sample", folder)])
    (folder / "0002_second.sql").unlink()

    with pytest.raises(MigrationError, match=r"0002_second.sql ran on this database and is missing"):
        await migrate(connection, [("sample", folder)])


async def test_a_file_that_fails_leaves_nothing_and_can_be_mended(
    connection: asyncpg.Connection, folder: Path
) -> None:
    broken = folder / "0003_third.sql"
    broken.write_text("create table sample.three (id int); select no_such_function();")
    with pytest.raises(MigrationError, match=r"sample/0003_third.sql: .*no_such_function"):
        await migrate(connection, [("sample", folder)])

    assert ["one", "two"] == await tables(connection)
    assert ["0001_first.sql", "0002_second.sql"] == await applied(connection)
    broken.write_text("create table sample.three (id int);")
    assert ["sample/0003_third.sql"] == await migrate(connection, [("sample", folder)])


async def test_a_file_whose_run_cannot_be_recorded_leaves_nothing(
    connection: asyncpg.Connection, folder: Path
) -> None:
    (folder / "0003_third.sql").write_text(
        "create table sample.three (id int); drop table migration.applied;"
    )
    with pytest.raises(MigrationError, match=r"0003_third.sql"):
        await migrate(connection, [("sample", folder)])

    assert ["one", "two"] == await tables(connection)
    assert ["0001_first.sql", "0002_second.sql"] == await applied(connection)


@pytest.mark.parametrize("name", ["1_short.sql", "0003-dash.sql", "0003_Upper.sql", "third.sql"])
async def test_a_name_that_has_no_place_in_the_order_is_refused(
    connection: asyncpg.Connection, folder: Path, name: str
) -> None:
    (folder / name).write_text("select 1;")
    with pytest.raises(MigrationError, match=name):
        await migrate(connection, [("sample", folder)])

    assert [] == await tables(connection)


async def test_a_folder_without_migrations_is_refused(connection: asyncpg.Connection, tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="found none"):
        await migrate(connection, [("sample", tmp_path / "missing")])


async def test_two_migrators_at_once_run_each_file_once(
    postgres: PostgresServer, database: str, folder: Path
) -> None:
    connections = [await postgres.connect("migrator", database) for _ in range(3)]
    try:
        ran = await asyncio.gather(*(migrate(each, [("sample", folder)]) for each in connections))
    finally:
        for each in connections:
            await each.close()

    assert ["sample/0001_first.sql", "sample/0002_second.sql"] == sorted(
        name for names in ran for name in names
    )


async def test_a_refusal_gives_the_lock_back(
    postgres: PostgresServer, database: str, connection: asyncpg.Connection, folder: Path
) -> None:
    (folder / "bad.sql").write_text("select 1;")
    with pytest.raises(MigrationError):
        await migrate(connection, [("sample", folder)])
    (folder / "bad.sql").unlink()
    other = await postgres.connect("migrator", database)
    try:
        async with asyncio.timeout(10):
            ran = await migrate(other, [("sample", folder)])
    finally:
        await other.close()

    assert 2 == len(ran)
