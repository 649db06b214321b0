"""Commands of compliance: sign, verify and show rules, and decide a payment again from the journal.

Results go to standard output, talk to standard error. A private key is read from a file that nobody else may
read; it is in no argument and no environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import click
import msgspec
from rich.console import Console
from rich.table import Table

from services.fraud.config import FraudConfig
from services.fraud.errors import FraudError, KeysRefused, RulesMalformed
from services.fraud.messages import Identifier
from services.fraud.replaying import Journalled, Replay, replay
from services.fraud.rule_file import SignedRules, parse_pinned_keys, sign_rules
from services.fraud.rules import RULES_BYTES_MAX, ListRule, Rule, VelocityRule, parse_rules
from services.fraud.rules_in_force import read_rules
from services.fraud.store import Store
from services.node.config_file import load_config
from services.node.errors import ConfigError
from services.node.postgres import DATABASE_AWAY, open_pool
from signing import KeyRefused, SigningKey

EXIT_REFUSED, EXIT_CONFIGURATION, EXIT_AWAY = 1, 3, 4
_EPILOG = "Exit codes: 0 done, 1 refused, 2 wrong usage."
_EPILOG_REPLAY = (
    "Exit codes: 0 the same verdict, 1 another verdict or no such decision, 2 wrong usage, "
    "3 configuration, 4 no database."
)
_PATH = click.Path(path_type=Path, dir_okay=False)
_trust = click.option(
    "--trust", "trust_file", required=True, type=_PATH, help="PEM public keys that may sign."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group(epilog="Without a command, `--config FILE` runs the service.")
def fraud() -> None:
    """Rules of the fraud service, and what was decided by them."""


@fraud.group("rules", epilog=_EPILOG)
def rules_group() -> None:
    """Sign, verify and show a rule pack."""


@rules_group.command("sign", epilog=_EPILOG)
@click.argument("file", type=_PATH)
@click.option("--key", "key_file", required=True, type=_PATH, help="Ed25519 private key, PEM, mode 0600.")
@click.option("--out", "out_file", required=True, type=_PATH, help="Where the signed rules are renamed to.")
@_json
def sign(file: Path, key_file: Path, out_file: Path, *, as_json: bool) -> None:
    """Check a rule pack and sign it; one that would be refused later is not signed."""
    try:
        key = _read_key(key_file)
        document = sign_rules(_read(file), key)
        pack = parse_rules(document)
    except FraudError as refusal:
        _refuse(refusal)
    _write(out_file, document)
    _say(as_json, {"file": str(out_file), "name": pack.name, "version": pack.version, "signer": key.key_id},
         f"{out_file}: {pack.name} version {pack.version}, signed by {key.key_id}")  # fmt: skip


@rules_group.command("verify", epilog=_EPILOG)
@click.argument("file", type=_PATH)
@_trust
@_json
def verify(file: Path, trust_file: Path, *, as_json: bool) -> None:
    """Verify the signature by a pinned key, as the service does before it reads anything."""
    signed = _open(file, trust_file)
    facts = {"label": signed.label, "jurisdiction": signed.pack.jurisdiction, "signer": signed.signer}
    _say(as_json, facts, f"{signed.label}, for {signed.pack.jurisdiction}, signed by {signed.signer}")


@rules_group.command("show", epilog=_EPILOG)
@click.argument("file", type=_PATH)
@_trust
@_json
def show(file: Path, trust_file: Path, *, as_json: bool) -> None:
    """Show the rules of a signed pack in the order in which they are looked at."""
    signed = _open(file, trust_file)
    if as_json:
        click.echo(json.dumps({"label": signed.label, "pack": msgspec.to_builtins(signed.pack)}))
        return
    table = Table("action", "rule", "about", "matches", title=signed.label)
    for action in ("allow", "reject", "review"):
        for rule in signed.pack.rules:
            if rule.action == action:
                table.add_row(action, rule.name, rule.payment or "any payment", _matches(rule))
    Console().print(table)


@fraud.command("replay", epilog=_EPILOG_REPLAY)
@click.argument("payment")
@click.option("--config", "config_file", required=True, type=_PATH, help="TOML of the service `fraud`.")
@_json
def replay_command(payment: str, config_file: Path, *, as_json: bool) -> None:
    """Decide about a payment again, from the inputs and the rules that were kept, and compare."""
    try:
        msgspec.convert(payment, Identifier)
    except msgspec.ValidationError:
        raise click.BadParameter("not the id of a payment", param_hint="PAYMENT") from None
    try:
        config = load_config(config_file, FraudConfig)
        trusted = parse_pinned_keys(Path(config.rules_trust_file).read_bytes())
    except (ConfigError, KeysRefused, OSError) as fault:
        _end(str(fault), EXIT_CONFIGURATION)
    try:
        found = asyncio.run(_journal_of(config, payment))
    except DATABASE_AWAY:
        _end("the database is out of reach: is the stack running?", EXIT_AWAY)
    except asyncpg.PostgresError as fault:
        _end(f"refused by the database: {type(fault).__name__}", EXIT_REFUSED)
    if found is None:
        _end(f"{payment} has never been decided about", EXIT_REFUSED)
    try:
        again = replay(found, trusted)
    except FraudError as refusal:
        _refuse(refusal)
    _tell(payment, found, again, as_json=as_json)
    if not again.holds:
        sys.exit(EXIT_REFUSED)


async def _journal_of(config: FraudConfig, payment: str) -> Journalled | None:
    async with open_pool(config, config.postgres, connections_max=1) as pool:
        return await Store(pool).journal_of(payment)


def _tell(payment: str, found: Journalled, again: Replay, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "payment_id": payment,
        "decided_at": found.decided_at.isoformat(),
        "rules": again.label,
        "inputs_digest": found.inputs_digest.hex(),
        "stored": {"verdict": found.verdict, "reasons": found.reasons},
        "replayed": {"verdict": again.evaluation.verdict, "reasons": list(again.evaluation.reasons)},
        "velocity": again.velocity,
        "same": again.holds,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"payment    {payment}, decided at {facts['decided_at']}")
    click.echo(f"rules      {again.label}")
    click.echo(f"inputs     {found.inputs_digest.hex()}")
    for name, number in sorted(again.velocity.items()):
        click.echo(f"           {name} = {number}")
    click.echo(f"stored     {found.verdict} {', '.join(found.reasons)}")
    click.echo(f"replayed   {again.evaluation.verdict} {', '.join(again.evaluation.reasons)}")
    click.echo("the same" if again.holds else "NOT the same: the journal, or this program, was changed")


def _matches(rule: Rule) -> str:
    if isinstance(rule, ListRule):
        return f"{len(rule.values)} listed of {rule.subject}s"
    limits = ", ".join(f"{currency} {minor}" for currency, minor in (rule.over_minor or {}).items())
    if isinstance(rule, VelocityRule):
        what = f"more than {rule.over_count}" if rule.over_count is not None else f"sum over {limits}"
        return f"{what} by one {rule.subject} in {rule.window_s} s"
    return f"over {limits}"


def _open(file: Path, trust_file: Path) -> SignedRules:
    try:
        return read_rules(file, parse_pinned_keys(_read(trust_file)))
    except FraudError as refusal:
        _refuse(refusal)


def _read_key(file: Path) -> SigningKey:
    try:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeysRefused(f"{file} is open to others: run 'chmod 0600 {file}', and think about a new key")
        return SigningKey.from_pem(file.read_bytes())
    except (OSError, KeyRefused) as fault:
        raise KeysRefused(f"{file} cannot be used as a key: {fault}") from fault


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(RULES_BYTES_MAX + 1)
    except OSError as fault:
        raise RulesMalformed(f"{file} cannot be read: {fault.strerror}") from fault


def _write(file: Path, document: bytes) -> None:
    """Aside first, then renamed over: a service that looks sees the old file or the new one."""
    aside = file.with_name(file.name + ".new")
    try:
        with aside.open("wb") as opened:
            opened.write(document)
            opened.flush()
            os.fsync(opened.fileno())
        if file.exists():
            aside.chmod(stat.S_IMODE(file.stat().st_mode))
        aside.rename(file)
    except OSError as fault:
        _end(f"{file} cannot be written: {fault.strerror}", EXIT_REFUSED)


def _say(as_json: bool, facts: dict[str, Any], sentence: str) -> None:
    click.echo(json.dumps(facts) if as_json else sentence)


def _refuse(refusal: FraudError) -> NoReturn:
    _end(f"{refusal} ({refusal.code})", EXIT_REFUSED)


def _end(sentence: str, code: int) -> NoReturn:
    click.echo(f"services.fraud: {sentence}", err=True)
    sys.exit(code)
