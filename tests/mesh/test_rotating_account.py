"""What the account of rotations can do in the stores of the running stack, and what it cannot."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from compose.derive.process_config import PASSWORD_FILE
from compose.derive.stores import DATABASE
from compose.launcher.stack import Stack
from pki.tls import client_context
from tests.mesh.enrolled_merchant import EnrolledMerchant

OPEN_S_MAX = 10.0  # An engine opens its pool again at once; a busy host may need a moment.

_SESSIONS = """
    select a.pid, s.client_dn, s.client_serial from pg_stat_ssl s join pg_stat_activity a using (pid)
     where a.usename = 'payments'
"""


async def connect(stack: Stack) -> asyncpg.Connection:
    address = stack.places.addresses["postgres.tls"]
    context = client_context(stack.places.identity("pki"), expect=frozenset({stack.mesh.spiffe("postgres")}))
    return await asyncpg.connect(
        host=address.host, port=address.port, user="pki", database=DATABASE, ssl=context
    )


async def test_it_sees_the_certificates_of_sessions_and_ends_them(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    await merchant.pay()  # So that somebody's session is open.
    connection = await connect(stack)
    try:
        async with asyncio.timeout(OPEN_S_MAX):
            while not (rows := await connection.fetch(_SESSIONS)):  # noqa: ASYNC110 - another process's news
                await asyncio.sleep(0.05)
        ended = await connection.fetchval("select pg_terminate_backend($1)", rows[0]["pid"])
    finally:
        await connection.close()

    assert {"/O=countermark.internal/CN=payments", "/CN=payments"} & {row["client_dn"] for row in rows}
    assert all(row["client_serial"] for row in rows)
    assert ended is True


@pytest.mark.parametrize("statement", [
    "select * from payments.payment", "select * from registry.merchant", "create schema mine",
    "create table public.mine (a int)", "set role migrator", "create role mine", "select pg_reload_conf()",
    "select pg_read_file('postgresql.conf')",
])  # fmt: skip
async def test_it_reads_and_makes_nothing_in_the_database(stack: Stack, statement: str) -> None:
    connection = await connect(stack)
    try:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_its_redis_user_configures_and_ends_connections_and_touches_no_key(stack: Stack) -> None:
    address = stack.places.addresses["redis.tls"]
    context = client_context(stack.places.identity("pki"), expect=frozenset({stack.mesh.spiffe("redis")}))
    password = (stack.layout.secrets / "pki" / PASSWORD_FILE).read_text()

    async def say(*words: str) -> bytes:
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        try:
            for command in (("AUTH", "pki", password), words):
                writer.write(b"*%d\r\n" % len(command))
                writer.write(b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in command))
                answer = await reader.readline()
            return answer
        finally:
            writer.close()

    assert b"+PONG\r\n" == await say("PING")
    assert b"*6\r\n" == await say("CONFIG", "GET", "tls-cert-file", "tls-key-file", "tls-ca-cert-file")
    current = stack.places.identity("redis")
    assert b"+OK\r\n" == await say(
        "CONFIG", "SET", "tls-cert-file", f"{current}/cert.pem", "tls-key-file", f"{current}/key.pem",
        "tls-ca-cert-file", f"{current}/trust.pem",
    )  # fmt: skip
    assert (await say("CLIENT", "LIST")).startswith(b"$")
    assert b":0\r\n" == await say("CLIENT", "KILL", "USER", "gateway", "ADDR", "127.0.0.1:1")
    for refused in (("GET", "gateway:x"), ("SET", "x", "1"), ("KEYS", "*"), ("CONFIG", "REWRITE"),
                    ("ACL", "LIST"), ("SHUTDOWN",), ("FLUSHALL",)):  # fmt: skip
        assert (await say(*refused)).startswith(b"-NOPERM"), refused
