"""PostgreSQL, Redis and NATS: no way in but TLS with a certificate, and for each caller its own part."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from compose.derive import stores
from compose.launcher.databases import find_server_programs
from compose.mesh import Mesh, read_mesh
from tests.unit.compose.deployment import MESH_FILE, Deployment

PASSWORDS = {"gateway": b"a password", "pki": b"another password"}


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return read_mesh(MESH_FILE)


def settings(text: str) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in text.splitlines())


def test_postgres_has_no_socket_but_the_tls_one(deployment: Deployment) -> None:
    found = settings(stores.postgres_conf(deployment.places))

    assert "''" == found["unix_socket_directories"]
    assert "'127.0.0.1'" == found["listen_addresses"]
    assert ("on", "'TLSv1.3'") == (found["ssl"], found["ssl_min_protocol_version"])
    assert f"'{deployment.places.identity('postgres')}/key.pem'" == found["ssl_key_file"]
    assert f"'{deployment.places.identity('postgres')}/crl.pem'" == found["ssl_crl_file"]
    assert ("on", "on", "on") == (found["fsync"], found["synchronous_commit"], found["full_page_writes"])
    assert ("'none'", "'panic'") == (found["log_statement"], found["log_min_error_statement"])


def test_the_real_postgres_understands_every_setting(deployment: Deployment) -> None:
    # PostgreSQL refuses to run as root, and pytest's folders are closed to every other account.
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"] if not os.geteuid() else []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "postgresql.conf")

        def read(text: str) -> subprocess.CompletedProcess[str]:
            file.write_text(text)
            program = str(find_server_programs() / "postgres")
            # -C reads and checks the whole file before it prints one value, and starts nothing.
            command = [*become, program, f"--config-file={file}", "-D", folder, "-C", "port"]
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")

        text = stores.postgres_conf(deployment.places)
        done, refused = read(text), read(text + "no_such_setting = on\n")

    assert (0, str(deployment.places.addresses["postgres.tls"].port)) == (
        done.returncode,
        done.stdout.strip(),
    ), done.stderr
    assert 0 != refused.returncode


def test_each_role_has_one_line_and_everything_else_is_rejected(mesh: Mesh) -> None:
    lines = [line.split() for line in stores.pg_hba(mesh, "127.0.0.1/32").splitlines()]
    admitting = [line for line in lines if line[-1] != "reject"]
    callers = {hop.caller for hop in mesh.callers_of("postgres", "postgres")}
    roles = sorted(callers - set(mesh.persons_of("operator")))
    with_map = [["map=operator"] if role == "operator" else [] for role in roles]

    assert [
        ["hostssl", "countermark", role, "127.0.0.1/32", "cert", *named]
        for role, named in zip(roles, with_map, strict=True)
    ] == sorted(admitting)
    assert [
        ["hostnossl", "all", "all", "all", "reject"],
        ["hostssl", "all", "all", "all", "reject"],
        ["local", "all", "all", "reject"],
    ] == lines[len(admitting) :]


def test_a_person_has_the_role_that_the_mesh_says_and_no_other(mesh: Mesh) -> None:
    lines = [line.split() for line in stores.pg_ident(mesh).splitlines()]

    assert [
        ["operator", "operator", "operator"],
        ["operator", "operator-alice", "operator"],
        ["operator", "operator-bruno", "operator"],
    ] == lines


def test_roles_own_nothing_and_only_the_migrator_may_create(mesh: Mesh) -> None:
    statements = stores.role_statements(mesh)
    made = [s for s in statements if "create role" in s]

    assert len(mesh.roles()) + len(["merchant_reader"]) == len(made)
    assert [] == [s for s in made if "nosuperuser nocreatedb nocreaterole" not in s]
    assert ["grant create on database countermark to migrator"] == [s for s in statements if "create on" in s]
    assert f"revoke all on database {stores.DATABASE} from public" in statements


def test_only_those_who_look_at_connections_are_members_of_anything_and_inherit_it(mesh: Mesh) -> None:
    statements = stores.role_statements(mesh)
    made = {s.partition("create role ")[2].split()[0]: s for s in statements if "create role" in s}
    inheriting = [role for role, statement in made.items() if " inherit;" in statement]

    assert ["migrator", "pki"] == inheriting
    assert set(made) - set(inheriting) == {role for role, text in made.items() if " noinherit" in text}
    assert [
        "grant pg_read_all_stats, merchant_reader to migrator",
        "grant pg_read_all_stats, pg_signal_backend to pki",
    ] == [s for s in statements if "pg_" in s[:20]]


def test_redis_has_no_plaintext_port_and_no_default_user(mesh: Mesh, deployment: Deployment) -> None:
    lines = stores.redis_conf(deployment.places).splitlines()
    users = stores.redis_users(mesh, PASSWORDS).splitlines()

    assert "port 0" in lines
    assert 'tls-protocols "TLSv1.3"' in lines
    assert "tls-auth-clients yes" in lines
    assert "enable-debug-command no" in lines
    assert users[0].startswith("user default off ")
    assert [] == [word for word in users[0].split() if word.startswith(("+", "~", ">", "on"))]


@pytest.mark.parametrize(("caller", "keys"), [("gateway", {"~gateway:*"}), ("pki", set())])
def test_a_redis_user_has_its_keys_and_commands_and_a_hashed_password(
    mesh: Mesh, caller: str, keys: set[str]
) -> None:
    (hop,) = [hop for hop in mesh.callers_of("redis", "redis") if hop.caller == caller]
    text = stores.redis_users(mesh, PASSWORDS)
    (words,) = [line.split(" ") for line in text.splitlines() if line.split(" ")[1] == caller]

    assert ["user", caller, "on", f"#{sha256(PASSWORDS[caller]).hexdigest()}"] == words[:4]
    assert keys == {word for word in words if word.startswith("~")}
    assert "-@all" in words
    assert words.index("-@all") < min(words.index(w) for w in words if w.startswith("+"))
    assert set(hop.commands) <= {word[1:] for word in words if word.startswith("+")}
    assert set() == {"+@all", "allcommands", "allkeys", "nopass", ""} & set(words)
    assert "a password" not in text


def test_nats_maps_identities_from_certificates_after_the_handshake(
    mesh: Mesh, deployment: Deployment
) -> None:
    text = stores.nats_conf(mesh, deployment.places)
    users = re.findall(r'user: "([^"]+)"', text)

    assert "verify_and_map: true" in text
    assert "handshake_first: true" in text
    assert 'min_version: "1.3"' in text
    assert "sync_interval: always" in text
    assert [mesh.spiffe(name) for name in ("payments", "notifications", "reporting")] == users
    assert None is re.search(r"\b(http|https|monitor_port|http_port|leafnodes|cluster|websocket)\b", text)


def test_a_nats_user_publishes_and_subscribes_as_declared(mesh: Mesh, deployment: Deployment) -> None:
    text = stores.nats_conf(mesh, deployment.places)
    for hop in mesh.callers_of("nats", "nats"):
        (line,) = [row for row in text.splitlines() if f'"{mesh.spiffe(hop.caller)}"' in row]
        allowed = re.findall(r"allow: (\[[^\]]*\])", line)

        assert [list(hop.publish), list(hop.subscribe)] == [
            re.findall(r'"([^"]+)"', each) for each in allowed
        ]
        assert [] == [subject for subject in (*hop.publish, *hop.subscribe) if subject in (">", "*")]


def test_the_real_nats_server_accepts_the_file(deployment: Deployment) -> None:
    program = Path(sysconfig.get_paths()["scripts"]) / "nats-server"
    done = subprocess.run(
        [program, "-t", "-c", deployment.layout.run / "nats" / "nats.conf"],
        capture_output=True, text=True, check=False, env={"PATH": os.defpath},
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
