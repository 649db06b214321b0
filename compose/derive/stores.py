"""PostgreSQL, Redis and NATS configuration (pure): TLS 1.3 only, a certificate from every client.

A role exists because mesh.toml says so, and is bound to the certificate of that name. PostgreSQL has no
socket but the TLS one; its superuser can be reached by nobody over it.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Final

from compose.derive.places import Places
from compose.mesh import ROUTES, Hop, Mesh

DATABASE = "countermark"
CONNECTIONS_MAX = 100  # Pools of all workers together stay below 60; each backend costs about 5 MB.
# 400,000 remembered reads of 300 s each, which is 1,300 signed reads a second.
REDIS_BYTES_MAX = 128 * 1024 * 1024
BUS = "nats"  # The one service of its kind.
BUS_COPIES_MAX = 3  # Of each message: two nodes may then be lost one after the other, one at a time at once.
BUS_FILE_BYTES_MAX = 1024**3  # The outbox is the truth; the stream keeps what subscribers still need.

# What every Redis client says when it connects; none of it reads or writes a key.
_REDIS_ALWAYS = ("hello", "auth", "client|setname", "ping")


def postgres_conf(places: Places) -> str:
    """postgresql.conf: durable, TLS 1.3, no unix socket."""
    address, current = places.addresses["postgres.tls"], places.identity("postgres")
    settings = {
        "listen_addresses": _quoted(address.bind),
        "port": str(address.port),
        "unix_socket_directories": "''",
        "max_connections": str(CONNECTIONS_MAX),
        "shared_buffers": "'64MB'",
        "ssl": "on",
        "ssl_min_protocol_version": "'TLSv1.3'",
        "ssl_cert_file": _quoted(str(current / "cert.pem")),
        "ssl_key_file": _quoted(str(current / "key.pem")),
        "ssl_ca_file": _quoted(str(current / "trust.pem")),
        "ssl_crl_file": _quoted(str(current / "crl.pem")),
        "hba_file": _quoted(str(places.run / "postgres" / "pg_hba.conf")),
        "ident_file": _quoted(str(places.run / "postgres" / "pg_ident.conf")),
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "wal_level": "replica",
        "jit": "off",  # Compiling costs more than these short statements take.
        "timezone": "'UTC'",
        "log_destination": "'stderr'",
        "log_line_prefix": "'%m %u@%d '",
        "log_statement": "'none'",  # Statements carry instruments and bodies.
        "log_min_error_statement": "'panic'",  # An error's statement would, too.
        "log_parameter_max_length_on_error": "0",
        "log_error_verbosity": "terse",  # DETAIL would show the failing row, instrument included.
        "autovacuum_vacuum_scale_factor": "0.02",  # The payment table is a queue; bloat slows each claim.
        "idle_in_transaction_session_timeout": "'5s'",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def pg_hba(mesh: Mesh, network: str) -> str:
    """pg_hba.conf: one line per declared role, all else refused.

    Args:
        network: Where clients come from, e.g. `127.0.0.1/32`.
    """
    lines = [f"hostssl {DATABASE} {role} {network} cert{_map(mesh, role)}" for role in _postgres_roles(mesh)]
    lines += ["hostnossl all all all reject", "hostssl all all all reject", "local all all reject"]
    return "\n".join(lines) + "\n"


def pg_ident(mesh: Mesh) -> str:
    """pg_ident.conf: the persons who act as a role, each by the common name of the own certificate."""
    lines = []
    for role in _postgres_roles(mesh):
        persons = mesh.persons_of(role)
        if persons:
            lines += [f"{role} {name} {role}" for name in (role, *persons)]
    return "".join(f"{line}\n" for line in lines)


def _map(mesh: Mesh, role: str) -> str:
    return f" map={role}" if mesh.persons_of(role) else ""


# What PostgreSQL lets every role do in every database, and none of ours needs: to hold a lock by its number,
# which are the fraud service's pen, a signing key's hold and the migrator's own, and to keep large objects,
# which nobody would find or remove. Our functions take such locks as their owner.
NARROW_PUBLIC: Final = (
    "do $$ declare f regprocedure; begin "
    "for f in select oid from pg_proc where pronamespace = 'pg_catalog'::regnamespace "
    "and proname ~ '^(pg_(try_)?advisory_(xact_)?lock|lo_|loread|lowrite)' "
    "loop execute format('revoke execute on function %s from public', f); end loop; "
    "for f in select oid from pg_proc where pronamespace = 'pg_catalog'::regnamespace "
    "and proname ~ '^pg_(try_)?advisory_(xact_)?lock' "
    "loop execute format('grant execute on function %s to migrator', f); end loop; end $$"
)


def role_statements(mesh: Mesh) -> list[str]:
    """SQL, one statement a line, that makes roles and database what mesh.toml says; safe to run again."""
    roles = _postgres_roles(mesh)
    granted = {
        hop.caller: hop.memberships for hop in mesh.callers_of("postgres", "postgres") if hop.memberships
    }
    # The functions that memberships are for ask what a role inherits; who is a member of nothing inherits
    # nothing.
    made = [
        f"do $$ begin if not exists (select from pg_roles where rolname = '{role}') "
        f"then create role {role} login nosuperuser nocreatedb nocreaterole "
        f"{'inherit' if role in granted else 'noinherit'}; end if; end $$"
        for role in roles
    ]
    # A group of ours is nobody's login; what it owns and may read is for the schemas to say.
    groups = sorted({name for names in granted.values() for name in names if not name.startswith("pg_")})
    made += [
        f"do $$ begin if not exists (select from pg_roles where rolname = '{group}') "
        f"then create role {group} nologin nosuperuser nocreatedb nocreaterole noinherit nobypassrls; "
        f"end if; end $$"
        for group in groups
    ]
    return [
        *made,
        # A cluster of before may have the role without.
        *(f"alter role {role} inherit" for role in granted),
        *(f"grant {', '.join(memberships)} to {role}" for role, memberships in granted.items()),
        # A role may give itself settings that outlast whoever took it over.
        *(f"alter role {role} reset all" for role in roles),
        NARROW_PUBLIC,
        f"revoke all on database {DATABASE} from public",
        f"grant connect on database {DATABASE} to {', '.join(roles)}",
        f"grant create on database {DATABASE} to migrator",
    ]


def _postgres_roles(mesh: Mesh) -> list[str]:
    callers = {hop.caller for hop in mesh.callers_of("postgres", "postgres")}
    return [role for role in mesh.roles() if role in callers]


def redis_conf(places: Places) -> str:
    """redis.conf: no plaintext port, a certificate and a user from every client, nothing on disk."""
    address, current = places.addresses["redis.tls"], places.identity("redis")
    lines = [
        "port 0",
        f"bind {address.bind}",
        f"tls-port {address.port}",
        f'tls-cert-file "{current / "cert.pem"}"',
        f'tls-key-file "{current / "key.pem"}"',
        f'tls-ca-cert-file "{current / "trust.pem"}"',
        "tls-auth-clients yes",
        'tls-protocols "TLSv1.3"',
        "tls-session-caching no",
        f'aclfile "{places.run / "redis" / "users.acl"}"',
        f'dir "{places.state / "redis"}"',
        'save ""',
        "appendonly no",
        f"maxmemory {REDIS_BYTES_MAX}",
        # A nonce that is evicted is a replay that goes unnoticed; a write that is refused is counted.
        "maxmemory-policy noeviction",
        "daemonize no",
        "enable-debug-command no",
        "enable-module-command no",
        "always-show-logo no",
    ]
    return "\n".join(lines) + "\n"


def redis_users(mesh: Mesh, passwords: dict[str, bytes]) -> str:
    """users.acl: the default user off, one user per declared hop with its keys and commands.

    Args:
        passwords: Password per caller; only their SHA-256 is written.
    """
    lines = ["user default off sanitize-payload resetchannels -@all"]
    for hop in mesh.callers_of("redis", "redis"):
        keys = [f"~{pattern}" for pattern in hop.keys]
        commands = [f"+{command}" for command in dict.fromkeys((*_REDIS_ALWAYS, *hop.commands))]
        digest = sha256(passwords[hop.caller]).hexdigest()
        lines.append(" ".join([f"user {hop.caller} on #{digest} resetchannels", *keys, "-@all", *commands]))
    return "\n".join(lines) + "\n"


def nats_conf(mesh: Mesh, places: Places, node: str = BUS) -> str:
    """nats.conf: the handshake first, identities mapped from certificates, subjects per identity.

    Args:
        node: The process; of a cluster, each has a store and a configuration of its own.
    """
    address, current = places.addresses[f"{node}.tls"], places.identity(BUS)
    lines = ",\n".join(_nats_user(mesh, hop) for hop in mesh.callers_of(BUS, "nats"))
    store = places.state / BUS if node == BUS else places.state / BUS / node
    return f"""server_name: {node}
host: {json.dumps(address.bind)}
port: {address.port}
jetstream {{
  store_dir: {json.dumps(str(store))}
  sync_interval: always
  max_mem: 0
  max_file: {BUS_FILE_BYTES_MAX}
}}
tls {{
{_nats_tls(current)}
  handshake_first: true
}}
authorization {{ users = [
{lines}
] }}
{_nats_cluster(mesh, places, node)}"""


def _nats_tls(current: Path) -> str:
    return f"""  cert_file: {json.dumps(str(current / "cert.pem"))}
  key_file: {json.dumps(str(current / "key.pem"))}
  ca_file: {json.dumps(str(current / "trust.pem"))}
  min_version: "1.3"
  verify_and_map: true
  timeout: 5"""


def _nats_cluster(mesh: Mesh, places: Places, node: str) -> str:
    """The routes between the nodes; empty for one that is alone.

    Whoever dials is admitted as a route only by the bus's own SPIFFE id: with `verify_and_map`, the user of
    `authorization` is that of the certificate. Whoever is dialled must have the bus's DNS name. Where routes
    are addresses, NATS takes that name from the first route that has one: the last entry is for this alone.
    It has no port and so is never dialled, nor its name ever looked up (NATS logs that once an hour).
    """
    nodes = mesh.services[BUS].node_names
    if len(nodes) == 1:
        return ""
    own, name = places.addresses[f"{node}.{ROUTES}"], mesh.dns(BUS)
    others = [places.addresses[f"{other}.{ROUTES}"] for other in nodes if other != node]
    routes = [*dict.fromkeys(f"tls://{other.host}:{other.port}" for other in others), f"tls://{name}"]
    return f"""cluster {{
  name: {BUS}
  host: {json.dumps(own.bind)}
  port: {own.port}
  no_advertise: true
  routes: {json.dumps(routes)}
  authorization {{ user: {json.dumps(mesh.spiffe(BUS))}, timeout: 5 }}
  tls {{
{_nats_tls(places.identity(BUS))}
  }}
}}
"""


def _nats_user(mesh: Mesh, hop: Hop) -> str:
    publish, subscribe = json.dumps(list(hop.publish)), json.dumps(list(hop.subscribe))
    return (
        f"  {{ user: {json.dumps(mesh.spiffe(hop.caller))}, permissions: {{ "
        f"publish: {{ allow: {publish} }}, subscribe: {{ allow: {subscribe} }} }} }}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
