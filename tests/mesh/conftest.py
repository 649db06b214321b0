"""The whole stack, started once for all tests of this folder, and merchants enrolled in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from compose.launcher.stack import Stack, StackOptions
from tests.mesh.enrolled_merchant import EnrolledMerchant, enrol_merchant


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A place that the services' own accounts can enter when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="countermark-mesh-", dir="/var/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def stack(data_dir: Path) -> AsyncIterator[Stack]:
    """Every process of mesh.toml, ready."""
    running = await Stack.start(StackOptions(data_dir), lambda *_: None)
    yield running
    await running.stop()


@pytest.fixture(scope="session")
async def merchant(stack: Stack) -> AsyncIterator[EnrolledMerchant]:
    """A merchant with a key and a webhook receiver."""
    async with enrol_merchant(stack) as enrolled:
        yield enrolled
