"""The code as the services see it: a copy that they can read and cannot write.

Started as root from a home directory that nobody else may enter, the services' accounts could not read
the checkout. So root publishes a release beside the data: libraries by hard link where possible, our code
by copy. An ordinary user's services run from the checkout itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("gateway", "signing", "pki", "services", "compose")
_SUFFIXES = (".py", ".sql", ".toml", ".typed", ".json", ".sh", ".txt")


@dataclass(frozen=True)
class Release:
    """What a process needs to run our code.

    Attributes:
        python: The interpreter.
        paths: PYTHONPATH, first entry first.
        libraries: The folder of installed packages, where Envoy and NATS come from.
    """

    python: Path
    paths: tuple[Path, ...]
    libraries: Path
    scripts: Path

    @property
    def envoy(self) -> Path:
        """Envoy's binary inside its wheel."""
        return self.libraries / "envoy" / "_bin" / "envoy"

    @property
    def nats_server(self) -> Path:
        """NATS's binary inside its wheel."""
        return self.scripts / "nats-server"


def checkout_root() -> Path:
    """The repository that this code was started from."""
    return Path(__file__).resolve().parents[2]


def find_release(data: Path) -> Release:
    """Return the release for this user: a published copy for root, the checkout for anybody else."""
    libraries = Path(sysconfig.get_paths()["purelib"])
    scripts = Path(sysconfig.get_paths()["scripts"])
    if os.geteuid() != 0:
        return Release(Path(sys.executable), (checkout_root(),), libraries, scripts)
    return _publish(data / "release", libraries, scripts)


def _publish(folder: Path, libraries: Path, scripts: Path) -> Release:
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    code = folder / f"code-{_digest_of_code()}"
    copied = folder / f"libraries-{_digest_of_libraries(libraries)}"
    if not copied.is_dir():
        _copy_libraries(libraries, scripts, copied)
    if not code.is_dir():
        _copy_code(code)
    for stale in set(folder.iterdir()) - {code, copied}:
        shutil.rmtree(stale, ignore_errors=True)
    # The venv's own interpreter may lie below the checkout; the one it was made from does not.
    return Release(Path(sys._base_executable), (code, copied), copied, copied / ".scripts")  # type: ignore[attr-defined]  # noqa: SLF001 - the documented way is a subprocess.


def _files_of_code() -> list[Path]:
    root = checkout_root()
    return sorted(
        file
        for package in PACKAGES
        for file in (root / package).rglob("*")
        if file.suffix in _SUFFIXES and "__pycache__" not in file.parts
    )


def _digest_of_code() -> str:
    digest = hashlib.sha256()
    for file in _files_of_code():
        digest.update(str(file.relative_to(checkout_root())).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _digest_of_libraries(libraries: Path) -> str:
    names = sorted(f"{entry.name} {entry.stat().st_mtime_ns}" for entry in libraries.glob("*.dist-info"))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _copy_code(target: Path) -> None:
    aside = target.with_name(target.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    root = checkout_root()
    for file in _files_of_code():
        copy = aside / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    _open_to_readers(aside)
    aside.rename(target)


def _copy_libraries(libraries: Path, scripts: Path, target: Path) -> None:
    aside = target.with_name(target.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(libraries, aside, symlinks=True, copy_function=_link_or_copy)
    (aside / ".scripts").mkdir()
    _link_or_copy(str(scripts / "nats-server"), str(aside / ".scripts" / "nats-server"))
    _open_to_readers(aside)
    aside.rename(target)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _open_to_readers(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            if not file.is_symlink():
                mode = file.stat().st_mode
                file.chmod(0o755 if mode & 0o100 else 0o644)
