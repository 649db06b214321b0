"""New generations for running processes: issued by the authority, or put together by hand."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

from cryptography import x509

from pki.authority import Owner
from tests.integration.postgres_server import ThrowAwayPki


def serial_of(identity: Path) -> str:
    """The serial that a report must show for the generation in force."""
    certificate = x509.load_pem_x509_certificate((identity / "cert.pem").read_bytes())
    return f"{certificate.serial_number:x}"


async def renew(pki: ThrowAwayPki, name: str) -> str:
    """Issue the next generation and return its serial; the loop goes on while the authority works."""
    key = (pki.identity(name) / "key.pem").stat()
    # Readable by the same account as before, where there is another one than ours.
    owner = Owner(key.st_uid, key.st_gid) if key.st_gid != os.getegid() else None
    await asyncio.to_thread(pki.issue, name, owners={name: owner})
    return serial_of(pki.identity(name))


def publish(identity: Path, **files: bytes) -> Path:
    """Put a copy of the generation in force with other contents behind it, as a rotation does.

    Args:
        identity: `live/<name>/current`.
        files: File name without `.pem` to its contents.
    """
    before = identity.resolve()
    number = max(int(folder.name[4:]) for folder in identity.parent.glob("gen-*")) + 1
    after = identity.parent / f"gen-{number:04d}"
    shutil.copytree(before, after, copy_function=_copy_owned)
    for name, content in files.items():
        (after / f"{name}.pem").write_bytes(content)
    aside = identity.parent / ".aside"
    aside.symlink_to(after.name)
    aside.rename(identity)
    return after


def _copy_owned(source: str, target: str) -> str:
    shutil.copyfile(source, target)
    status = Path(source).stat()
    os.chown(target, status.st_uid, status.st_gid)
    Path(target).chmod(stat.S_IMODE(status.st_mode))
    return target


def both(first: Path, second: Path) -> dict[str, bytes]:
    """Trust and CRLs of two generations together, as in the middle of a root's rotation."""
    joined = {}
    for name in ("trust", "crl"):
        parts = [folder / f"{name}.pem" for folder in (first, second)]
        if all(part.exists() for part in parts):
            joined[name] = b"".join(part.read_bytes() for part in parts)
    return joined


def alone(generation: Path) -> dict[str, bytes]:
    """Everything of one generation: the leaf, its key, its trust and CRLs."""
    return {path.stem: path.read_bytes() for path in generation.glob("*.pem")}
