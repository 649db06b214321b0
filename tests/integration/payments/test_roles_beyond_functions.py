"""What PostgreSQL lets everybody do by default, our roles may not: each is tried over its own connection."""

from __future__ import annotations

import uuid

import asyncpg
import pytest

from tests.integration.payments.payments_samples import SCHEMAS
from tests.integration.postgres_server import ROLES, PostgresServer

# The pen of all screenings: who holds it stops every payment.
_FRAUD_PEN = "x'6672617564'::bigint"
_FORBIDDEN = {
    "stop the screenings": f"select pg_advisory_lock({_FRAUD_PEN})",
    "stop the screenings for a transaction": f"select pg_advisory_xact_lock({_FRAUD_PEN})",
    "try for the pen": f"select pg_try_advisory_lock({_FRAUD_PEN})",
    "share the pen": f"select pg_advisory_lock_shared({_FRAUD_PEN})",
    "keep a large object": "select lo_from_bytea(0, 'hidden')",
    "begin a large object": "select lo_create(0)",
    "keep a table of its own": "create temporary table mine (line text)",
    "keep a table for good": "create table public.mine (line text)",
    "make a schema": "create schema mine",
    "make a function": "create function public.mine() returns int language sql as 'select 1'",
    "become the owner": "set role migrator",
    "read a file of the server": "select pg_read_file('PG_VERSION')",
    "run a program": "copy (select 1) to program 'true'",
    "end others' connections": """
        select pg_terminate_backend(pid) from pg_stat_activity where usename = 'migrator'""",
}


@pytest.fixture(scope="module")
async def database(postgres: PostgresServer) -> str:
    return await postgres.create_database(f"test_{uuid.uuid4().hex}", SCHEMAS)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_has_nothing_that_everybody_has(
    postgres: PostgresServer, database: str, role: str
) -> None:
    owner = await postgres.connect("migrator", database)
    connection = await postgres.connect(role, database)
    allowed = []
    try:
        for what, statement in _FORBIDDEN.items():
            try:
                await connection.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            allowed.append(what)
        assert 1 == await owner.fetchval("select 1")
    finally:
        await connection.close()
        await owner.close()

    assert [] == allowed


async def test_the_owner_takes_locks_for_the_functions_that_need_them(
    postgres: PostgresServer, database: str
) -> None:
    fraud = await postgres.connect("fraud", database)
    try:
        assert await fraud.fetchval("select fraud.take_pen(sha256(''))") is None
    finally:
        await fraud.close()
