"""The wheel as a merchant installs it: built offline, put beside cryptography alone, and used."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[3]
# cryptography and what it needs, as their own metadata lists their files: nothing else is let in.
NEEDED = ("cryptography", "cffi", "pycparser")


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and cryptography."""

    wheel: Path
    python: Path
    home: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), "-I", *arguments], cwd=self.home, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (built,) = WheelBuilder(str(ROOT)).build(
        directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"]
    )
    return Path(built)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("merchant")
    # Installed from outside, by this environment's pip: there, not even pip is beside the package.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], check=True)
    (site,) = (home / "venv" / "lib").glob("python*/site-packages")
    for name in NEEDED:
        found = distribution(name)
        for file in found.files or ():
            if not file.parts[0].startswith("..") and "__pycache__" not in file.parts:
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(found.locate_file(file)), target)
    python = home / "venv" / "bin" / "python"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps",
         "--quiet", "--disable-pip-version-check", str(wheel)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Installed(wheel, python, home)


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_needs_cryptography_alone(metadata: Message) -> None:
    assert ["cryptography>=50"] == metadata.get_all("Requires-Dist")
    assert ">=3.11" == metadata["Requires-Python"]


def test_the_wheel_holds_every_module_of_the_package_under_its_public_name_and_nothing_else(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    ours = [
        "countermark/" + file.relative_to(ROOT / "signing").as_posix()
        for file in (ROOT / "signing").rglob("*")
        if file.is_file() and file.suffix in {".py", ".typed", ".sh", ".txt"}
    ]

    assert sorted(ours) == sorted(names)
    assert "countermark/py.typed" in names


def test_the_package_signs_and_verifies_there(installed: Installed) -> None:
    code = (
        "import countermark as c, time\n"
        "key = c.SigningKey.generate('ecdsa-p256-sha256')\n"
        "request = c.Request('GET', 'https://pay.example/v1/payments', (), None)\n"
        "fields = c.sign_request(request, key, now=int(time.time()), nonce='n' * 32)\n"
        "signed = c.parse_request(request.with_headers(fields), origins=frozenset({'https://pay.example'}))\n"
        "print(c.verify_request(signed, key.verifying_key, now=int(time.time())).key_id == key.key_id)\n"
    )
    done = installed.run("-c", code)

    assert ("True\n", "") == (done.stdout, done.stderr)


def test_every_module_that_needs_no_foreign_library_loads_there(installed: Installed) -> None:
    code = (
        "import importlib, pkgutil, countermark\n"
        "for each in pkgutil.walk_packages(countermark.__path__, 'countermark.'):\n"
        "    if each.name.rpartition('.')[2] != '__main__':\n"
        "        try:\n"
        "            importlib.import_module(each.name)\n"
        "        except ModuleNotFoundError as error:\n"
        "            print(each.name, error.name)\n"
        "print(len(countermark.__all__) == len([getattr(countermark, n) for n in countermark.__all__]))\n"
    )
    done = installed.run("-c", code)

    assert "" == done.stderr
    assert [
        "countermark.adapters.aiohttp_middleware aiohttp",
        "countermark.adapters.aiohttp_transport aiohttp",
        "countermark.adapters.httpx_auth httpx",
        "countermark.adapters.httpx_transport httpx",
        "True",
    ] == sorted(done.stdout.split("\n"), key=lambda line: (line == "True", line))[1:]


def test_nothing_is_installed_under_the_generic_name(installed: Installed) -> None:
    done = installed.run("-c", "import signing")

    assert "ModuleNotFoundError: No module named 'signing'" in done.stderr


@pytest.mark.parametrize("as_module", [False, True])
def test_the_command_works_there(installed: Installed, as_module: bool) -> None:
    command = [str(installed.python.parent / "countermark")]
    if as_module:
        command = [str(installed.python), "-I", "-m", "countermark"]
    helped = subprocess.run(
        [*command, "--help"], cwd=installed.home, capture_output=True, text=True, check=False
    )
    refused = subprocess.run(
        [*command, "explain", "absent"], cwd=installed.home, capture_output=True, text=True, check=False
    )
    name = "python -m countermark" if as_module else "countermark"

    assert (0, 2) == (helped.returncode, refused.returncode)
    assert helped.stdout.startswith(f"usage: {name} [-h] COMMAND")
    assert "absent" in refused.stderr


def test_a_key_is_made_and_signs_there(installed: Installed) -> None:
    command = str(installed.python.parent / "countermark")
    for arguments in (
        ["keygen", "--out", "key.pem"],
        ["sign", "--key", "key.pem", "--url", "https://pay.example/v1/payments", "--json"],
    ):
        done = subprocess.run(
            [command, *arguments], cwd=installed.home, capture_output=True, text=True, check=True
        )
    (installed.home / "request.json").write_text(done.stdout)
    verified = subprocess.run(
        [command, "verify", "request.json", "--public-key", "key.jwk.json"],
        cwd=installed.home, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (0, True) == (verified.returncode, "verified" in verified.stderr)
