"""How statements find deliveries when they are planned while there are none, as on the first day.

Such a plan stays for the life of a connection: one that goes through all deliveries of an endpoint costs more
with each that was ever made.
"""

from __future__ import annotations

import json
import re
from typing import Any

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


async def test_a_claim_looks_at_as_much_however_much_waits(stack: Stack) -> None:
    for endpoint in range(ENDPOINTS):
        await stack.add_endpoint(f"one_{endpoint}", "https://receiver.example/")
    text, types = STATEMENTS["claim"]
    looked_at = []
    connection = await stack.postgres.connect("notifications", stack.database)
    try:
        for setting, value in {**BY_INDEX, "plan_cache_mode": "force_generic_plan"}.items():
            await connection.execute(f"set {setting} = {value}")
        await connection.execute(f"prepare claim({', '.join(types)}) as {text}")
        for round_number, each in enumerate((5, 300)):
            await connection.execute(ADD_WAITING, round_number, ENDPOINTS, each)
            await connection.execute("begin")
            (plan,) = json.loads(await connection.fetchval(EXPLAIN_CLAIM))
            await connection.execute("rollback")
            looked_at.append(rows_looked_at(plan["Plan"]))
    finally:
        await connection.close()

    few, many = looked_at
    assert ENDPOINTS < few
    assert many < 1.5 * few, looked_at


ENDPOINTS = 20
ADD_WAITING = """
insert into notifications.delivery (endpoint_id, payment_id, sequence, event_id, body)
select 'one_' || e, 'pay_' || p, $1 + 1, 'evt', '{}'
from generate_series(0, $2 - 1) e, generate_series(1, $3) p
"""
EXPLAIN_CLAIM = "explain (analyze, timing off, format json) execute claim(16, 4, '{one_1}', '{1}', 25)"


def rows_looked_at(node: dict[str, Any]) -> float:
    """Rows of deliveries that the node and all below it took up, those that it left out again included."""
    own = 0.0
    if node["Node Type"].endswith("Scan") and "delivery" in node.get(
        "Index Name", node.get("Relation Name", "")
    ):
        removed = sum(rows for name, rows in node.items() if name.startswith("Rows Removed"))
        own = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return own + sum(rows_looked_at(child) for child in node.get("Plans", []))
