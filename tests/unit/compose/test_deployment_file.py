"""deployment.json names every user of a certificate once, where it listens, and whom it really admits."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from compose.derive.configuration import CONFIG_FILE, ENVOY_FILE
from compose.derive.deployment import ROTATOR
from compose.mesh import read_mesh
from pki.policy import read_policy
from tests.unit.compose.deployment import MESH_FILE, Deployment
from tests.unit.compose.test_policy_file import COMMITTED

MESH = read_mesh(MESH_FILE)


@pytest.fixture
def document(deployment: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(deployment.layout.deployment_file.read_text())
    return found


@pytest.fixture
def consumers(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {consumer["name"]: consumer for consumer in document["consumers"]}


def test_everybody_may_read_it_and_it_holds_no_secret(deployment: Deployment) -> None:
    file = deployment.layout.deployment_file
    secrets = [path.read_bytes().strip() for path in deployment.layout.secrets.rglob("*") if path.is_file()]

    assert 0o644 == file.stat().st_mode & 0o777
    assert len(secrets) > 5
    assert [] == [secret for secret in secrets if secret in file.read_bytes()]


def test_each_workload_of_the_policy_is_in_it_once(
    document: dict[str, Any], consumers: dict[str, dict[str, Any]]
) -> None:
    policy = read_policy(COMMITTED)

    assert {"version", "trust_domain", "connection_age_s_max", "processes_file", "consumers"} == set(document)
    assert (1, MESH.trust_domain, 10.0) == (
        document["version"], document["trust_domain"], document["connection_age_s_max"],
    )  # fmt: skip
    assert list(policy.workloads) == [consumer["name"] for consumer in document["consumers"]]
    assert {name: (entry.consumer, entry.account) for name, entry in policy.workloads.items()} == {
        name: (consumer["type"], consumer["account"]) for name, consumer in consumers.items()
    }


def test_each_listener_of_the_mesh_is_in_it_once_and_where_it_is(
    deployment: Deployment, document: dict[str, Any]
) -> None:
    listeners = [entry for consumer in document["consumers"] for entry in consumer.get("listeners", [])]
    addresses = deployment.places.addresses

    assert sorted(MESH.listener_names()) == sorted(entry["name"] for entry in listeners)
    for entry in listeners:
        assert {"name", "host", "port", "protocol", "admits"} == set(entry)
        assert (addresses[entry["name"]].host, addresses[entry["name"]].port) == (
            entry["host"],
            entry["port"],
        )
    assert ["edge.public"] == [entry["name"] for entry in listeners if entry["admits"] is None]


def test_whoever_is_said_to_be_admitted_is_in_the_listeners_own_configuration(
    deployment: Deployment, consumers: dict[str, dict[str, Any]]
) -> None:
    for name, consumer in consumers.items():
        if consumer["type"] == "python":
            config = tomllib.loads((deployment.layout.run / name / CONFIG_FILE).read_text())
            (listener,) = consumer["listeners"]
            assert MESH.spiffe(listener["admits"]) in config["listen"]["admit"]
            assert (config["listen"]["host"], config["listen"]["port"]) == (
                listener["host"],
                listener["port"],
            )
        if consumer["type"] == "envoy":
            text = json.loads((deployment.layout.run / name / ENVOY_FILE).read_text())
            by_port = {
                entry["address"]["socket_address"]["port_value"]: json.dumps(entry)
                for entry in text["static_resources"]["listeners"]
            }
            for listener in consumer["listeners"]:
                wanted = listener["admits"] and f'"exact": "{MESH.spiffe(listener["admits"])}"'
                assert (wanted or "edge") in by_port.pop(listener["port"])
            assert {} == by_port
    hba = (deployment.layout.run / "postgres" / "pg_hba.conf").read_text()
    assert f"hostssl countermark {consumers['postgres']['listeners'][0]['admits']} " in hba
    nats = (deployment.layout.run / "nats" / "nats.conf").read_text()
    assert MESH.spiffe(consumers["nats"]["listeners"][0]["admits"]) in nats


def test_each_python_process_reports_where_the_rotator_may_ask(
    deployment: Deployment, consumers: dict[str, dict[str, Any]]
) -> None:
    declared = {
        hop.callee: hop.routes for hop in MESH.hops if hop.caller == ROTATOR and hop.protocol == "http"
    }
    reporting = {name: consumer["report"] for name, consumer in consumers.items() if "report" in consumer}

    assert set(declared) == set(reporting)
    assert set(reporting) == {name for name, consumer in consumers.items() if consumer["type"] == "python"}
    for name, report in reporting.items():
        face = MESH.services[name].face
        entrance = deployment.places.addresses[f"{name}.app" if face == name else f"{name}.ingress"]
        assert {"host": entrance.host, "port": entrance.port, "expect": face, "path": "/identity"} == report
        assert report["path"] in declared[name]


def test_the_stores_are_told_and_asked_in_their_own_ways(
    deployment: Deployment, consumers: dict[str, dict[str, Any]]
) -> None:
    redis, users = consumers["redis"], (deployment.layout.run / "redis" / "users.acl").read_text()

    assert ("postgres", "nats") == (consumers["postgres"]["process"], consumers["nats"]["process"])
    assert "countermark" == consumers["postgres"]["database"]
    assert f"user {redis['username']} on " in users
    assert 0 == Path(redis["password_file"]).stat().st_mode & 0o007
    assert str(deployment.layout.secrets / "pki" / "redis.password") == redis["password_file"]
    assert {"role"} == {consumers[name]["type"] for name in ("pki", "supervisor", "migrator", "operator")}


def test_the_record_of_processes_is_the_supervisors_own(
    deployment: Deployment, document: dict[str, Any]
) -> None:
    assert deployment.layout.processes_file == Path(document["processes_file"])
