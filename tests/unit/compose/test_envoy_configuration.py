"""Every Envoy: mutual TLS 1.3 on every listener but the public one, exact identities, untouched requests."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compose.derive import container_places, envoy_tls
from compose.derive.configuration import ENVOY_FILE
from compose.derive.connection_age import phases_of
from compose.launcher.configuration import CONNECTION_AGE_S_MAX
from compose.mesh import read_mesh
from gateway.app import EDGE_NOTICES_S
from services.node.health import READY_PATH
from services.payments.config import HOP_CALL_S_MAX
from tests.unit.compose.deployment import MESH_FILE, Deployment

MESH = read_mesh(MESH_FILE)
ENVOYS = ["edge", *(s.sidecar_name for s in MESH.services.values() if s.sidecar)]
SIDECARS = ENVOYS[1:]
ENVOY = Path(sysconfig.get_paths()["purelib"]) / "envoy" / "_bin" / "envoy"
TLS_13_ONLY = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}


def config_of(deployment: Deployment, name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((deployment.layout.run / name / ENVOY_FILE).read_text())
    return config


def listeners(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {listener["name"]: listener for listener in config["static_resources"]["listeners"]}


def chain(listener: dict[str, Any]) -> dict[str, Any]:
    (only,) = listener["filter_chains"]
    found: dict[str, Any] = only
    return found


def manager(listener: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = chain(listener)["filters"][-1]["typed_config"]
    return found


def tls(owner: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = owner["transport_socket"]["typed_config"]
    return found


def required_identities(context: dict[str, Any]) -> list[str]:
    validation = context["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    matchers = validation["match_typed_subject_alt_names"]
    assert {"URI"} == {matcher["san_type"] for matcher in matchers}
    assert {("exact",)} == {tuple(matcher["matcher"]) for matcher in matchers}
    return [matcher["matcher"]["exact"] for matcher in matchers]


def values_of(document: object, key: str) -> Iterator[object]:
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(document, list):
        for item in document:
            yield from values_of(item, key)


@pytest.mark.parametrize("name", ENVOYS)
def test_the_real_envoy_accepts_each_generated_file(deployment: Deployment, name: str) -> None:
    file = deployment.layout.run / name / ENVOY_FILE
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", file, "--disable-hot-restart", "--concurrency", "1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr[-2000:]


def test_the_real_envoy_refuses_a_file_with_an_unknown_field(deployment: Deployment, tmp_path: Path) -> None:
    config = config_of(deployment, "edge")
    config["static_resources"]["listeners"][0]["plain"] = True
    file = tmp_path / ENVOY_FILE
    file.write_text(json.dumps(config))
    command = [str(ENVOY), "--mode", "validate", "-c", str(file), "--disable-hot-restart"]

    assert 0 != subprocess.run(command, capture_output=True, check=False, timeout=60).returncode


@pytest.mark.parametrize("name", SIDECARS)
def test_every_listener_of_a_sidecar_demands_a_declared_identity(deployment: Deployment, name: str) -> None:
    service = deployment.envoys()[name]
    for listener in listeners(config_of(deployment, name)).values():
        context = tls(chain(listener))
        admitted = required_identities(context)

        assert context["require_client_certificate"] is True
        if listener["name"] == "ingress":
            faces = {MESH.services[hop.caller].face for hop in MESH.callers_of(service.name)}
            assert sorted(MESH.spiffe(face) for face in faces) == admitted
        else:
            assert [MESH.spiffe(service.name)] == admitted


def test_only_the_public_listener_takes_callers_without_a_certificate(deployment: Deployment) -> None:
    lenient = [
        (name, listener["name"])
        for name in ENVOYS
        for listener in listeners(config_of(deployment, name)).values()
        if not tls(chain(listener))["require_client_certificate"]
    ]

    assert [("edge", "public")] == lenient


@pytest.mark.parametrize("name", ENVOYS)
def test_every_cluster_demands_one_exact_identity(deployment: Deployment, name: str) -> None:
    service = deployment.envoys()[name]
    for cluster in config_of(deployment, name)["static_resources"]["clusters"]:
        callee = service.name if cluster["name"] == "app" else MESH.services[cluster["name"]].face

        assert [MESH.spiffe(callee)] == required_identities(tls(cluster))


@pytest.mark.parametrize("name", ENVOYS)
def test_tls_is_1_3_without_resumption_and_with_own_files(deployment: Deployment, name: str) -> None:
    config = config_of(deployment, name)
    contexts = [tls(chain(listener)) for listener in listeners(config).values()]
    for context in contexts:
        assert context["disable_stateless_session_resumption"] is True
        assert context["disable_stateful_session_resumption"] is True
    contexts += [tls(cluster) for cluster in config["static_resources"]["clusters"]]
    assert len(contexts) >= 2
    for context in contexts:
        assert TLS_13_ONLY == context["common_tls_context"]["tls_params"]
    own = str(deployment.layout.run / name)
    paths = [source["path"] for source in values_of(config, "path_config_source")]  # type: ignore[index]  # JSON
    assert [] == [path for path in paths if not path.startswith(f"{own}/")]


@pytest.mark.parametrize("name", ENVOYS)
def test_secrets_are_the_own_generation_and_follow_the_link(deployment: Deployment, name: str) -> None:
    live = deployment.layout.certs / "live" / name
    files = deployment.files[name]
    texts = json.dumps([json.loads(files[envoy_tls.IDENTITY_FILE]), json.loads(files[envoy_tls.TRUST_FILE])])
    filenames = list(values_of(json.loads(texts), "filename"))

    assert {f"{live}/current/{n}.pem" for n in ("cert", "key", "trust", "crl")} == set(filenames)
    assert [{"path": str(live)}] * 2 == list(values_of(json.loads(texts), "watched_directory"))


@pytest.mark.parametrize("name", ENVOYS)
def test_the_request_target_passes_untouched(deployment: Deployment, name: str) -> None:
    for listener in listeners(config_of(deployment, name)).values():
        options = manager(listener)

        assert options["normalize_path"] is False
        assert options["merge_slashes"] is False
        assert "KEEP_UNCHANGED" == options["path_with_escaped_slashes_action"]
        assert [] == [key for key in ("prefix_rewrite", "regex_rewrite", "host_rewrite_literal")
                      for _ in values_of(listener, key)]  # fmt: skip


@pytest.mark.parametrize("name", ENVOYS)
def test_an_envoy_is_asked_through_a_socket_of_its_own_account_alone(
    deployment: Deployment, name: str
) -> None:
    config = config_of(deployment, name)
    folder = deployment.layout.state / name

    assert {"node", "admin", "static_resources", "overload_manager"} == set(config)
    assert {"pipe": {"path": f"{folder}/admin.sock", "mode": 0o600}} == config["admin"]["address"]
    assert 0o700 == folder.stat().st_mode & 0o777
    assert ["/certs", "/config_dump", "/stats"] == [p["prefix"] for p in config["admin"]["allow_paths"]]
    assert (
        len(listeners(config)) == len(list(values_of(config["static_resources"]["listeners"], "address"))) / 2
    )


@pytest.mark.parametrize("name", SIDECARS)
def test_a_caller_may_use_the_routes_of_its_own_hop_and_no_other(deployment: Deployment, name: str) -> None:
    service = deployment.envoys()[name]
    filters = manager(listeners(config_of(deployment, name))["ingress"])["http_filters"]
    rules = filters[0]["typed_config"]["rules"]
    granted = {
        policy["principals"][0]["authenticated"]["principal_name"]["exact"]: [
            permission["url_path"]["path"]["prefix"] for permission in policy["permissions"]
        ]
        for policy in rules["policies"].values()
    }

    assert "envoy.filters.http.rbac" == filters[0]["name"]
    assert "ALLOW" == rules["action"]
    assert {1} == {len(policy["principals"]) for policy in rules["policies"].values()}
    assert granted == {
        MESH.spiffe(MESH.services[hop.caller].face): list(hop.routes) for hop in MESH.callers_of(service.name)
    }


@pytest.mark.parametrize("name", ENVOYS)
def test_the_callers_description_is_always_our_own(deployment: Deployment, name: str) -> None:
    for listener in listeners(config_of(deployment, name)).values():
        wanted = "SANITIZE" if listener["name"] == "public" else "SANITIZE_SET"

        assert wanted == manager(listener)["forward_client_cert_details"]


@pytest.mark.parametrize("name", ENVOYS)
def test_no_connection_outlives_the_bound(deployment: Deployment, name: str) -> None:
    config = config_of(deployment, name)
    age = phases_of(deployment.places.connection_age_s_max)
    resources = config["static_resources"]

    def seconds(document: object, key: str) -> list[float]:
        return [float(str(value).removesuffix("s")) for value in values_of(document, key)]

    parts = len(resources["listeners"]) + len(resources["clusters"])
    assert [pytest.approx(age.begin_s)] * parts == seconds(config, "max_connection_duration")
    for listener in resources["listeners"]:
        assert [pytest.approx(age.drain_s)] == seconds(listener, "drain_timeout")
        assert [pytest.approx(age.stream_s)] == seconds(listener, "max_stream_duration")
        assert [pytest.approx(age.close_s)] == seconds(listener, "delayed_close_timeout")
        assert pytest.approx(age.stream_s) == max(seconds(listener, "timeout"))


@pytest.mark.parametrize("bound_s", [CONNECTION_AGE_S_MAX, container_places.CONNECTION_AGE_S_MAX])
def test_the_phases_end_within_the_bound_and_leave_every_hop_its_time(bound_s: float) -> None:
    age = phases_of(bound_s)

    assert 0.98 * bound_s > age.begin_s + age.drain_s + age.stream_s + age.close_s
    assert HOP_CALL_S_MAX < age.stream_s
    assert bound_s / 3 < age.begin_s
    assert 0 < min(age.drain_s, age.close_s)
    assert 210 == phases_of(300).begin_s


def test_nothing_is_repeated_that_may_have_been_processed(deployment: Deployment) -> None:
    harmless = {"connect-failure", "reset-before-request", "refused-stream"}
    for name in ENVOYS:
        for policy in values_of(config_of(deployment, name), "retry_policy"):
            assert set() == set(policy["retry_on"].split(",")) - harmless  # type: ignore[index]  # JSON


def test_the_edge_asks_each_gateway_whether_it_wants_requests_and_lets_nobody_else_ask(
    deployment: Deployment,
) -> None:
    config = config_of(deployment, "edge")
    (cluster,) = config["static_resources"]["clusters"]
    (check,) = cluster["health_checks"]

    assert (READY_PATH, False) == (check["http_health_check"]["path"], check["reuse_connection"])
    # A question and a late one fit into the time in which a gateway that stops still accepts.
    assert EDGE_NOTICES_S >= 2 * float(check["interval"].removesuffix("s"))
    assert READY_PATH not in json.dumps(list(values_of(config, "match")))


def test_a_mesh_listener_without_callers_is_not_made(deployment: Deployment) -> None:
    with pytest.raises(ValueError, match="would admit anybody"):
        envoy_tls.downstream(MESH, "gateway-sidecar", deployment.places, [], ["h2"])
