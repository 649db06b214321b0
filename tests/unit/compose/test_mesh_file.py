"""mesh.toml is refused with the name of each fault, and means what it says."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.mesh import MeshError, parse_mesh, read_mesh
from compose.mesh_faults import KINDS, PROTOCOLS
from pki.mesh_file import declared_workloads
from tests.unit.compose.deployment import MESH_FILE

SMALL: dict[str, Any] = {
    "trust_domain": "countermark.internal",
    "cell": "eu",
    "service": {
        "edge": {"kind": "edge", "listeners": ["public"], "purpose": "front door"},
        "gateway": {
            "kind": "python", "module": "gateway", "sidecar": True, "listeners": ["app"],
            "database_role": True, "purpose": "accepts",
        },
    },
    "hop": [
        {"caller": "merchant", "callee": "edge", "protocol": "https", "data": ["evidence"]},
        {"caller": "edge", "callee": "gateway", "protocol": "http", "routes": ["/v1/"], "data": ["evidence"]},
    ],
}  # fmt: skip

Alter = Callable[[dict[str, Any]], object]

FAULTS: list[tuple[str, Alter]] = [
    ("unknown key colour", lambda d: d.update(colour="red")),
    ("trust_domain is missing", lambda d: d.pop("trust_domain")),
    ("cell is missing", lambda d: d.update(cell=7)),
    ("services are tables", lambda d: d.update(service=["edge"])),
    ("services are tables", lambda d: d["service"].update(edge="edge")),
    ("hops are an array of tables", lambda d: d.update(hop={"caller": "edge"})),
    ("service edge: unknown key port", lambda d: d["service"]["edge"].update(port=443)),
    ("service edge: kind must be one of", lambda d: d["service"]["edge"].update(kind="nginx")),
    ("service edge: kind must be one of", lambda d: d["service"]["edge"].pop("kind")),
    ("service edge: purpose is missing", lambda d: d["service"]["edge"].pop("purpose")),
    ("service gateway: module is missing", lambda d: d["service"]["gateway"].pop("module")),
    ("service gateway: sidecar must be true or false", lambda d: d["service"]["gateway"].update(sidecar=1)),
    ("service edge: listeners must be a list", lambda d: d["service"]["edge"].update(listeners="public")),
    ("service gateway: only a role", lambda d: d["service"]["gateway"].update(acts_as="edge")),
    (
        "service gateway: edge is no role",
        lambda d: d["service"]["gateway"].update(acts_as="edge"),
    ),
    ("service gateway: a person who acts as edge", lambda d: d["service"]["gateway"].update(acts_as="edge")),
    ("service Edge_1: ", lambda d: d["service"].update({"Edge_1": d["service"]["edge"]})),
    ("hop edge -> gateway: unknown key port", lambda d: d["hop"][1].update(port=1)),
    ("hop edge -> gateway: routes must be a list", lambda d: d["hop"][1].update(routes="/v1/")),
    ("hop edge -> gateway: routes must be a list", lambda d: d["hop"][1].update(routes=["/v1/", 2])),
    ("hop edge -> gateway: routes must be a list", lambda d: d["hop"][1].update(routes=[""])),
    ("hop edge -> gateway: an http hop names its routes", lambda d: d["hop"][1].pop("routes")),
    ("hop edge -> gateway: data classes are missing", lambda d: d["hop"][1].pop("data")),
    ("hop edge -> gateway: protocol must be one of", lambda d: d["hop"][1].update(protocol="tcp")),
    ("hop fraud -> gateway: fraud is not declared", lambda d: d["hop"][1].update(caller="fraud")),
    ("hop edge -> fraud: fraud is not declared", lambda d: d["hop"][1].update(callee="fraud")),
    ("hop None -> gateway: None is not declared", lambda d: d["hop"][1].pop("caller")),
    (
        "traces: they leave by TLS alone",
        lambda d: d.update(traces={"url": "http://a:1", "collector": "edge"}),
    ),
    ("traces: no such service", lambda d: d.update(traces={"url": "https://a:1", "collector": "nobody"})),
    ("traces: collector is missing", lambda d: d.update(traces={"url": "https://a:1"})),
    ("traces must be a table", lambda d: d.update(traces="https://a:1")),
    ("traces: unknown key port", lambda d: d.update(traces={"url": "https://a:1", "port": 1})),
    ("hop edge -> gateway is declared twice", lambda d: d["hop"].append(d["hop"][1])),
]


def altered(alter: Alter) -> dict[str, Any]:
    document = copy.deepcopy(SMALL)
    alter(document)
    return document


@pytest.mark.parametrize(("message", "alter"), FAULTS, ids=[f"{i}-{m}" for i, (m, _) in enumerate(FAULTS)])
def test_each_fault_is_named(message: str, alter: Alter) -> None:
    with pytest.raises(MeshError) as refusal:
        parse_mesh(altered(alter))

    assert message in str(refusal.value)


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(MeshError) as refusal:
        parse_mesh(altered(lambda d: (d.update(colour="red"), d["hop"][1].pop("data"))))

    assert "unknown key colour" in str(refusal.value)
    assert "data classes are missing" in str(refusal.value)


@given(key=st.text(min_size=1), where=st.sampled_from(["top", "service", "hop"]))
def test_no_unknown_key_is_accepted_anywhere(key: str, where: str) -> None:
    document = copy.deepcopy(SMALL)
    place = {"top": document, "service": document["service"]["edge"], "hop": document["hop"][0]}[where]
    known = {
        "top": {"trust_domain", "cell", "service", "hop", "traces"},
        "service": {"kind", "module", "sidecar", "listeners", "database_role", "purpose"},
        "hop": {
            "caller", "callee", "protocol", "routes", "data", "keys", "commands", "publish", "subscribe",
        },
    }  # fmt: skip
    if key in known[where]:
        return
    place[key] = "x"

    with pytest.raises(MeshError):
        parse_mesh(document)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    path=st.sampled_from(
        [("service",), ("hop",), ("service", "edge"), ("hop", 1)]
        + [("service", "gateway", k) for k in SMALL["service"]["gateway"]]
        + [("hop", 1, k) for k in SMALL["hop"][1]]
    ),
    value=_JSON,
)
def test_whatever_a_value_is_the_answer_is_a_mesh_or_a_refusal(path: tuple[Any, ...], value: object) -> None:
    document = copy.deepcopy(SMALL)
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    try:
        mesh = parse_mesh(document)
    except MeshError:
        return

    assert {s.kind for s in mesh.services.values()} <= set(KINDS)
    assert {hop.protocol for hop in mesh.hops} <= set(PROTOCOLS)
    assert all(isinstance(route, str) for hop in mesh.hops for route in hop.routes)


def test_a_file_that_cannot_be_read_or_is_no_toml_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[[hop]\n")

    for file in (tmp_path / "missing.toml", broken):
        with pytest.raises(MeshError, match=file.name):
            read_mesh(file)


def test_the_small_mesh_has_the_listeners_and_faces_that_follow() -> None:
    mesh = parse_mesh(SMALL)

    assert ["edge", "gateway", "gateway-sidecar"] == mesh.workloads()
    assert ["edge.public", "gateway.app", "gateway.ingress"] == mesh.listener_names()
    assert "gateway-sidecar" == mesh.services["gateway"].face
    assert "edge" == mesh.services["edge"].face
    assert ["gateway"] == mesh.roles()


def test_two_readers_of_the_committed_file_agree_on_the_workloads() -> None:
    assert declared_workloads(MESH_FILE) == read_mesh(MESH_FILE).workloads()


def test_every_declared_service_has_a_hop_and_every_process_a_caller() -> None:
    mesh = parse_mesh(tomllib.loads(MESH_FILE.read_text(encoding="utf-8")))
    ends = {hop.caller for hop in mesh.hops} | {hop.callee for hop in mesh.hops}

    assert set() == set(mesh.services) - ends
    assert set() == {s.name for s in mesh.services.values() if s.kind != "role"} - {
        hop.callee for hop in mesh.hops
    }
