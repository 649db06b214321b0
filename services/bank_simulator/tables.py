"""The bank's books as tables: one SQLite file, which tests and auditors open from outside.

`movement` is the ledger: every movement that was really made, in its order, never changed. What the bank says
about it, in answers, callbacks and settlement lines, may differ on purpose; the ledger never does.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_SCHEMA = """
pragma journal_mode = wal;
create table if not exists attempt (
    attempt_id text primary key, end_to_end_id text not null, operation text not null,
    amount_minor integer not null, currency text not null, instrument text not null,
    original_reference text, uetr text not null,
    outcome text not null check (outcome in ('confirmed', 'declined', 'pending')),
    decline_code text, bank_reference text not null unique,
    -- What it says it did, where that is not what it did.
    denied integer not null default 0, bounced integer not null default 0,
    -- Questions find it from then on, seconds of the epoch.
    visible_at real not null default 0) strict;
create index if not exists attempt_original on attempt (original_reference)
    where original_reference is not null;
-- How often an attempt came and was not taken.
create table if not exists not_taken (attempt_id text primary key, times integer not null) strict;
create table if not exists movement (
    number integer primary key autoincrement, attempt_id text not null, end_to_end_id text not null,
    operation text not null, amount_minor integer not null, currency text not null, instrument text not null,
    bank_reference text not null, made_at text not null, unique (attempt_id, operation)) strict;
create index if not exists movement_instrument on movement (instrument);
create index if not exists movement_end_to_end on movement (end_to_end_id);
create trigger if not exists movement_stays before update on movement
    begin select raise(abort, 'a movement is never changed'); end;
create trigger if not exists movement_remains before delete on movement
    begin select raise(abort, 'a movement is never removed'); end;
create table if not exists settlement_line (
    line integer primary key autoincrement, attempt_id text not null, end_to_end_id text not null,
    operation text not null, amount_minor integer not null, fee_minor integer not null,
    currency text not null, bank_reference text not null, value_date text not null) strict;
-- What the bank will do, and tell, later.
create table if not exists later (
    number integer primary key autoincrement, attempt_id text not null, due real not null, word text not null,
    copies integer not null, amount_off_minor integer not null) strict;
create index if not exists later_due on later (due);
-- What it has to tell, again and again until it is taken.
create table if not exists callback (
    number integer primary key autoincrement, event_id text not null, body blob not null, due real not null,
    tries integer not null default 0, taken integer not null default 0) strict;
create index if not exists callback_due on callback (due) where taken = 0;
create table if not exists script (only integer primary key check (only = 1), body blob not null) strict;
"""


def open_tables(path: Path) -> sqlite3.Connection:
    """Open for writing; made if they are missing, durable with each commit.

    Books of an earlier form are put aside: they are a simulation's, and nobody has to read them again.
    """
    if path.exists() and not _is_current(path):
        path.rename(path.with_suffix(".earlier"))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.executescript(_SCHEMA)
    # FULL: in WAL mode anything less may forget the last commits when the power goes.
    connection.execute("pragma synchronous = full")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open tables that exist, for reading what is committed."""
    return sqlite3.connect(path, isolation_level=None)


def _is_current(path: Path) -> bool:
    with closing(sqlite3.connect(path, isolation_level=None)) as books:
        columns = [row[0] for row in books.execute("select name from pragma_table_info('attempt')")]
    return not columns or "uetr" in columns
