"""The description of the running deployment: what is read from it, and every fault of it at once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pki.consumers.deployment import Listener, Report, parse_deployment, read_deployment
from pki.errors import DeploymentError

LISTENER = {
    "name": "gateway.app",
    "host": "127.0.0.1",
    "port": 4001,
    "protocol": "http",
    "admits": "gateway-sidecar",
}
DOCUMENT: dict[str, Any] = {
    "version": 1,
    "trust_domain": "countermark.internal",
    "connection_age_s_max": 10,
    "processes_file": "/run/x/processes.json",
    "consumers": [
        {
            "name": "gateway",
            "type": "python",
            "account": "cm-gateway",
            "listeners": [LISTENER],
            "report": {"host": "127.0.0.1", "port": 4002, "expect": "gateway-sidecar", "path": "/identity"},
        },
        {
            "name": "edge",
            "type": "envoy",
            "admin_socket": "/run/x/edge/admin.sock",
            "listeners": [LISTENER | {"name": "edge.public", "protocol": "https", "admits": None}],
        },
        {
            "name": "redis",
            "type": "redis",
            "username": "pki",
            "password_file": "/secrets/pki/redis.password",
            "listeners": [LISTENER | {"name": "redis.tls", "protocol": "redis", "admits": "pki"}],
        },
        {"name": "supervisor", "type": "role"},
    ],
}


def test_every_field_is_taken_over() -> None:
    deployment = parse_deployment(DOCUMENT)
    gateway, edge, redis, supervisor = deployment.consumers

    assert ("countermark.internal", 10.0, Path("/run/x/processes.json")) == (
        deployment.trust_domain,
        deployment.connection_age_s_max,
        deployment.processes_file,
    )
    assert Listener("gateway.app", "127.0.0.1", 4001, "http", "gateway-sidecar") == gateway.listeners[0]
    assert Report("127.0.0.1", 4002, "gateway-sidecar", "/identity") == gateway.report
    assert (Path("/run/x/edge/admin.sock"), None) == (edge.admin_socket, edge.listeners[0].admits)
    assert ("pki", Path("/secrets/pki/redis.password")) == (redis.username, redis.password_file)
    assert ("supervisor", ()) == (supervisor.process, supervisor.listeners)


def test_listeners_that_cannot_check_crls_say_so() -> None:
    assert [True, True, False] == [
        c.listeners[0].checks_crl for c in parse_deployment(DOCUMENT).consumers[:3]
    ]


Change = Callable[[dict[str, Any]], object]
FAULTS: dict[str, Change] = {
    "version is 2": lambda d: d.update(version=2),
    "version is not of the right type": lambda d: d.update(version="1"),
    "unknown field more": lambda d: d.update(more=1),
    "trust_domain is missing": lambda d: d.pop("trust_domain"),
    "is not a trust domain": lambda d: d.update(trust_domain="INTERNAL"),
    "connection_age_s_max must be more than 0": lambda d: d.update(connection_age_s_max=-1.0),
    "connection_age_s_max is not of the right type": lambda d: d.update(connection_age_s_max=True),
    "no consumer is listed": lambda d: d.update(consumers=[]),
    "consumer 1 is not an object": lambda d: d["consumers"].__setitem__(0, "gateway"),
    "consumer gateway is listed twice": lambda d: d["consumers"].append(d["consumers"][0]),
    "is not a workload name": lambda d: d["consumers"][3].update(name="Supervisor"),
    "consumer gateway: type must be one of": lambda d: d["consumers"][0].update(type="java"),
    "consumer gateway: report is missing": lambda d: d["consumers"][0].pop("report"),
    "consumer edge: admin_socket is missing": lambda d: d["consumers"][1].pop("admin_socket"),
    "consumer redis: password_file is missing": lambda d: d["consumers"][2].pop("password_file"),
    "at least one listener": lambda d: d["consumers"][0].update(listeners=[]),
    "unknown field tls": lambda d: d["consumers"][0]["listeners"][0].update(tls=False),
    "admits is missing": lambda d: d["consumers"][0]["listeners"][0].pop("admits"),
    "protocol must be one of": lambda d: d["consumers"][0]["listeners"][0].update(protocol="ftp"),
    "port must be from 1 to 65535": lambda d: d["consumers"][0]["listeners"][0].update(port=70000),
    "for https alone": lambda d: d["consumers"][0]["listeners"][0].update(admits=None),
    "path must begin with a slash": lambda d: d["consumers"][0]["report"].update(path="identity"),
    "host is not of the right type": lambda d: d["consumers"][0]["report"].update(host=""),
}


@pytest.mark.parametrize(("fault", "change"), FAULTS.items(), ids=FAULTS)
def test_what_is_not_exactly_of_the_form_is_refused(fault: str, change: Change) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)

    with pytest.raises(DeploymentError, match=fault) as refusal:
        parse_deployment(document)
    assert "start the stack again" in str(refusal.value)


def test_all_faults_are_told_at_once() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["consumers"][0]["listeners"][0]["port"] = 0
    del document["consumers"][1]["admin_socket"]

    with pytest.raises(DeploymentError, match=r"port must be.*; consumer edge: admin_socket is missing"):
        parse_deployment(document)


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_something_else_is_no_deployment(document: object) -> None:
    with pytest.raises(DeploymentError, match="not an object"):
        parse_deployment(document)


def test_the_file_is_read_and_named_in_faults(tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    with pytest.raises(DeploymentError, match="nothing runs from this data directory"):
        read_deployment(path)
    path.write_text("{")
    with pytest.raises(DeploymentError, match="cannot be read as JSON"):
        read_deployment(path)
    path.write_text("{}")
    with pytest.raises(DeploymentError, match=str(path)):
        read_deployment(path)
    path.write_text(json.dumps(DOCUMENT))

    assert 4 == len(read_deployment(path).consumers)
