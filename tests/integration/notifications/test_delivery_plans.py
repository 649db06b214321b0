"""How statements find deliveries when they are planned while there are none, as on the first day.

Such a plan stays for the life of a connection: one that goes through all deliveries of an endpoint costs more
with each that was ever made.
"""

from __future__ import annotations

import re

import pytest

from services.node.postgres import BY_INDEX
from services.notifications import intake, store
from tests.integration.notifications.stack import Stack

# Each with the types of its parameters.
STATEMENTS = {
    "claim": (store.CLAIM, ("int", "int", "text[]", "int[]", "float8")),
    "record": (
        store.RECORD,
        ("text[]", "bigint[]", "text[]", "int[]", "text[]", "float8[]", "boolean[]", "int[]"),
    ),
    "insert": (
        intake.INSERT,
        ("text[]", "text[]", "int[]", "text[]", "bytea[]", "timestamptz[]", "text[]", "int", "int", "text[]",
         "int[]", "text[]", "float8"),
    ),
}  # fmt: skip
FOUND_BY = re.compile(r"(Seq Scan|using (\w+)) on delivery\b")


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_goes_through_what_is_done(stack: Stack, name: str) -> None:
    text, types = STATEMENTS[name]
    connection = await stack.postgres.connect("notifications", stack.database)
    try:
        for setting, value in {**BY_INDEX, "plan_cache_mode": "force_generic_plan"}.items():
            await connection.execute(f"set {setting} = {value}")
        await connection.execute(f"prepare planned({', '.join(types)}) as {text}")
        plan = await connection.fetch(f"explain execute planned({', '.join(['null'] * len(types))})")
    finally:
        await connection.close()

    found = {
        match[1].removeprefix("using ") for match in FOUND_BY.finditer("\n".join(row[0] for row in plan))
    }
    # One delivery by its id, or those that are due.
    assert found <= {"delivery_id", "delivery_due"}
    assert found or name == "insert"
