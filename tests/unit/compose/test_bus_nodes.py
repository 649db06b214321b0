"""`nodes = 3` on the bus, and everything that follows from it without another word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compose.derive.compose_file import compose_document
from compose.derive.configuration import configuration_files
from compose.derive.container_places import places_in_containers
from compose.derive.deployment import deployment_text
from compose.derive.hop_table import hop_table
from compose.derive.places import Address, Places
from compose.derive.policy_file import policy_text
from compose.launcher.accounts import Account
from compose.launcher.process_spec import plan_processes
from compose.launcher.release import Release
from compose.mesh import Mesh, MeshError, parse_mesh, read_mesh
from pki.consumers.deployment import parse_deployment
from pki.errors import DeploymentError
from tests.unit.compose.deployment import MESH_FILE, Deployment

PASSWORDS = {"gateway": b"a password", "pki": b"another password"}
CLIENTS = ("payments", "notifications", "reporting")
NODES = ("nats-1", "nats-2", "nats-3")


def document_with(**nats: Any) -> dict[str, Any]:
    document = tomllib.loads(MESH_FILE.read_text())
    document["service"]["nats"] |= nats
    return document


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return replace(parse_mesh(document_with(nodes=3)), bank_terms=read_mesh(MESH_FILE).bank_terms)


@pytest.fixture(scope="module")
def places(mesh: Mesh, deployment: Deployment) -> Places:
    """As the launcher would place them, each listener with a port of its own."""
    ports = {name: 21000 + number for number, name in enumerate(mesh.listener_names())}
    addresses = {name: Address("127.0.0.1", "127.0.0.1", port) for name, port in ports.items()}
    return replace(deployment.places, addresses=addresses)


@pytest.fixture(scope="module")
def files(mesh: Mesh, places: Places) -> dict[str, dict[str, str]]:
    return configuration_files(mesh, places, PASSWORDS, "127.0.0.1/32")


def test_the_declared_mesh_has_one_node_and_says_nothing_of_a_cluster(deployment: Deployment) -> None:
    assert ["nats.tls"] == [name for name in deployment.mesh.listener_names() if name.startswith("nats")]
    assert {"nats.conf"} == set(deployment.files["nats"])
    assert "cluster" not in deployment.files["nats"]["nats.conf"]
    nats = tomllib.loads(deployment.files["payments"]["config.toml"])["nats"]
    assert {"host", "port", "expect"} == set(nats)


def test_each_node_has_its_own_name_store_and_listeners(
    mesh: Mesh, places: Places, files: dict[str, dict[str, str]]
) -> None:
    assert {f"{node}.conf" for node in NODES} == set(files["nats"])
    for node in NODES:
        text = files["nats"][f"{node}.conf"]
        ports = [int(port) for port in re.findall(r"^ *port: (\d+)", text, re.MULTILINE)]
        others = [places.addresses[f"{other}.routes"].port for other in NODES if other != node]
        (routes,) = re.findall(r"routes: (\[.*\])", text)

        assert f"server_name: {node}\n" in text
        assert f'store_dir: "{places.state}/nats/{node}"' in text
        assert [places.addresses[f"{node}.{listener}"].port for listener in ("tls", "routes")] == ports
        assert [*(f"tls://127.0.0.1:{port}" for port in others), f"tls://{mesh.dns('nats')}"] == json.loads(
            routes
        )


def test_routes_are_as_fenced_as_clients_are(mesh: Mesh, files: dict[str, dict[str, str]]) -> None:
    for text in files["nats"].values():
        clients, _, cluster = text.partition("\ncluster {")

        assert f'authorization {{ user: "{mesh.spiffe("nats")}", timeout: 5 }}' in cluster
        assert "no_advertise: true" in cluster
        for part in (clients, cluster):
            assert "verify_and_map: true" in part
            assert 'min_version: "1.3"' in part
            assert "insecure" not in part
        assert mesh.spiffe("nats") not in clients  # A node is nobody where clients connect.


def test_the_real_nats_server_accepts_the_files(files: dict[str, dict[str, str]], tmp_path: Path) -> None:
    program = Path(sysconfig.get_paths()["scripts"]) / "nats-server"
    for name, text in files["nats"].items():
        (tmp_path / name).write_text(text)
        done = subprocess.run(
            [program, "-t", "-c", tmp_path / name],
            capture_output=True, text=True, check=False, env={"PATH": os.defpath},
        )  # fmt: skip

        assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_are_given_every_node(
    mesh: Mesh, places: Places, files: dict[str, dict[str, str]], client: str
) -> None:
    nats = tomllib.loads(files[client]["config.toml"])["nats"]
    ports = [places.addresses[f"{node}.tls"].port for node in NODES]

    assert [f"127.0.0.1:{port}" for port in ports] == [f"{nats['host']}:{nats['port']}", *nats["others"]]
    assert (3, mesh.spiffe("nats")) == (nats["replicas"], nats["expect"])


def test_five_nodes_keep_three_copies() -> None:
    mesh = parse_mesh(document_with(nodes=5))
    files = configuration_files(mesh, places_in_containers(mesh), PASSWORDS, "samenet")
    nats = tomllib.loads(files["payments"]["config.toml"])["nats"]

    assert (4, 3) == (len(nats["others"]), nats["replicas"])


def test_the_launcher_watches_every_node(mesh: Mesh, places: Places) -> None:
    accounts = dict.fromkeys(mesh.workloads(), Account("tests", os.geteuid(), os.getegid(), drop=False))
    release = Release(Path("/python"), (), Path("/libraries"), Path("/scripts"))
    specs = {spec.name: spec for spec in plan_processes(mesh, places, release, accounts)}

    assert "nats" not in specs
    for node in NODES:
        assert ["/scripts/nats-server", "-c", str(places.run / "nats" / f"{node}.conf")] == specs[node].argv
    assert {"postgres", "redis", *NODES} == {name for name, spec in specs.items() if spec.is_store}


def test_a_rotation_tells_and_sees_every_node(mesh: Mesh, places: Places) -> None:
    told = parse_deployment(json.loads(deployment_text(mesh, places)))
    (nats,) = [consumer for consumer in told.consumers if consumer.type == "nats"]

    assert NODES == nats.processes
    assert {(f"{node}.tls", "payments") for node in NODES} | {
        (f"{node}.routes", "nats") for node in NODES
    } == {(listener.name, listener.admits) for listener in nats.listeners}


@pytest.mark.parametrize("change", [{"processes": []}, {"processes": [1]}, {"processes": ["../nats"]}])
def test_nodes_without_a_name_are_refused(mesh: Mesh, places: Places, change: dict[str, Any]) -> None:
    document = json.loads(deployment_text(mesh, places))
    (nats,) = [consumer for consumer in document["consumers"] if consumer["type"] == "nats"]
    nats |= change

    with pytest.raises(DeploymentError):
        parse_deployment(document)


def test_nobody_else_than_the_bus_has_several_processes_in_a_deployment(mesh: Mesh, places: Places) -> None:
    document = json.loads(deployment_text(mesh, places))
    (redis,) = [consumer for consumer in document["consumers"] if consumer["type"] == "redis"]
    redis["processes"] = ["redis-1"]

    with pytest.raises(DeploymentError, match="processes are for a cluster"):
        parse_deployment(document)


def test_containers_meet_on_a_network_of_their_own_under_the_name_of_the_certificate(mesh: Mesh) -> None:
    document = compose_document(mesh)
    services, name = document["services"], mesh.dns("nats")

    assert {"internal": True} == document["networks"]["nats-nats"]
    assert set(NODES) == {n for n, entry in services.items() if "nats-nats" in entry.get("networks", {})}
    for node in NODES:
        assert {"aliases": [name]} == services[node]["networks"]["nats-nats"]
        assert {"aliases": [node]} == services[node]["networks"]["payments-nats"]
        assert ["-m", "compose.images.healthy", node] == services[node]["healthcheck"]["test"][-3:]
        assert f"/countermark/run/nats/{node}.conf" == services[node]["command"][-1]
    for client in CLIENTS:
        assert set(NODES) <= set(services[client]["depends_on"])
    places = places_in_containers(mesh)
    text = configuration_files(mesh, places, PASSWORDS, "samenet")["nats"]["nats-1.conf"]
    assert f'routes: ["tls://{name}:6222", "tls://{name}"]' in text


def test_people_see_the_routes_and_review_the_same_policy(mesh: Mesh, deployment: Deployment) -> None:
    table = hop_table(mesh)
    row = f"| nats | nats | routes of the cluster in mTLS 1.3 | `{mesh.spiffe('nats')}` "

    assert row in table
    assert row not in hop_table(deployment.mesh)
    assert policy_text(deployment.mesh) == policy_text(mesh)  # One identity, whatever the number of nodes.


@pytest.mark.parametrize("nodes", [0, 2, 4, 7, -1])
def test_a_number_that_is_no_use_is_refused(nodes: int) -> None:
    with pytest.raises(MeshError, match="nodes must be one of 1, 3, 5"):
        parse_mesh(document_with(nodes=nodes))


@pytest.mark.parametrize("nodes", ["3", True, 3.0, [3]])
def test_what_is_no_number_is_refused(nodes: object) -> None:
    with pytest.raises(MeshError, match="nodes must be a number"):
        parse_mesh(document_with(nodes=nodes))


def test_only_the_bus_has_nodes_and_their_names_are_free() -> None:
    document = document_with(nodes=3)
    document["service"]["redis"]["nodes"] = 3
    document["service"]["nats-2"] = dict(document["service"]["redis"])
    with pytest.raises(MeshError) as refused:
        parse_mesh(document)

    assert "service redis: only a service of kind nats has nodes" in str(refused.value)
    assert "service nats: nats-2 is a service, too" in str(refused.value)
