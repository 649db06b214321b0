"""Each process's own configuration class takes the file that is derived for it, and TOML is written truly."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.derive.configuration import CONFIG_FILE
from compose.derive.process_config import TRACING, process_config, to_toml
from compose.mesh import read_mesh
from gateway.config import GatewayConfig, OperatorConfig
from services.bank_simulator.config import BankSimulatorConfig
from services.banks.config import BanksConfig
from services.evidence.config import EvidenceConfig
from services.fraud.config import FraudConfig
from services.node.config_file import ListenConfig, NodeConfig, TracesConfig, load_config
from services.notifications.config import NotificationsConfig
from services.payments.config import PaymentsConfig
from services.reporting.config import ReportingConfig
from services.vault.config import VaultConfig
from services.witness.app import WitnessConfig
from signing import SigningKey
from signing.evidence.trust import parse_trust
from tests.unit.compose.deployment import MESH_FILE, Deployment

MESH = read_mesh(MESH_FILE)
BANKS = ["bank-alpha", "bank-bravo", "card-network"]
CLASSES: dict[str, type[NodeConfig]] = {
    "gateway": GatewayConfig,
    "payments": PaymentsConfig,
    "banks": BanksConfig,
    "fraud": FraudConfig,
    "vault": VaultConfig,
    "notifications": NotificationsConfig,
    "reporting": ReportingConfig,
    "bank-alpha": BankSimulatorConfig,
    "bank-bravo": BankSimulatorConfig,
    "card-network": BankSimulatorConfig,
    "evidence": EvidenceConfig,
    "witness": WitnessConfig,
    "operator": OperatorConfig,
}


def loaded(deployment: Deployment, name: str) -> Any:
    return load_config(deployment.layout.run / name / CONFIG_FILE, CLASSES[name])


def test_every_python_process_is_looked_at() -> None:
    assert {s.name for s in MESH.services.values() if s.kind in ("python", "party")} <= set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_the_process_takes_its_derived_configuration(deployment: Deployment, name: str) -> None:
    config = loaded(deployment, name)

    assert (name, "eu", "countermark.internal") == (config.name, config.cell, config.trust_domain)
    assert str(deployment.layout.certs / "live" / name / "current") == config.identity
    assert str(deployment.layout.state / name) == config.state_dir


@pytest.mark.parametrize("name", CLASSES)
def test_spans_are_told_where_the_mesh_says_and_by_nobody_before(deployment: Deployment, name: str) -> None:
    traces = {"url": "https://collector.example:4318", "collector": "supervisor"}
    mesh = replace(MESH, traces=traces)
    text = process_config(mesh, mesh.services[name], deployment.places)

    assert loaded(deployment, name).traces is None
    assert (name in TRACING) == ("[traces]" in text)
    if name in TRACING:
        told = msgspec.toml.decode(text, type=CLASSES[name], strict=True).traces
        assert TracesConfig(traces["url"], MESH.spiffe("supervisor")) == told


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "operator"])
def test_the_listener_admits_the_own_sidecar_or_the_declared_callers(
    deployment: Deployment, name: str
) -> None:
    listen: ListenConfig = loaded(deployment, name).listen
    service = MESH.services[name]
    if service.sidecar:
        wanted = [MESH.spiffe(f"{name}-sidecar")]
    else:
        wanted = [MESH.spiffe(hop.caller) for hop in MESH.callers_of(name)]

    assert wanted == listen.admit
    assert "127.0.0.1" == listen.host


def test_every_store_must_prove_its_own_identity(deployment: Deployment) -> None:
    for hop in MESH.hops:
        if hop.protocol in ("postgres", "redis", "nats") and hop.caller in CLASSES:
            store = getattr(loaded(deployment, hop.caller), hop.protocol)

            assert MESH.spiffe(hop.callee) == store.expect
            assert deployment.places.addresses[f"{hop.callee}.tls"].port == store.port


def test_a_role_is_the_name_of_its_service(deployment: Deployment) -> None:
    for role in (
        "gateway",
        "payments",
        "notifications",
        "reporting",
        "evidence",
        "fraud",
        "vault",
        "operator",
    ):
        assert role == loaded(deployment, role).postgres.user


def test_payments_fills_a_stream_for_each_class_of_data_and_knows_who_reads_it(
    deployment: Deployment,
) -> None:
    found = loaded(deployment, "payments").subscribers

    assert {"EVENTS": ["notifications"], "FACTS": ["reporting"]} == found


def test_payments_reaches_the_banks_through_its_own_sidecar(deployment: Deployment) -> None:
    config = loaded(deployment, "payments")
    port = deployment.places.addresses["payments.egress.banks"].port

    assert (f"https://127.0.0.1:{port}", MESH.spiffe("payments-sidecar")) == (
        config.banks.url,
        config.banks.expect,
    )
    assert BANKS == config.bank_names


def test_each_bank_must_prove_that_it_is_this_bank(deployment: Deployment) -> None:
    banks = loaded(deployment, "banks").banks

    assert {name: MESH.spiffe(name) for name in BANKS} == {
        name: egress.expect for name, egress in banks.items()
    }


@pytest.mark.parametrize("name", CLASSES)
def test_no_configuration_holds_a_secret(deployment: Deployment, name: str) -> None:
    text = (deployment.layout.run / name / CONFIG_FILE).read_text()
    secrets = [
        file.read_text().strip()
        for file in deployment.layout.secrets.rglob("*")
        if file.is_file() and file.name != CONFIG_FILE
    ]

    assert len(secrets) >= 4
    assert [] == [secret for secret in secrets if secret in text]
    assert "PRIVATE KEY" not in text


def test_an_unknown_key_stops_the_process(deployment: Deployment) -> None:
    text = process_config(MESH, MESH.services["gateway"], deployment.places)

    with pytest.raises(msgspec.ValidationError, match="plaintext"):
        msgspec.toml.decode(f"plaintext = true\n{text}", type=GatewayConfig)


_KEY = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SCALAR = (
    _TEXT
    | st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(_TEXT, max_size=4)
)
_DOCUMENT = st.recursive(
    st.dictionaries(_KEY, _SCALAR, max_size=5),
    lambda inner: st.dictionaries(_KEY, _SCALAR | inner, max_size=4),
    max_leaves=6,
)


@given(_DOCUMENT)
def test_what_is_written_is_what_is_read(document: dict[str, Any]) -> None:
    assert _without_nothing(document) == tomllib.loads(to_toml(document))


def _without_nothing(document: dict[str, Any]) -> dict[str, Any]:
    """What is None is left out, at any depth."""
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }


def test_the_log_and_its_witness_know_each_other_by_key_and_by_place(deployment: Deployment) -> None:
    evidence, witness = loaded(deployment, "evidence"), loaded(deployment, "witness")
    trust = parse_trust(Path(evidence.trust_file).read_bytes())

    assert Path(witness.trust_file).read_bytes() == Path(evidence.trust_file).read_bytes()
    assert [evidence.log_name] == [named.name for named in trust.logs]
    assert [witness.witness_name] == [named.name for named in trust.witnesses] == list(evidence.witnesses)
    assert SigningKey.from_pem(Path(evidence.log_key_file).read_bytes()).verifying_key == trust.logs[0].key
    assert MESH.spiffe("witness") == evidence.witnesses[witness.witness_name].expect


def test_money_goes_to_banks_and_to_no_other_outside_party(deployment: Deployment) -> None:
    assert BANKS == loaded(deployment, "payments").bank_names
    assert set(BANKS) == set(loaded(deployment, "banks").banks)


def test_a_bank_tells_its_story_to_the_banks_services_sidecar_in_its_own_name(deployment: Deployment) -> None:
    for bank in BANKS:
        callbacks = loaded(deployment, bank).callbacks
        address = deployment.places.addresses["banks.ingress"]
        assert (f"https://{address.host}:{address.port}", MESH.spiffe("banks-sidecar")) == (
            callbacks.url,
            callbacks.expect,
        )


def test_both_ends_of_a_bank_agree_on_its_rail(deployment: Deployment) -> None:
    banks = loaded(deployment, "banks").banks

    assert {"bank-alpha": "json", "bank-bravo": "json", "card-network": "card"} == {
        bank: loaded(deployment, bank).rail for bank in BANKS
    }
    assert {bank: banks[bank].rail for bank in BANKS} == {
        bank: loaded(deployment, bank).rail for bank in BANKS
    }
