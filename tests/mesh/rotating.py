"""Operators' commands against the running stack of the tests, and payments while they run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from compose.launcher.root_custody import SHARES_FOLDER, provide_passphrase
from compose.launcher.stack import Stack
from tests.bench.payment_load import Load, PaymentLoad
from tests.mesh.enrolled_merchant import EnrolledMerchant

ROOT = Path(__file__).parents[2]
COMMAND_S_MAX = 120.0
RATE_PER_S = 20.0


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


async def pki(stack: Stack, *words: str, opens_root: bool = False) -> Ran:
    """Run `python -m pki` as an operator would, secrets through descriptors alone."""
    secrets = [provide_passphrase(stack.layout, initialised=True)]
    if opens_root:
        folder = stack.layout.secrets / SHARES_FOLDER
        secrets += [(folder / f"share-{number}-of-3.txt").read_bytes() for number in (1, 3)]
    readers = [_pipe(secret) for secret in secrets]
    arguments = ["--passphrase-fd", str(readers[0]), *(f"--share-fd={reader}" for reader in readers[1:])]
    try:
        return await _run(stack, [*words, *arguments], readers)
    finally:
        for reader in readers:
            os.close(reader)


async def read(stack: Stack, *words: str) -> Ran:
    """Run a command that opens nothing."""
    return await _run(stack, list(words), [])


async def _run(stack: Stack, words: list[str], descriptors: list[int]) -> Ran:
    places = ["--certs", str(stack.layout.certs), "--deployment", str(stack.layout.run / "deployment.json")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pki", *words, *places, cwd=ROOT, pass_fds=descriptors,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(COMMAND_S_MAX):
        out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


def _pipe(secret: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, secret)
    os.close(writer)
    return reader


class Paying:
    """Payments at an even rate for the length of a context; `load` holds what became of them."""

    def __init__(self, merchant: EnrolledMerchant) -> None:
        self._payments = PaymentLoad(merchant, RATE_PER_S)
        self._task: asyncio.Task[None] | None = None

    @property
    def load(self) -> Load:
        return self._payments.load

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._payments.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._payments.stop()
        assert self._task is not None
        await self._task
