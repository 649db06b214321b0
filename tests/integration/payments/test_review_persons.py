"""Nobody decides as somebody else: forged, borrowed and shared identities, and other ways to the mailbox."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from pki.tls import client_context
from tests.integration.payments.operators import ALICE, Operators, in_review
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.postgres_server import PostgresServer


@pytest.fixture
def operators(postgres: PostgresServer, database: str, tmp_path: Path) -> Operators:
    return Operators(postgres, database, tmp_path)


async def test_the_shared_certificate_is_nobody(paying: PaymentWorld, operators: Operators) -> None:
    payment_id = await in_review(paying)
    for statement in (
        f"select payments.decide_review('{payment_id}', 'approve', 'fine')",
        f"select payments.ask('void', '{payment_id}', 'ask_eu_1', null, 'fine')",
        "select * from payments.reviews_open()",
    ):
        async with operators.connected("operator") as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="certificate of a person"):
                await connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "set session authorization 'operator'",
        "set role migrator",
        "set application_name = 'operator-bruno'",
        "create function pg_temp.person() returns text language sql as $$ select 'operator-bruno' $$",
        "set search_path = pg_temp",
    ],
)
async def test_nothing_that_a_session_says_changes_who_decided(
    paying: PaymentWorld, operators: Operators, statement: str
) -> None:
    payment_id = await in_review(paying)
    async with operators.connected(ALICE) as connection:
        with suppress(asyncpg.PostgresError):
            await connection.execute(statement)
        await connection.execute("select payments.decide_review($1, 'approve', 'fine')", payment_id)

    assert ALICE == await paying.world.owner.fetchval("select person from payments.operator_action")


async def test_a_person_reaches_no_other_role_and_a_service_not_the_operators(
    postgres: PostgresServer, database: str
) -> None:
    for role, certificate in (
        ("migrator", ALICE), ("payments", ALICE), (ALICE, ALICE), ("operator", "payments"),
        ("operator", "gateway"),
    ):  # fmt: skip
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await postgres.connect(role, database, person=certificate)


async def test_a_certificate_that_no_line_maps_is_nobody(postgres: PostgresServer, database: str) -> None:
    postgres.pki.issue("operator-mallory")

    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await postgres.connect("operator", database, person="operator-mallory")


async def test_a_certificate_of_another_authority_is_nobody(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    stranger = type(postgres.pki).create(tmp_path / "certs")
    stranger.issue(ALICE)
    forged = tmp_path / "forged"
    forged.mkdir()
    for file in ("cert.pem", "key.pem"):
        (forged / file).write_bytes((stranger.identity(ALICE) / file).read_bytes())
        (forged / file).chmod(0o600)
    for file in ("trust.pem", "crl.pem"):
        (forged / file).write_bytes((postgres.pki.identity(ALICE) / file).read_bytes())
    place = postgres.reach("operator", database)
    context = client_context(forged, expect=frozenset({place.expect}))

    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await asyncpg.connect(
            host=place.host, port=place.port, database=database, user="operator", ssl=context
        )


@pytest.mark.parametrize(
    "call",
    [
        "payments.person()",
        "payments.act('approve', 'pay_x', 'pay_x', null, 'fine', '{}', 'x')",
        "payments.put_mail(array['pay_x'], array['{}']::json[], array['x'], array['1'])",
        "payments.mail_in(array['pay_x'], array['{}']::json[], array['x'], array['1'])",
    ],
)
async def test_a_person_has_no_other_way_to_the_mailbox(
    paying: PaymentWorld, operators: Operators, call: str
) -> None:
    async with operators.connected(ALICE) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"select {call}")


@pytest.mark.parametrize("role", ["gateway", "payments", "notifications", "pki", "evidence", "fraud"])
async def test_no_service_decides_a_review(
    paying: PaymentWorld, postgres: PostgresServer, database: str, role: str
) -> None:
    connection = await postgres.connect(role, database)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select payments.decide_review('pay_x', 'approve', 'fine')")
    finally:
        await connection.close()


@pytest.mark.parametrize("change", ["delete from", "truncate", "update"])
async def test_what_persons_did_cannot_be_changed(
    paying: PaymentWorld, operators: Operators, change: str
) -> None:
    await operators.decide(ALICE, await in_review(paying), "approve")
    ending = " set person = 'operator-bruno'" if change == "update" else ""

    with pytest.raises(asyncpg.PostgresError, match="only ever grows"):
        await paying.world.owner.execute(f"{change} payments.operator_action{ending}")
