"""Make the PostgreSQL cluster, its roles and its schemas.

Roles are made while the server is down, in single-user mode: so no account, password or socket for an
administrator ever has to exist on the running server.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import asyncpg

from compose.derive.places import Places
from compose.derive.stores import DATABASE, role_statements
from compose.launcher.accounts import Account, command_as
from compose.launcher.errors import StartError
from compose.mesh import Mesh
from pki.tls import client_context
from services.node.errors import MigrationError
from services.node.migrations import migrate

MAJOR_VERSION_MIN = 15
SERVER_FOLDERS = Path("/usr/lib/postgresql")
_ROLES_STAMP = "postgres.roles"


def find_server_programs() -> Path:
    """The folder of `initdb` and `postgres`, newest version first.

    Raises:
        StartError: No PostgreSQL of a version that will do.
    """
    versions = [int(f.name) for f in SERVER_FOLDERS.glob("[0-9]*") if f.name.isdigit()]
    for version in sorted(versions, reverse=True):
        programs = SERVER_FOLDERS / str(version) / "bin"
        if version >= MAJOR_VERSION_MIN and (programs / "postgres").exists():
            return programs
    raise StartError(
        f"PostgreSQL {MAJOR_VERSION_MIN} or newer is missing: run 'apt-get install postgresql-15' as root"
    )


def prepare_cluster(mesh: Mesh, state: Path, account: Account) -> None:
    """Make the cluster if there is none, and the declared roles if they changed.

    Raises:
        StartError: initdb or the server refused; the message carries their last line.
    """
    programs, data = find_server_programs(), state / "data"
    # Beside the server's own folder, not in it: root must not write where a link could wait for it.
    stamp = state.with_name(_ROLES_STAMP)
    if not data.exists():
        stamp.unlink(missing_ok=True)
        _make_cluster(account, programs, state / "data.new")
        (state / "data.new").rename(data)
    statements = role_statements(mesh)
    wanted = hashlib.sha256("\n".join(statements).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _single_user(
            account, programs, data, DATABASE, [*statements, "revoke all on schema public from public"]
        )
        stamp.write_text(wanted, encoding="utf-8")


def _make_cluster(account: Account, programs: Path, fresh: Path) -> None:
    """Make a cluster aside: killed half-way it is not taken for one, and the next start begins again."""
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["--username=postgres", "--auth=reject", "--encoding=UTF8", "--locale=C.UTF-8"]
    options += ["--data-checksums", "--no-instructions"]
    _run(account, [str(programs / "initdb"), "-D", str(fresh), *options])
    _single_user(account, programs, fresh, "template1", [f"create database {DATABASE}"])


def _single_user(account: Account, programs: Path, data: Path, database: str, statements: list[str]) -> None:
    command = [str(programs / "postgres"), "--single", "-D", str(data), "-c", "exit_on_error=on", database]
    output = _run(account, command, "".join(f"{statement}\n" for statement in statements))
    if "ERROR:" in output or "FATAL:" in output:
        raise StartError(f"PostgreSQL refused to make the roles: {_last_line(output)}")


def _run(account: Account, argv: list[str], text: str = "") -> str:
    done = subprocess.run(
        command_as(account, argv, parent_death_signal="TERM"),
        input=text, text=True, capture_output=True, check=False, cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode:
        name = Path(argv[0]).name
        raise StartError(f"{name} failed: {_last_line(done.stderr + done.stdout)}")
    return done.stdout + done.stderr


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def schema_folders(source: Path) -> list[tuple[str, Path]]:
    """Owner and folder of every schema, in the order in which they depend on each other.

    Args:
        source: The folder that holds `gateway/` and `services/`.
    """
    # Everyone writes evidence, payments ask the registry about keys, what banks tell goes to payments, and
    # the vault checks commands of the gateway.
    return [
        ("evidence", source / "services" / "evidence" / "schema"),
        ("gateway", source / "gateway" / "schema"),
        ("payments", source / "services" / "payments" / "schema"),
        ("banks", source / "services" / "banks" / "schema"),
        ("notifications", source / "services" / "notifications" / "schema"),
        ("reporting", source / "services" / "reporting" / "schema"),
        ("fraud", source / "services" / "fraud" / "schema"),
        ("vault", source / "services" / "vault" / "schema"),
    ]


async def migrate_schemas(mesh: Mesh, places: Places, source: Path) -> list[str]:
    """Wait for the server, run the migrations that have not run yet and return their names.

    Args:
        source: The folder that holds `gateway/` and `services/`.

    Raises:
        StartError: A migration failed or was altered.
        TimeoutError: From the caller's own deadline, when the server never answers.
    """
    connection = await _connect(mesh, places)
    try:
        return await migrate(connection, schema_folders(source))
    except MigrationError as fault:
        raise StartError(f"the database cannot be brought up to date: {fault}") from fault
    finally:
        await connection.close()


async def _connect(mesh: Mesh, places: Places) -> asyncpg.Connection:
    address = places.addresses["postgres.tls"]
    while True:
        context = client_context(places.identity("migrator"), expect=frozenset({mesh.spiffe("postgres")}))
        try:
            return await asyncpg.connect(
                host=address.host,
                port=address.port,
                user="migrator",
                database=DATABASE,
                ssl=context,
                timeout=2,
            )
        except (OSError, asyncpg.CannotConnectNowError, TimeoutError):
            await asyncio.sleep(
                0.05
            )  # The condition is the connection itself; this only spares the processor.
