"""The committed policy is the one that mesh.toml asks for, and it is the one that the authority reads."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from compose.derive.__main__ import main
from compose.derive.policy_file import account_name, policy_text
from compose.launcher.release import checkout_root
from compose.mesh import read_mesh
from pki.policy import read_policy
from tests.unit.compose.deployment import MESH_FILE

COMMITTED = checkout_root() / "certs" / "policy.toml"


def test_the_committed_policy_fits_the_mesh() -> None:
    mesh = read_mesh(MESH_FILE)
    policy = read_policy(COMMITTED, mesh_path=MESH_FILE)

    assert policy_text(mesh) == COMMITTED.read_text(encoding="utf-8")
    assert mesh.workloads() == list(policy.workloads)
    assert mesh.trust_domain == policy.trust_domain
    for name, entry in policy.workloads.items():
        assert (mesh.spiffe(name), mesh.dns(name), account_name(name)) == (
            entry.spiffe_id, entry.dns_name, entry.account,
        )  # fmt: skip


def test_check_tells_a_policy_that_fits_from_one_that_does_not(tmp_path: Path) -> None:
    altered = tmp_path / "policy.toml"
    altered.write_text(COMMITTED.read_text(encoding="utf-8").replace('"cm-gateway"', '"root"', 1))

    assert policy_text(read_mesh(MESH_FILE)) == CliRunner().invoke(main, ["policy"]).output
    assert 0 == CliRunner().invoke(main, ["policy", "--check"]).exit_code
    refused = CliRunner().invoke(main, ["policy", "--check", "--file", str(altered)])
    assert 1 == refused.exit_code
    assert '-account = "root"' in refused.output
    assert "python -m compose.derive policy > certs/policy.toml" in refused.output
