"""An operator keeps new payments from a bank: who did it is kept, and the engines hear of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from services.node.config_file import NodeConfig
from services.node.postgres import open_pool
from services.payments.bank_health import BankHealth, controls_of
from services.payments.machine.terms import BankTerms
from tests.integration.node.mtls import node_config
from tests.integration.payments.operators import ALICE, BRUNO, Operators
from tests.integration.payments.payments_samples import World
from tests.integration.payments.payments_stack import until
from tests.integration.postgres_server import PostgresServer

NAMES = ["bank-alpha", "bank-bravo"]
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.fixture
async def operators(postgres: PostgresServer, database: str, tmp_path: Path, world: World) -> Operators:
    await world.owner.execute("select payments.know_banks($1)", NAMES)
    return Operators(postgres, database, tmp_path)


async def controls(operators: Operators) -> dict[str, tuple[bool, str | None, str | None]]:
    async with operators.connected(ALICE) as connection:
        rows = await connection.fetch("select * from payments.bank_controls()")
    return {row["bank"]: (row["drained"], row["person"], row["reason"]) for row in rows}


async def test_who_drains_and_who_resumes_is_kept_for_ever(operators: Operators, world: World) -> None:
    async with operators.connected(ALICE) as alice, operators.connected(BRUNO) as bruno:
        drained = await alice.fetchval("select payments.drain_bank('bank-alpha', 'slow since noon')")
        after_draining = await controls(operators)
        again = await bruno.fetchval("select payments.drain_bank('bank-alpha', 'slow')")
        resumed = await bruno.fetchval("select payments.resume_bank('bank-alpha', 'well again')")
        history = await bruno.fetch("select * from payments.bank_control_history('bank-alpha', 10)")

    assert (True, False, True) == (drained, again, resumed)
    assert {
        "bank-alpha": (True, ALICE, "slow since noon"),
        "bank-bravo": (False, None, None),
    } == after_draining
    assert [(BRUNO, False), (ALICE, True)] == [(row["person"], row["drained"]) for row in history]
    for change in (
        "update payments.bank_control set person = 'operator-bruno'",
        "delete from payments.bank_control",
    ):
        with pytest.raises(asyncpg.PostgresError, match="only ever grows"):
            await world.owner.execute(change)


async def test_a_misspelt_bank_is_not_drained_in_vain(operators: Operators) -> None:
    async with operators.connected(ALICE) as alice:
        with pytest.raises(asyncpg.NoDataFoundError, match="bank-alhpa"):
            await alice.fetchval("select payments.drain_bank('bank-alhpa', 'slow')")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201, None])
async def test_a_reason_is_one_line(operators: Operators, reason: str | None) -> None:
    async with operators.connected(ALICE) as alice:
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await alice.fetchval("select payments.drain_bank('bank-alpha', $1)", reason)


async def test_only_persons_drain(operators: Operators, postgres: PostgresServer, database: str) -> None:
    for role in ("operator", "payments", "gateway"):
        connection = await postgres.connect(role, database)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval("select payments.drain_bank('bank-alpha', 'slow')")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval("select payments.control_bank('bank-alpha', true, 'slow')")
        finally:
            await connection.close()

    assert {"bank-alpha": (False, None, None), "bank-bravo": (False, None, None)} == await controls(operators)


async def test_two_persons_who_drain_at_once_write_one_line(operators: Operators, world: World) -> None:
    async with operators.connected(ALICE) as alice, operators.connected(BRUNO) as bruno:
        held = alice.transaction()
        await held.start()
        await alice.fetchval("select payments.drain_bank('bank-alpha', 'slow')")
        second = asyncio.create_task(bruno.fetchval("select payments.drain_bank('bank-alpha', 'slow')"))

        async def is_waiting() -> bool:
            return bool(await world.owner.fetchval("select exists (select from pg_locks where not granted)"))

        await until(is_waiting, 20)
        await held.commit()

        assert False is await second
    assert 1 == await world.owner.fetchval("select count(*) from payments.bank_control")


async def test_an_engine_says_which_banks_there_are_and_hears_which_are_drained(
    postgres: PostgresServer, database: str, world: World, tmp_path: Path
) -> None:
    node: NodeConfig = node_config(postgres.pki, "payments", tmp_path)
    operators = Operators(postgres, database, tmp_path)
    async with open_pool(node, postgres.reach("payments", database), connections_max=1) as pool:
        health = BankHealth({name: BankTerms() for name in NAMES}, controls_of(pool, NAMES))
        await health.follow()
        async with operators.connected(ALICE) as alice:
            await alice.fetchval("select payments.drain_bank('bank-alpha', 'slow')")
        before = health.routes(NOW)
        await health.follow()
        after = health.routes(NOW)

    assert [False, False] == [bank.drained for bank in before.banks]
    assert [True, False] == [bank.drained for bank in after.banks]


async def test_the_commands_of_a_person(operators: Operators) -> None:
    listed = await operators.run(ALICE, "banks", "list", "--json")
    drained = await operators.run(ALICE, "banks", "drain", "bank-alpha", "--reason", "slow", "--json")
    again = await operators.run(BRUNO, "banks", "drain", "bank-alpha", "--reason", "slow")
    table = await operators.run(BRUNO, "banks", "list")
    resumed = await operators.run(BRUNO, "banks", "resume", "bank-alpha", "--reason", "well again")
    history = await operators.run(BRUNO, "banks", "history", "bank-alpha", "--json")
    unknown = await operators.run(ALICE, "banks", "drain", "bank-zulu", "--reason", "slow")
    unreasoned = await operators.run(ALICE, "banks", "drain", "bank-alpha")

    assert [False, False] == [bank["drained"] for bank in listed.facts["banks"]]
    assert {"bank": "bank-alpha", "drained": True, "changed": True, "by": ALICE} == drained.facts
    assert (0, "bank-alpha gets no new payments; it was so already\n") == (again.code, again.output)
    assert 0 == table.code
    assert all(word in table.output for word in ("bank-alpha", "bank-bravo", ALICE, "slow"))
    assert (0, "bank-alpha gets new payments\n") == (resumed.code, resumed.output)
    assert [BRUNO, ALICE] == [said["person"] for said in history.facts["history"]]
    assert (1, True) == (unknown.code, "bank-zulu" in unknown.faults)
    assert 2 == unreasoned.code


async def test_the_shared_certificate_cannot_drain_by_command(operators: Operators) -> None:
    ended = await operators.run("operator", "banks", "drain", "bank-alpha", "--reason", "slow")

    assert 1 == ended.code
    assert "own certificate of a person" in ended.faults
