"""Certificates by our own authority, made once for this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.node.mtls import NAMES, reserved_port
from tests.integration.postgres_server import ThrowAwayPki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> ThrowAwayPki:
    certs = ThrowAwayPki.create(tmp_path_factory.mktemp("node") / "certs")
    certs.issue(*NAMES)
    return certs


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_port() as number:
        yield number
