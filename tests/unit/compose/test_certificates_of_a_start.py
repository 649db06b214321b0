"""A start issues what the reviewed policy lists, says so in the ledger, and gives keys to nobody else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from compose.derive.policy_file import account_name
from compose.launcher import credentials
from compose.launcher.credentials import provide_certificates
from compose.launcher.errors import StartError
from compose.launcher.layout import Layout, prepare
from compose.launcher.root_custody import provide_passphrase
from compose.mesh import read_mesh
from pki.authority import renew_lists
from pki.certificate_files import CertificateTree
from pki.custody.passphrase_keeper import PassphraseKeeper
from pki.errors import PolicyError
from pki.policy import read_policy
from pki.rotation.confirming import present_uses
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


def test_new_revocation_lists_are_no_reason_for_new_leaves(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    os.close(prepare(layout))
    accounts = this_account(MESH)
    provide_certificates(MESH, layout, accounts)
    tree = CertificateTree(layout.certs)
    before = present_uses(tree, MESH.workloads())
    issuing = PassphraseKeeper(provide_passphrase(layout, initialised=True))
    renew_lists(layout.certs, issuing=issuing, root=None, now=datetime.now(UTC), force=True)

    issued = provide_certificates(MESH, layout, accounts)

    after = present_uses(tree, MESH.workloads())
    assert [] == issued
    assert [use.serial for use in before.values()] == [use.serial for use in after.values()]
    assert not {use.crl_sha256 for use in before.values()} & {use.crl_sha256 for use in after.values()}
