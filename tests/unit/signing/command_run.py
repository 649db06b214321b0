"""One run of the command, in this process, and the files that its tests start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from signing.cli import main
from tests.unit.signing import signing_samples as samples

if TYPE_CHECKING:
    from pathlib import Path

URL = f"{samples.ORIGIN}/v1/payments"


class Run:
    """One run of the command: what it returned and printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> None:
        try:
            self.code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            self.code = int(str(exit_.code))
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    path = tmp_path / "merchant.pem"
    main(["keygen", "--out", str(path)])
    return path


@pytest.fixture
def body_path(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_bytes(samples.BODY)
    return path


@pytest.fixture
def request_path(tmp_path: Path, key_path: Path, body_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    run = Run(capsys, "sign", "--key", key_path, "--url", URL, "--body", body_path, "--json")
    path = tmp_path / "request.json"
    path.write_text(run.out)
    return path
