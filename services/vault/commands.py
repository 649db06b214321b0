"""Commands of whoever holds the keys: versions of the cell key, wrapping anew, forgetting a merchant.

Results go to standard output, talk to standard error. A key is in no argument, no environment and no output.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from services.node.config_file import load_config
from services.node.errors import ConfigError
from services.node.postgres import DATABASE_AWAY, open_pool
from services.vault.cell_keys import FileCellKeys, parse_keys, with_new_key, without_key
from services.vault.config import VaultConfig
from services.vault.errors import VaultError
from services.vault.key_ring import KeyRing
from services.vault.messages import Identifier
from services.vault.rewrapping import Rewrapped, require_unused, rewrap
from services.vault.store import Store

EXIT_REFUSED, EXIT_CONFIGURATION, EXIT_AWAY = 1, 3, 4
_EPILOG = "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 configuration, 4 no database."
_PATH = click.Path(path_type=Path, dir_okay=False)
_config = click.option(
    "--config", "config_file", required=True, type=_PATH, help="TOML of the service `vault`."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group(epilog="Without a command, `--config FILE` runs the service.")
def vault() -> None:
    """Keys of the vault, and what they protect."""


@vault.group("keys", epilog=_EPILOG)
def keys_group() -> None:
    """Versions of the cell key, in the file that the configuration names."""


@keys_group.command("show", epilog=_EPILOG)
@_config
@_json
def show(config_file: Path, *, as_json: bool) -> None:
    """Show which versions there are; the newest wraps."""
    versions = sorted(_refusing(lambda: parse_keys(_key_file(config_file).read_bytes())))
    listed = ", ".join(map(str, versions))
    _say(as_json, {"versions": versions, "wraps": versions[-1]}, f"cell keys {listed}; {versions[-1]} wraps")


@keys_group.command("add", epilog=_EPILOG)
@_config
@_json
def add(config_file: Path, *, as_json: bool) -> None:
    """Add a version; a running service wraps by it at once. Needs the right to write the file."""
    file = _key_file(config_file)
    content = _refusing(lambda: with_new_key(file.read_bytes()))
    _replace(file, content)
    newest = max(parse_keys(content))
    _say(as_json, {"wraps": newest}, f"cell key {newest} wraps from now on; `rewrap` moves what is older")


@keys_group.command("retire", epilog=_EPILOG)
@click.argument("version", type=int)
@_config
@_json
def retire(version: int, config_file: Path, *, as_json: bool) -> None:
    """Destroy a version that wraps nothing: copies of the database from before open no more."""
    file = _key_file(config_file)
    content = _refusing(lambda: without_key(file.read_bytes(), version))

    async def check(store: Store, _: VaultConfig) -> None:
        await require_unused(store, version)

    _with_store(config_file, check)
    _replace(file, content)
    _say(as_json, {"retired": version}, f"cell key {version} is gone, and with it what only it could open")


@vault.command("rewrap", epilog=_EPILOG)
@_config
@_json
def rewrap_command(config_file: Path, *, as_json: bool) -> None:
    """Wrap every key anew under the newest version, beside the running service."""

    async def work(store: Store, config: VaultConfig) -> Rewrapped:
        cell_keys = FileCellKeys(Path(config.cell_key_file))
        return await rewrap(store, cell_keys, KeyRing(store, cell_keys), lambda _: None)

    done = _with_store(config_file, work)
    facts = {"merchants": done.merchants, "instruments": done.instruments}
    _say(as_json, facts, f"{done.merchants} merchants, {done.instruments} instruments wrapped anew")


@vault.command("shred-merchant", epilog=_EPILOG)
@click.argument("merchant_id")
@_config
@_json
def shred_merchant(merchant_id: str, config_file: Path, *, as_json: bool) -> None:
    """Destroy every instrument of a merchant, and the merchant's own keys, for ever."""
    try:
        msgspec.convert(merchant_id, Identifier)
    except msgspec.ValidationError:
        raise click.UsageError("this is no merchant id") from None

    async def work(store: Store, _: VaultConfig) -> int:
        return await store.shred(merchant_id, None)

    gone = _with_store(config_file, work)
    _say(as_json, {"merchant_id": merchant_id, "shredded": gone}, f"{gone} instruments are destroyed")


def _key_file(config_file: Path) -> Path:
    return Path(_load(config_file).cell_key_file)


def _load(config_file: Path) -> VaultConfig:
    try:
        return load_config(config_file, VaultConfig)
    except ConfigError as fault:
        _end(str(fault), EXIT_CONFIGURATION)


def _with_store(config_file: Path, work: Callable[[Store, VaultConfig], Awaitable[Any]]) -> Any:  # noqa: ANN401
    config = _load(config_file)

    async def run() -> Any:  # noqa: ANN401 - whatever the work returns
        async with open_pool(config, config.postgres, connections_max=1) as pool:
            return await work(Store(pool), config)

    try:
        return _refusing(lambda: asyncio.run(run()))
    except DATABASE_AWAY as fault:
        _end(f"the database is away ({type(fault).__name__}): try again", EXIT_AWAY)


def _refusing(work: Callable[[], Any]) -> Any:  # noqa: ANN401
    try:
        return work()
    except VaultError as refusal:
        _end(str(refusal), EXIT_REFUSED)
    except PermissionError:
        _end("the file of cell keys cannot be read or written: run it as who started the stack", EXIT_REFUSED)


def _replace(file: Path, content: bytes) -> None:
    """Write aside with the owner and mode of the old one, then rename over it."""
    before, aside = file.stat(), file.with_name(file.name + ".new")
    try:
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            if os.geteuid() == 0:
                os.fchown(opened.fileno(), before.st_uid, before.st_gid)
            os.fchmod(opened.fileno(), before.st_mode & 0o777)
            opened.flush()
            os.fsync(opened.fileno())
        aside.rename(file)
    except PermissionError:
        _end("the file of cell keys cannot be written: run it as who started the stack", EXIT_REFUSED)


def _say(as_json: bool, facts: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(facts) if as_json else text)


def _end(message: str, code: int) -> NoReturn:
    click.echo(f"vault: {message}", err=True)
    raise SystemExit(code)
