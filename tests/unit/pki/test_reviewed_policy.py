"""The policy of issuance: what is listed is given, what is not is refused, faults come with their lines."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki.errors import MeshFileError, PolicyError
from pki.policy import CONSUMERS, check_against_mesh, read_policy
from pki.policy_text import POLICY_BYTES_MAX, locate

MESH = """
trust_domain = "pay.example"
[service.gateway]
kind = "python"
sidecar = true
[service.operator]
kind = "role"
"""

POLICY = """\
version = 1
trust_domain = "pay.example"

[workload.gateway]  # accepts
spiffe_id = "spiffe://pay.example/gateway"
dns_name = "gateway.pay.example"
common_name = "gateway"
account = "cm-gateway"
consumer = "python"

[workload.gateway-sidecar]
spiffe_id = "spiffe://pay.example/gateway-sidecar"
dns_name = "gateway-sidecar.pay.example"
common_name = "gateway-sidecar"
account = "cm-gateway-sidecar"
consumer = "envoy"

[workload.operator]
spiffe_id = "spiffe://pay.example/operator"
dns_name = "operator.pay.example"
common_name = "operator"
account = "cm-operator"
consumer = "role"
"""
LAST = POLICY.count("\n")

# What is altered, into what, the line of the fault, its words.
FAULTS = [
    ("version = 1", "version = 2", 1, "`version = 1` is required"),
    ("version = 1", "version = 1.0", 1, "`version = 1` is required"),
    ("version = 1", "version = true", 1, "`version = 1` is required"),
    ("version = 1\n", "", 1, "`version = 1` is required"),
    ("version = 1\n", "version = 1\ncolour = 'red'\n", 2, "unknown key colour"),
    ('trust_domain = "pay.example"', "trust_domain = 7", 2, 'a text `trust_domain = "..."` is required'),
    ('trust_domain = "pay.example"', 'trust_domain = "Pay"', 2, "is not a trust domain"),
    ('trust_domain = "pay.example"', 'trust_domain = "pay.other"', 5, "must be 'spiffe://pay.other/gateway'"),
    ("[workload.gateway]", "[workload.gateway_1]", 4, "is not a workload name"),
    ("[workload.gateway]", "[workload.frontdoor]", 7, "common_name must be 'frontdoor'"),
    ('spiffe://pay.example/gateway"', 'spiffe://pay.example/edge"', 5, "spiffe_id must be"),
    ('dns_name = "gateway.pay.example"', 'dns_name = "*.pay.example"', 6, "dns_name must be"),
    ('dns_name = "gateway.pay.example"', "dns_name = nan", 6, "dns_name must be a text"),
    ('common_name = "gateway"', 'common_name = ["gateway"]', 7, "common_name must be a text"),
    ('common_name = "gateway"\n', "", 4, "common_name is missing"),
    ('common_name = "gateway"', 'common_name = "gateway"\nalso = "edge"', 8, "unknown key also"),
    ('account = "cm-gateway"', 'account = "root "', 8, "is no account name"),
    ('account = "cm-operator"', 'account = "cm-gateway"', 22, "'cm-gateway' is that of gateway already"),
    ('consumer = "role"', 'consumer = "nginx"', 23, "consumer must be one of"),
    ('consumer = "role"', 'consumer = "python"', 23, "consumer is python, but mesh.toml makes it role"),
    ("[workload.operator]", "[workload.operator", 18, "this is not TOML"),
    ("[workload.operator]", "[workload.gateway]", 18, "this is not TOML"),
    ("[workload.operator]", "[workload.'operator']", 18, "write one `key = value` a line"),
    ("[workload.operator]", "[[workload.others]]", 18, "write one `key = value` a line"),
    ('consumer = "role"', "consumer.kind = 'role'", 23, "write one `key = value` a line"),
    ('consumer = "role"', "consumer = '''\nrole'''", 23, "write one `key = value` a line"),
    ('consumer = "role"', 'consumer = "role', 23, "this is not TOML"),
    ("version = 1", "version = " + "9" * 5000, LAST, "this is not TOML"),
    ("version = 1", "version = " + "[" * 5000, 1, "nested too deeply"),
    ("# accepts", "# " + "x" * POLICY_BYTES_MAX, 1, "the file is larger"),
]  # fmt: skip


def refusal_of(folder: Path, text: str | bytes, *, mesh: str | None = MESH) -> str:
    file, mesh_file = folder / "policy.toml", folder / "mesh.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    if mesh is not None:
        mesh_file.write_text(mesh)
    with pytest.raises(PolicyError) as refusal:
        read_policy(file, mesh_path=None if mesh is None else mesh_file)
    assert "policy" == refusal.value.code
    return str(refusal.value).replace(f"{folder}/", "")


def test_what_is_listed_is_given_and_nothing_else(tmp_path: Path) -> None:
    file, mesh = tmp_path / "policy.toml", tmp_path / "mesh.toml"
    file.write_text(POLICY)
    mesh.write_text(MESH)
    policy = read_policy(file, mesh_path=mesh)
    check_against_mesh(policy, mesh)
    entry = policy.require("gateway-sidecar")

    assert hashlib.sha256(POLICY.encode()).hexdigest() == policy.digest
    assert "pay.example" == policy.trust_domain
    assert ["gateway", "gateway-sidecar", "operator"] == list(policy.workloads)
    assert ("spiffe://pay.example/gateway-sidecar", "gateway-sidecar.pay.example", "gateway-sidecar") == (
        entry.spiffe_id, entry.dns_name, entry.common_name,
    )  # fmt: skip
    assert ("cm-gateway-sidecar", "envoy", 11) == (entry.account, entry.consumer, entry.line)
    with pytest.raises(PolicyError, match="lists no workload 'edge'") as refusal:
        policy.require("edge")
    assert "policy" == refusal.value.code


@pytest.mark.parametrize(
    ("old", "new", "line", "words"), FAULTS, ids=[f"{i}-{f[3]}" for i, f in enumerate(FAULTS)]
)
def test_each_fault_has_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in POLICY
    refused = refusal_of(tmp_path, POLICY.replace(old, new, 1))

    (found,) = [row for row in refused.splitlines() if words in row][:1]
    assert found.strip().startswith(f"policy.toml:{line}: ")


def test_every_fault_is_listed_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = POLICY
    for old, new in [("version = 1", "version = 3"), ('consumer = "python"', 'consumer = "perl"'),
                     ('account = "cm-gateway-sidecar"', "account = 1"),
                     ('account = "cm-operator"', 'account = "cm-gateway"'),
                     ("[workload.operator]", "what = 'ever'\n[workload.operator]")]:  # fmt: skip
        text = text.replace(old, new, 1)
    mesh = MESH.replace('"python"', '"nats"') + "[service.fraud]\nkind = 'python'\n"
    refused = refusal_of(tmp_path, text, mesh=mesh)
    lines = [int(row.split(":")[1]) for row in refused.splitlines()[1:]]

    assert [1, 9, 15, 18, 23, 24] == lines
    assert "the policy has 6 faults" in refused
    assert "[workload.fraud] is missing" in refused


def test_a_workload_that_the_mesh_does_not_declare_is_a_fault(tmp_path: Path) -> None:
    refused = refusal_of(tmp_path, POLICY, mesh=MESH.replace("sidecar = true", "sidecar = false"))

    assert "policy.toml:11: workload gateway-sidecar is not declared in mesh.toml" in refused


def test_the_trust_domain_is_that_of_the_mesh(tmp_path: Path) -> None:
    refused = refusal_of(tmp_path, POLICY, mesh=MESH.replace("pay.example", "other.example"))

    assert "policy.toml:2: the trust domain of mesh.toml is 'other.example'" in refused


def test_a_mesh_that_cannot_be_compared_with_is_named(tmp_path: Path) -> None:
    file, mesh = tmp_path / "policy.toml", tmp_path / "mesh.toml"
    file.write_text(POLICY)
    for text in (MESH.replace('"python"', '"cobol"'), MESH.replace("service.gateway", "service.GATEWAY"),
                 MESH.replace('trust_domain = "pay.example"', "")):  # fmt: skip
        mesh.write_text(text)
        with pytest.raises(MeshFileError, match=str(mesh)):
            check_against_mesh(read_policy(file), mesh)


def test_without_a_policy_nothing_is_read(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="nothing is issued without a reviewed policy"):
        read_policy(tmp_path / "nowhere.toml")


def test_bytes_that_are_no_text_have_a_line(tmp_path: Path) -> None:
    assert "policy.toml:3: this is not UTF-8" in refusal_of(tmp_path, POLICY.encode()[:41] + b"\xff\n")


def test_line_ends_of_other_systems_are_read(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(POLICY.replace("\n", "\r\n").encode())

    assert 18 == read_policy(file).require("operator").line


pieces = st.sampled_from([
    *POLICY.splitlines(keepends=True), "[workload.", "]", "'''", '"""', "\\", "#", "=", ".", "\r",
    "\x00", "\x85", "[workload]", "workload = 1", "account = {a = 1}", "[[", "\u2028", "account",
    "1979-13-40", "nan", "0x", "\n",
    *CONSUMERS,
])  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.binary(max_size=200) | st.lists(pieces, max_size=30).map(lambda p: "".join(p).encode()))
def test_whatever_the_bytes_are_they_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(data)
    try:
        policy = read_policy(file)
    except PolicyError as refusal:
        rows = str(refusal).splitlines()[1:]
        lines = [int(row.removeprefix(f"  {file}:").split(":")[0]) for row in rows if str(file) in row]
        assert lines == sorted(lines)
        assert lines
        assert all(1 <= line <= data.count(b"\n") + 1 for line in lines)
    else:
        assert policy.workloads


@settings(deadline=None, max_examples=300)
@given(data=st.lists(pieces, max_size=30).map(lambda p: "".join(p).encode()))
def test_the_lines_never_say_other_than_the_toml(data: bytes) -> None:
    text = locate(data)
    if not text.faults:
        document = tomllib.loads(data.decode())
        tables = {name: table.values for name, table in text.workloads.items()}
        assert repr(document.get("workload", {})) == repr(tables)
        assert repr({k: v for k, v in document.items() if k != "workload"}) == repr(text.top.values)
