"""One TOML file per process, read once into a frozen structure.

Every field carries its meaning; an unknown key, a missing file or a secret that others can read stops the
process before it opens a socket. Secrets appear as paths only. No environment variable is read.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from services.node.errors import ConfigError

CONFIG_BYTES_MAX = 256 * 1024  # A configuration is a page of text; anything larger is a mistake.


class ListenConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process's own listener.

    Attributes:
        host: Loopback address to bind; the own sidecar is the only expected caller.
        port: TCP port, chosen by the launcher from the kernel's free ones.
        admit: SPIFFE ids admitted inside the handshake; nobody else reaches a handler.
    """

    host: str
    port: int
    admit: list[str]


class PostgresConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the record is; `user` is bound to the certificate, `expect` is the server's SPIFFE id."""

    host: str
    port: int
    database: str
    user: str
    expect: str


class RedisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the cache is. Redis 7 cannot bind a certificate to a user, hence the password file."""

    host: str
    port: int
    username: str
    password_file: str
    expect: str


class NatsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the bus is; the certificate decides the user and so the subjects.

    Attributes:
        host: Of the bus, or of one node of its cluster.
        port: TCP port there.
        expect: SPIFFE id that each node must prove.
        others: `host:port` of the other nodes; no node is dialled that is not listed here.
        replicas: Nodes that keep a copy of each message, which most of them must have before it is published.
    """

    host: str
    port: int
    expect: str
    others: list[str] = []
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1

    @property
    def addresses(self) -> list[str]:
        """Every node, as a URL."""
        return [f"tls://{address}" for address in (f"{self.host}:{self.port}", *self.others)]


class EgressConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way out: the own sidecar's listener for one callee, or an outside party directly.

    Attributes:
        url: `https://HOST:PORT`, no path.
        expect: SPIFFE id of whoever terminates TLS there.
    """

    url: str
    expect: str


class TracesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where spans of payments go: an OpenTelemetry collector that is a workload like all others.

    Attributes:
        url: `https://HOST:PORT`, no path.
        expect: SPIFFE id that the collector must prove.
        share: of all payments, those whose spans are told; 0 to 1, the same ones in every process.
    """

    url: str
    expect: str
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields that every process's configuration begins with.

    Attributes:
        name: Workload name, equal to the certificate's CN.
        cell: The cell that ids carry, e.g. `eu`.
        trust_domain: SPIFFE trust domain of this mesh.
        identity: Path of `live/<name>/current`, the link to the generation in force.
        state_dir: The only directory that this process may write.
        connection_age_s_max: Oldest age of any connection in seconds; a rotation is complete after it.
        log_level: `debug`, `info`, `warning` or `error`.
        traces: Where spans go; None, and nobody makes any.
    """

    name: str
    cell: str
    trust_domain: str
    identity: str
    state_dir: str
    connection_age_s_max: float
    log_level: str = "info"
    traces: TracesConfig | None = None


ConfigT = TypeVar("ConfigT", bound=NodeConfig)


def load_config(path: Path, kind: type[ConfigT]) -> ConfigT:
    """Read and check one process's configuration.

    Raises:
        ConfigError: The file cannot be read, is not TOML of this shape, or names files that are missing.
    """
    try:
        raw = path.read_bytes()
    except OSError as fault:
        raise ConfigError(f"cannot read the configuration {path}: {fault.strerror}") from fault
    if len(raw) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {CONFIG_BYTES_MAX} bytes; is it the right file?")
    try:
        config = msgspec.toml.decode(raw, type=kind, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path}: {fault}") from fault
    faults = [*_identity_faults(config), *_secret_faults(config)]
    if faults:
        raise ConfigError(f"{path}: " + "; ".join(faults))
    return config


def _identity_faults(config: NodeConfig) -> list[str]:
    generation = Path(config.identity)
    missing = [n for n in ("cert.pem", "key.pem", "trust.pem") if not (generation / n).is_file()]
    if missing:
        return [f"identity {generation} lacks {', '.join(missing)}; run 'python -m pki issue {config.name}'"]
    return []


def _secret_faults(config: NodeConfig) -> list[str]:
    """Each field named `*_key_file` or `password_file` must be a file that strangers cannot read."""
    faults: list[str] = []
    pending: list[tuple[str, object]] = list(msgspec.structs.asdict(config).items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, msgspec.Struct):
            pending.extend(msgspec.structs.asdict(value).items())
        elif name.endswith(("_key_file", "password_file")) and isinstance(value, str):
            faults.extend(_secret_file_faults(name, Path(value)))
    return faults


def _secret_file_faults(name: str, path: Path) -> list[str]:
    try:
        mode = path.stat().st_mode
    except OSError as fault:
        return [f"{name} {path}: {fault.strerror}"]
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        return [f"{name} {path} is open to others; run 'chmod 0600 {path}'"]
    return []
