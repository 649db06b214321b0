"""Faults planted into the very things that are looked at: the client's log, a bank's ledger, our own ledger.

They go the whole way of an observation, so a checker that reads the wrong file or table is found, too.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from compose.launcher.stack import Stack
from tests.faults.client_log import ClientLog, Promise, read_client_log
from tests.faults.doors import open_record
from tests.faults.observed import Observation
from tests.faults.observing import Watcher, bank_books


async def doctored_runs(stack: Stack, watcher: Watcher, log: ClientLog) -> list[tuple[str, str, Observation]]:
    """Plant and look; name, invariant, and what was seen then."""
    with tempfile.TemporaryDirectory(prefix="countermark-doctored-") as name:
        folder = Path(name)
        books = _with_a_second_movement(bank_books(stack), folder)
        twice = await watcher.observe([], books=books)
        invented = await watcher.observe(_with_an_invented_line(log, folder))
    return [
        ("a-line-added-to-the-client-log", "I4", invented),
        ("a-line-added-to-a-bank-ledger", "I3", twice),
        ("a-cent-added-to-a-balance", "I1", await _with_a_cent_more(stack, watcher)),
    ]


def _with_an_invented_line(log: ClientLog, folder: Path) -> list[Promise]:
    copy = folder / "client.jsonl"
    shutil.copyfile(log.path, copy)
    genuine = read_client_log(copy)[-1]
    doctored = ClientLog(copy)
    doctored.write(replace(genuine, payment_id="pay_eu_" + "0" * 26, idempotency_key="invented-by-a-test"))
    doctored.close()
    return read_client_log(copy)[-2:]


def _with_a_second_movement(books: dict[str, Path], folder: Path) -> dict[str, Path]:
    """Copy the ledgers and book one movement of the first bank at the second one, too."""
    copies = {bank: folder / f"{bank}.sqlite" for bank in books}
    for bank, path in books.items():
        genuine = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        with closing(genuine), closing(sqlite3.connect(copies[bank])) as copy:
            genuine.backup(copy)
    first, second = list(copies.values())[:2]
    with closing(sqlite3.connect(second)) as ledger:
        ledger.execute("attach database ? as other", (str(first),))
        columns = [row[1] for row in ledger.execute("pragma table_info(movement)") if row[1] != "number"]
        names = ", ".join(columns)
        ledger.execute(f"insert into movement ({names}) select {names} from other.movement limit 1")
        ledger.commit()
    return copies


async def _with_a_cent_more(stack: Stack, watcher: Watcher) -> Observation:
    """Look from inside a transaction that is rolled back."""
    async with open_record(stack) as record:
        transaction = record.transaction()
        await transaction.start()
        try:
            await record.execute("update payments.account set posted_minor = posted_minor + 1")
            doctored = await watcher.observe([], record=record)
        finally:
            await transaction.rollback()
    return doctored
