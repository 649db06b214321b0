"""Who may do what in the vault's schema: the vault executes its functions, nobody else has the schema."""

from __future__ import annotations

import asyncpg
import pytest

from services.vault.client import VaultClient
from services.vault.messages import Resolution
from tests.integration.postgres_server import ROLES
from tests.integration.vault.test_instruments_kept import card
from tests.integration.vault.vault_stack import VaultStack

TABLES = ("merchant_key", "fingerprint_key", "instrument", "data_key", "access")
DENIED = asyncpg.InsufficientPrivilegeError
FUNCTIONS = (
    "select * from vault.resolve('gateway', array['tok_eu_a'], array['x'])",
    "select * from vault.keys_of(array['mer_eu_one'])",
    "select * from vault.display('mer_eu_one', 'tok_eu_a')",
    "select vault.shred('mer_eu_one', null)",
    "select * from vault.data_keys_before('mer_eu_one', 9, 9)",
    "select vault.instrument_kept('mer_eu_one', 'req', now(), '{}')",
)


@pytest.mark.parametrize("role", [*(role for role in ROLES if role != "vault")])
async def test_no_other_role_reads_or_calls_anything_of_the_vault(stack: VaultStack, role: str) -> None:
    connection = await stack.server.connect(role, stack.database)
    try:
        for statement in (*(f"select * from vault.{table}" for table in TABLES), *FUNCTIONS):
            with pytest.raises(DENIED):
                await connection.fetch(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("table", TABLES)
async def test_the_vault_itself_touches_no_table(stack: VaultStack, table: str) -> None:
    connection = await stack.server.connect("vault", stack.database)
    try:
        for statement in (
            f"select * from vault.{table}", f"delete from vault.{table}", f"truncate vault.{table}",
            f"update vault.{table} set {'at' if table == 'access' else 'merchant_id'} = null",
        ):  # fmt: skip
            with pytest.raises(DENIED):
                await connection.execute(statement)
        with pytest.raises(DENIED):
            await connection.execute("alter table vault.access disable trigger access_append_only")
    finally:
        await connection.close()


async def test_not_even_the_owner_changes_or_empties_the_journal(
    stack: VaultStack, gateway: VaultClient, banks: VaultClient
) -> None:
    kept = await gateway.keep(card())
    await banks.resolve([Resolution(kept.token, "att_eu_1")])

    for statement in (
        "delete from vault.access",
        "update vault.access set caller = 'nobody'",
        "truncate vault.access",
    ):
        with pytest.raises(DENIED, match="append-only"):
            await stack.query(statement)

    assert [1] == [row["count"] for row in await stack.query("select count(*) from vault.access")]


async def test_a_caller_that_is_neither_gets_nothing(stack: VaultStack) -> None:
    async with stack.hop("payments") as hop:
        for path in ("/v1/resolutions", "/v1/instruments", "/v1/instruments/tok_eu_a/shred", "/metrics"):
            assert 403 == (await hop.call("POST", path, b"{}")).status


@pytest.mark.parametrize(
    "path", ["/v1/resolutions/", "/v1/instruments/../resolutions", "/v1/instruments/%2e%2e/resolutions",
             "/v1/instruments//v1/resolutions"],
)  # fmt: skip
async def test_no_spelling_of_a_path_lets_the_gateway_resolve(
    stack: VaultStack, gateway: VaultClient, path: str
) -> None:
    kept = await gateway.keep(card())
    async with stack.hop("gateway") as hop:
        body = b'{"items":[{"token":"%s","about":"att_eu_1"}]}' % kept.token.encode()
        answer = await hop.call("POST", path, body)

    assert answer.status in (403, 404, 405)
    assert b"4242" not in answer.body
