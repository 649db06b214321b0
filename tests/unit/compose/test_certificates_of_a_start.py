"""A start issues what the reviewed policy lists, says so in the ledger, and gives keys to nobody else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from compose.derive.policy_file import account_name
from compose.launcher import credentials
from compose.launcher.credentials import provide_certificates
from compose.launcher.errors import StartError
from compose.launcher.layout import Layout
from compose.mesh import read_mesh
from pki.errors import PolicyError
from pki.policy import read_policy
from tests.unit.compose.deployment import MESH_FILE, Deployment, this_account
from tests.unit.compose.test_policy_file import COMMITTED

MESH = read_mesh(MESH_FILE)


def test_every_line_of_the_ledger_names_the_policy_that_was_in_force(deployment: Deployment) -> None:
    lines = [json.loads(line) for line in (deployment.layout.certs / "ledger.jsonl").read_text().splitlines()]

    assert len(lines) > 2 * len(MESH.workloads())
    assert {read_policy(COMMITTED).digest} == {line["policy"] for line in lines}
    assert {"start"} == {line["command"] for line in lines}


def test_with_a_policy_that_does_not_fit_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = tmp_path / "policy.toml"
    altered.write_text(COMMITTED.read_text().replace("[workload.operator]", "[workload.somebody]"))
    monkeypatch.setattr(credentials, "POLICY", altered)

    with pytest.raises(PolicyError, match="somebody is not declared"):
        provide_certificates(MESH, Layout(tmp_path / "data"), this_account(MESH))
    assert not (tmp_path / "data").exists()


def test_a_key_is_given_to_the_account_of_the_policy_or_not_at_all(tmp_path: Path) -> None:
    accounts = {
        name: replace(account, name=account_name(name), drop=True)
        for name, account in this_account(MESH).items()
    }
    accounts["gateway"] = replace(accounts["gateway"], name="www-data")

    with pytest.raises(StartError, match="is for the account cm-gateway, but gateway runs as www-data"):
        provide_certificates(MESH, Layout(tmp_path / "data"), accounts)
    assert not (tmp_path / "data").exists()
