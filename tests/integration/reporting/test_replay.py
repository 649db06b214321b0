"""A subscriber whose store lost something reads it again from the bus, beside the running service."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import nats.errors
import pytest

from compose.derive.process_config import to_toml
from services.node.config_file import ListenConfig
from services.node.errors import ReplayStuck
from services.node.replay import Replayed, replay
from services.node.subscriber import Subscription
from services.reporting.app import DURABLE, STREAM, subscription
from services.reporting.config import ReportingConfig
from services.reporting.facts import Fact, parse_message
from tests.integration.reporting.stack import Stack, fact

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
LOSE = "delete from reporting.tally; delete from reporting.counted"


async def lose_all(stack: Stack) -> None:
    connection = await stack.postgres.connect("migrator", stack.database)
    await connection.execute(LOSE)
    await connection.close()


async def read_again(stack: Stack, since: datetime) -> Replayed:
    async with stack.pool() as pool:
        return await replay(stack.node("reporting"), stack.bus.reach(), subscription(pool), since)


async def test_what_was_lost_is_counted_again_and_the_service_goes_on(stack: Stack) -> None:
    async with stack.running():
        for row in range(1, 41):
            await stack.publish(fact(row))
        await stack.until(lambda total: total == 40)
        await lose_all(stack)

        done = await read_again(stack, LONG_AGO)

        assert (40, 40, 0, True, 0) == (done.messages, done.items, done.refused, done.is_beginning, done.left)
        assert 40 == await stack.total()
        await stack.publish(fact(41))
        await stack.until(lambda total: total == 41)


async def test_what_is_known_stays_as_it_is(stack: Stack) -> None:
    async with stack.running():
        await stack.publish(fact(1), fact(2))
        await stack.until(lambda total: total == 2)

        done = await read_again(stack, LONG_AGO)

        assert (1, 2, 2) == (done.messages, done.items, await stack.total())


async def test_it_begins_at_the_time_that_was_asked_for(stack: Stack) -> None:
    await stack.publish(fact(1))
    between = datetime.now(UTC)
    await stack.publish(fact(2), fact(3))

    done = await read_again(stack, between)
    nothing = await read_again(stack, datetime.now(UTC))

    assert (1, 2, False) == (done.messages, await stack.total(), done.is_beginning)
    assert done.oldest is not None
    assert between <= done.oldest
    assert (0, None) == (nothing.messages, nothing.oldest)


async def test_a_malformed_message_is_refused_and_the_rest_read(stack: Stack) -> None:
    await stack.publish(fact(1))
    await stack.publish_raw(b"{")
    await stack.publish(fact(2))

    done = await read_again(stack, LONG_AGO)

    assert (3, 1, 2) == (done.messages, done.refused, await stack.total())


async def test_without_a_stream_it_says_so(stack: Stack) -> None:
    with pytest.raises(nats.errors.Error):
        await read_again(stack, LONG_AGO)


async def test_what_takes_too_long_together_is_taken_in_halves(stack: Stack) -> None:
    taken: list[int] = []

    async def take(facts: Sequence[Fact]) -> None:
        if len(facts) > 1:
            raise asyncpg.QueryCanceledError
        taken.extend(fact.place[1] for fact in facts)

    for row in (1, 2, 3):
        await stack.publish(fact(row))
    reading = Subscription(STREAM, DURABLE, parse_message, take)
    done = await replay(stack.node("reporting"), stack.bus.reach(), reading, LONG_AGO)

    assert ([1, 2, 3], 3) == (taken, done.items)


async def test_a_store_that_takes_nothing_ends_it(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def take(_: Sequence[Fact]) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("services.node.replay.FAILURES_MAX", 2)  # Sixty take half a minute.
    await stack.publish(fact(1))
    reading = Subscription(STREAM, DURABLE, parse_message, take)

    with pytest.raises(ReplayStuck):
        await replay(stack.node("reporting"), stack.bus.reach(), reading, LONG_AGO)


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.reporting.replay", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_tells_people_and_programs(stack: Stack, tmp_path: Path) -> None:
    await stack.publish(fact(1), fact(2))
    file = config_file(stack, tmp_path)

    status, out, err = await run("--config", file, "--since", "2026-01-01T00:00:00Z")
    assert (0, "1 messages read, 0 to go") == (status, err.splitlines()[-1])
    assert "1 messages with 2 items were read again, 0 refused" in out
    assert "which was the first of all" in out

    status, out, err = await run("--config", file, "--since", "2026-01-01T00:00:00Z", "--json")
    assert (0, "") == (status, err)
    assert {"messages": 1, "items": 2, "refused": 0, "is_beginning": True}.items() <= json.loads(out).items()

    later = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat()
    status, out, _ = await run("--config", file, "--since", later)
    assert (0, f"the bus holds nothing since {later}\n") == (status, out)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--since", "2026-01-01T00:00:00Z"), 2),
        (("--config", "FILE"), 2),
        (("--config", "FILE", "--since", "yesterday"), 2),
        (("--config", "FILE", "--since", "2026-01-01T00:00:00"), 2),
        (("--config", "/nowhere", "--since", "2026-01-01T00:00:00Z"), 3),
    ],
)
async def test_wrong_usage_is_told_and_reads_nothing(
    stack: Stack, tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    file = config_file(stack, tmp_path)

    ended, out, err = await run(*(file if word == "FILE" else word for word in arguments))

    assert (status, "") == (ended, out)
    assert "Traceback" not in err


def config_file(stack: Stack, folder: Path) -> str:
    """The service's configuration, as the launcher writes it."""
    node = msgspec.structs.asdict(stack.node("reporting"))
    config = ReportingConfig(
        **node,
        listen=ListenConfig("127.0.0.1", 1, []),
        postgres=stack.postgres.reach("reporting", stack.database),
        nats=stack.bus.reach(),
    )
    file = folder / "reporting.toml"
    file.write_text(to_toml(msgspec.to_builtins(config)))
    return str(file)
