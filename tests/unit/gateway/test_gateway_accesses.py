from __future__ import annotations

import asyncio
import ipaddress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import accesses as pen
from gateway.access.accesses import ROWS_PER_BATCH_MAX, AccessLog, Batch
from gateway.audit.access import Access, access_digest, source_of
from gateway.errors import CellUnavailable

WRITER = "acc_eu_01jd0000000000000000000000"
AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ACCESSES = st.builds(
    Access,
    request_id=st.sampled_from(["req_a", "req_b"]), merchant_id=st.sampled_from(["mer_a", "mer_b"]),
    key_id=st.sampled_from(["k", "l"]), method=st.sampled_from(["GET", "POST"]),
    route=st.sampled_from(["/v1/payments", "unmatched"]), status=st.sampled_from([200, 422]),
    at=st.just(AT), source=st.sampled_from(["", "192.0.2.1"]),
)  # fmt: skip


def access(number: int) -> Access:
    return Access(f"req_{number}", "mer_a", "k", "GET", "/v1/payments", 200, AT, "")


class Record:
    """What was written, and how the next writes end."""

    def __init__(self) -> None:
        self.written: dict[str, Batch] = {}
        self.faults: list[Exception] = []
        self.committed_though_unknown = False

    async def write(self, batch: Batch) -> None:
        if self.faults:
            if self.committed_though_unknown:
                self.written.setdefault(batch.name, batch)
            raise self.faults.pop(0)
        self.written.setdefault(batch.name, batch)

    @property
    def rows(self) -> list[Access]:
        return [row for batch in self.written.values() for row in batch.rows]


@given(ACCESSES, ACCESSES)
def test_digests_are_equal_only_of_equal_rows(one: Access, two: Access) -> None:
    assert (one == two) == (access_digest(one) == access_digest(two))


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["2001:DB8::0:1"], "2001:db8::1"),
        (["203.0.113.9,127.0.0.1"], ""),
        (["198.51.100.1", "203.0.113.9"], ""),
        (["fe80::1%eth0"], ""),
        (["somebody"], ""),
        ([""], ""),
        ([], ""),
    ],
)
def test_the_source_is_what_the_edge_saw(fields: list[str], source: str) -> None:
    assert source == source_of(fields)


@given(st.lists(st.text(alphabet="0123456789abcdef.:,% \n", max_size=60), max_size=3))
def test_a_source_is_one_address_in_its_one_spelling_or_nothing(fields: list[str]) -> None:
    source = source_of(fields)

    assert source in ("", str(ipaddress.ip_address(source or "::")))


async def test_rows_are_written_once_each_in_order_and_batches_are_numbered() -> None:
    record, dropped = Record(), list[int]()
    log = AccessLog(record.write, WRITER, dropped.append)
    noted = [access(number) for number in range(2 * ROWS_PER_BATCH_MAX + 1)]
    for each in noted:
        log.note(each)

    await log.close()

    assert noted == record.rows
    assert [f"{WRITER}-{number}" for number in (1, 2, 3)] == list(record.written)
    assert ([], 0) == (dropped, log.waiting)


@pytest.mark.parametrize("committed", [True, False])
async def test_a_batch_whose_commit_nobody_knows_of_is_sent_again_under_its_name(
    monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    monkeypatch.setattr(pen, "AWAY_S", 0.0)
    record = Record()
    record.faults, record.committed_though_unknown = [CellUnavailable("away")] * 3, committed
    log = AccessLog(record.write, WRITER, lambda _: None)
    log.note(access(1))

    await log.close()

    assert ([access(1)], [f"{WRITER}-1"]) == (record.rows, list(record.written))


async def test_what_cannot_be_kept_is_counted_and_told_by_the_next_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pen, "ROWS_WAITING_MAX", 2)
    record, dropped = Record(), list[int]()
    log = AccessLog(record.write, WRITER, dropped.append)
    for number in range(5):
        log.note(access(number))

    await log.close()

    assert [access(0), access(1)] == record.rows
    assert [3] == [batch.dropped for batch in record.written.values()]
    assert 3 == sum(dropped)


async def test_answers_to_nobody_proven_are_counted_and_make_no_haste(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pen, "LINGER_S", 0.0)
    record = Record()
    log = AccessLog(record.write, WRITER, lambda _: None)
    running = asyncio.create_task(log.run())
    for _ in range(10_000):
        log.count_unproven()
    for _ in range(100):
        await asyncio.sleep(0)
    assert {} == record.written

    log.note(access(1))
    async with asyncio.timeout(10):
        while not record.written:  # noqa: ASYNC110 - the record tells nobody
            await asyncio.sleep(0)
    running.cancel()
    await log.close()

    assert [(10_000, [access(1)])] == [(batch.unproven, batch.rows) for batch in record.written.values()]


async def test_counts_alone_are_written_once_in_their_time_and_with_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pen, "COUNTS_EVERY_S", 0.01)
    record = Record()
    log = AccessLog(record.write, WRITER, lambda _: None)
    log.count_unproven()
    running = asyncio.create_task(log.run())
    async with asyncio.timeout(10):
        while not record.written:  # noqa: ASYNC110 - the record tells nobody
            await asyncio.sleep(0)
    running.cancel()
    log.count_unproven()

    await log.close()

    assert [(1, []), (1, [])] == [(batch.unproven, batch.rows) for batch in record.written.values()]


async def test_a_batch_that_the_record_refuses_is_counted_and_stands_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pen, "AWAY_S", 0.0)
    record, dropped = Record(), list[int]()
    record.faults = [ValueError("no row of ours")]
    log = AccessLog(record.write, WRITER, dropped.append)
    log.note(access(1))

    await log.close()

    assert ([], [1], 1) == (record.rows, [batch.dropped for batch in record.written.values()], sum(dropped))
    assert [f"{WRITER}-1"] == list(record.written)


async def test_a_stop_without_a_record_ends_in_time_and_counts_what_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pen, "CLOSE_S_MAX", 0.05)
    never, dropped = asyncio.Event(), list[int]()

    async def write(_: Batch) -> None:
        await never.wait()

    log = AccessLog(write, WRITER, dropped.append)
    log.note(access(1))
    log.note(access(2))

    await log.close()

    assert [2] == dropped
