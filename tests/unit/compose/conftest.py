"""One deployment for all tests of this folder; sealing an authority takes half a second by design."""

from __future__ import annotations

import pytest

from tests.unit.compose.deployment import Deployment, write_deployment


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return write_deployment(tmp_path_factory.mktemp("deployment"))
