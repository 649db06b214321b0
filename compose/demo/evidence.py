"""The merchant fetches the evidence of its payment, keeps it, and has it verified twice without the gateway.

Once by the package, once by the script in the bundle, which needs nothing but sh, openssl and coreutils.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from http import HTTPStatus
from pathlib import Path

from compose.demo.telling import StepFailed, tell
from compose.demo.wire import Wire
from signing import SigningKey
from signing.evidence.archive import unpack
from signing.evidence.bundle import folder_name
from signing.evidence.trust import parse_trust
from signing.evidence.verification import verify_bundle
from signing.evidence_command import script_arguments

BUNDLE_FILE = "evidence.tar.gz"
PENDING_TIMES_MAX = (
    15  # A checkpoint follows within a second; a machine that is still starting may need more.
)


async def prove(wire: Wire, key: SigningKey, payment_id: str, folder: Path, trust_keys: str) -> None:
    """Fetch a payment's evidence and verify it.

    Args:
        folder: Where the bundle is kept.
        trust_keys: The trusted public keys with their roles.

    Raises:
        StepFailed: It was not to be had, or the script refuses it.
    """
    bundle = await _download(wire, key, payment_id)
    trust = parse_trust(trust_keys.encode("ascii"))
    files = unpack(bundle)
    verified = verify_bundle(files, trust)
    (folder / BUNDLE_FILE).write_bytes(bundle)
    said = await _run_script(files, folder / folder_name(payment_id), script_arguments(trust))
    tell(
        "evidence",
        payment_id=payment_id,
        bundle_bytes=len(bundle),
        file=str(folder / BUNDLE_FILE),
        proven=[finding.what for finding in verified.findings if finding.proven],
        not_proven=[finding.what for finding in verified.findings if not finding.proven],
        script_said=said,
    )


async def _download(wire: Wire, key: SigningKey, payment_id: str) -> bytes:
    path = f"/v1/payments/{payment_id}/evidence"
    for _ in range(PENDING_TIMES_MAX):
        exchange = await wire.send(wire.sign(key, "GET", path))
        if exchange.response.status == HTTPStatus.OK:
            return exchange.response.body
        if exchange.response.status != HTTPStatus.CONFLICT:
            break
        await asyncio.sleep(float(exchange.header("retry-after")))
    raise StepFailed(f"the evidence was answered with {exchange.response.status}")


async def _run_script(files: dict[str, bytes], folder: Path, fingerprints: list[str]) -> list[str]:
    """Unpack, run the bundle's own script there, remove it again; return what the script said."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    try:
        script = await asyncio.create_subprocess_exec(
            "sh", "verify.sh", *fingerprints,
            cwd=folder, env={"PATH": os.defpath},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await script.communicate()
    finally:
        shutil.rmtree(folder)
    said = output.decode().splitlines()
    if script.returncode != 0:
        raise StepFailed(f"verify.sh refuses the evidence: {said[-1] if said else 'it said nothing'}")
    return said
