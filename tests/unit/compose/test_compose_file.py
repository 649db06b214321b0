"""compose.yaml is what mesh.toml says, is a valid Compose file, and opens nothing that it should not."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from compose.derive.__main__ import main
from compose.derive.compose_file import DATA, compose_text
from compose.derive.container_places import container_uids
from compose.images.prepare import prepare_containers
from compose.launcher.release import checkout_root
from compose.mesh import Mesh, Service, read_mesh
from compose.mesh_faults import MERCHANT
from tests.unit.compose.deployment import MESH_FILE, this_account

COMMITTED = checkout_root() / "compose" / "compose.yaml"


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return read_mesh(MESH_FILE)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def services(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = document["services"]
    return entries


def sources(entry: dict[str, Any]) -> list[str]:
    return [volume["source"] for volume in entry.get("volumes", [])]


def namespace_of(services: dict[str, dict[str, Any]], name: str) -> str:
    """The container whose network a container really has."""
    mode = services[name].get("network_mode", "")
    return mode.removeprefix("service:") if mode.startswith("service:") else name


def test_the_committed_file_is_the_derived_one(mesh: Mesh) -> None:
    assert compose_text(mesh) == COMMITTED.read_text(encoding="utf-8")


def test_check_tells_equal_from_different(tmp_path: Path) -> None:
    altered = tmp_path / "compose.yaml"
    altered.write_text(
        COMMITTED.read_text(encoding="utf-8").replace("read_only: true", "read_only: false", 1)
    )

    assert 0 == CliRunner().invoke(main, ["compose-file", "--check"]).exit_code
    refused = CliRunner().invoke(main, ["compose-file", "--check", "--file", str(altered)])
    assert 1 == refused.exit_code
    assert "read_only: false" in refused.output
    assert 1 == CliRunner().invoke(main, ["compose-file", "--check", "--file", "/nowhere"]).exit_code


def test_a_mesh_that_is_none_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "mesh.toml"
    broken.write_text("colour = 'red'\n")
    result = CliRunner().invoke(main, ["--mesh", str(broken), "table"])

    assert 3 == result.exit_code
    assert "unknown key colour" in result.output


def test_the_file_follows_the_compose_specification(tmp_path: Path) -> None:
    def validate(file: Path) -> int:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
        return subprocess.run([*command, file], capture_output=True, check=False).returncode

    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(COMMITTED.read_text(encoding="utf-8").replace("    read_only:", "    readonly:", 1))

    assert 0 == validate(COMMITTED)
    assert 1 == validate(wrong)


def test_whatever_is_referred_to_is_declared(document: dict[str, Any], services: dict[str, Any]) -> None:
    for name, entry in services.items():
        assert set() == set(entry.get("depends_on", {})) - set(services), name
        assert set() == set(entry.get("networks", {})) - set(document["networks"]), name
        assert set() == {s["source"] for s in entry.get("secrets", [])} - set(document["secrets"]), name
        assert {"bind"} >= {volume["type"] for volume in entry.get("volumes", [])}, name
        mode = entry.get("network_mode", "")
        assert mode in ("", "none") or mode.removeprefix("service:") in services, name
        assert ("network_mode" in entry) != ("networks" in entry), name
    used = {secret["source"] for entry in services.values() for secret in entry.get("secrets", [])}

    assert set(document["secrets"]) == used
    assert set(document["networks"]) == {n for entry in services.values() for n in entry.get("networks", {})}


def test_whoever_is_waited_for_can_be_told_healthy_or_done(services: dict[str, Any]) -> None:
    waited = [
        (other, condition["condition"])
        for entry in services.values()
        for other, condition in entry.get("depends_on", {}).items()
    ]

    assert {"postgres", "redis", "nats"} == {name for name, kind in waited if kind == "service_healthy"}
    assert [] == [
        name for name, kind in waited if kind == "service_healthy" and "healthcheck" not in services[name]
    ]
    completed = {name for name, kind in waited if kind == "service_completed_successfully"}
    assert {"migrator"} == completed
    assert "no" == services["migrator"]["restart"]


def test_only_the_edge_publishes_and_only_on_loopback(services: dict[str, Any]) -> None:
    published = {name: entry["ports"] for name, entry in services.items() if "ports" in entry}

    assert {"edge": ["127.0.0.1:8443:8443"]} == published
    assert [] == [name for name, entry in services.items() if entry.get("network_mode") == "host"]


def test_every_workload_with_a_process_is_there(mesh: Mesh, services: dict[str, Any]) -> None:
    wanted = {service.name for service in mesh.services.values() if service.kind != "role"}
    wanted |= {service.sidecar_name for service in mesh.services.values() if service.sidecar}

    assert set() == wanted - set(services)


def test_each_container_is_stripped_of_everything(services: dict[str, Any]) -> None:
    for name, entry in services.items():
        assert entry["read_only"], name
        assert ["ALL"] == entry["cap_drop"], name
        assert ["no-new-privileges:true"] == entry["security_opt"], name
        assert "privileged" not in entry, name
        assert "environment" not in entry, name
        assert ("cap_add" in entry) == (name == "prepare"), name
        assert ("0:0" == entry["user"]) == (name == "prepare"), name


def test_no_two_workloads_share_an_account(mesh: Mesh, services: dict[str, Any]) -> None:
    users = [services[name]["user"] for name in mesh.workloads() if name in services]

    assert len(users) == len(set(users))


def test_an_account_stays_the_same_when_the_mesh_grows(mesh: Mesh) -> None:
    grown = replace(mesh, services={"fraud": Service("fraud", "python", "scores"), **mesh.services})
    uids = container_uids(grown)

    assert container_uids(mesh) == {name: uids[name] for name in mesh.workloads()}
    assert len(uids) == len(set(uids.values()))
    assert all(20_000 <= uid < 60_000 for uid in uids.values())


def test_each_container_mounts_its_own_key_and_no_other(mesh: Mesh, services: dict[str, Any]) -> None:
    for name, entry in services.items():
        if name == "prepare":
            continue
        own = {f"{DATA}/certs/live/{name}", f"{DATA}/run/{name}", f"{DATA}/state/{name}"}
        secrets = {secret["target"].split("/")[3] for secret in entry.get("secrets", [])}

        assert set() == set(sources(entry)) - own, name
        assert set() == secrets - {name}, name
        assert (f"{DATA}/certs/live/{name}" in sources(entry)) == (name in mesh.workloads()), name
        writable = [volume["source"] for volume in entry.get("volumes", []) if not volume["read_only"]]
        assert set() == set(writable) - {f"{DATA}/state/{name}"}, name
    assert [] == [name for name in services if name != "prepare" and DATA in sources(services[name])]


def test_two_containers_share_a_network_exactly_where_a_hop_is_declared(
    mesh: Mesh, services: dict[str, Any]
) -> None:
    joined: dict[str, set[str]] = {}
    for service in mesh.services.values():
        if service.name in services:
            for network in services[namespace_of(services, service.name)].get("networks", {}):
                joined.setdefault(network, set()).add(service.name)
    shared = {frozenset(ends) for ends in joined.values() if len(ends) > 1}
    declared = {
        frozenset((hop.caller, hop.callee))
        for hop in mesh.hops
        if MERCHANT not in (hop.caller, hop.callee) and hop.caller in services
    }

    assert declared == shared
    assert 2 == max(len(ends) for ends in joined.values())


def test_networks_are_closed_unless_a_merchant_is_at_one_end(document: dict[str, Any]) -> None:
    outward = {name for name, options in document["networks"].items() if not options["internal"]}

    assert {"merchant-edge", "notifications-merchant"} == outward


def test_an_app_shares_its_network_with_its_own_sidecar_only(mesh: Mesh, services: dict[str, Any]) -> None:
    for service in mesh.services.values():
        if service.sidecar:
            holder = namespace_of(services, service.name)
            sharing = {name for name in services if namespace_of(services, name) == holder}

            assert {holder, service.name, service.sidecar_name} == sharing
            assert [] == sources(services[holder])


def test_what_is_mounted_is_what_prepare_makes(mesh: Mesh, document: dict[str, Any], tmp_path: Path) -> None:
    prepare_containers(mesh, tmp_path, this_account(mesh), cluster=False)
    wanted = [path for name, e in document["services"].items() if name != "prepare" for path in sources(e)]
    wanted += [secret["file"] for secret in document["secrets"].values()]
    missing = [path for path in wanted if not (tmp_path / path.removeprefix(f"{DATA}/")).exists()]
    commands = [word for e in document["services"].values() for word in e.get("command", [])]
    configured = [word.partition("=")[2] or word for word in commands if "/countermark/run/" in word]

    assert [] == missing
    assert len(configured) > 10
    assert [] == [p for p in configured if not (tmp_path / p.removeprefix("/countermark/")).is_file()]
    assert "samenet cert" in (tmp_path / "run" / "postgres" / "pg_hba.conf").read_text()
    assert "127.0.0.1/32" not in (tmp_path / "run" / "postgres" / "pg_hba.conf").read_text()


def test_the_table_has_a_row_for_each_declared_hop(mesh: Mesh) -> None:
    result = CliRunner().invoke(main, ["table"])
    # A bar inside a cell is written with a backslash before it.
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in result.output.splitlines()
    ]

    assert 0 == result.exit_code
    assert set() == {(hop.caller, hop.callee) for hop in mesh.hops} - {(row[0], row[1]) for row in rows}
    assert {7} == {len(row) for row in rows}
    identities = {(row[0], row[1]): (row[3], row[4]) for row in rows}
    domain = "spiffe://countermark.internal"
    assert (f"`{domain}/payments-sidecar`", f"`{domain}/banks-sidecar`") == identities["payments", "banks"]
    assert (f"`{domain}/payments`", f"`{domain}/payments-sidecar`") == identities[
        "payments", "payments-sidecar"
    ]
    assert (f"`{domain}/banks`", f"`{domain}/bank-alpha`") == identities["banks", "bank-alpha"]
