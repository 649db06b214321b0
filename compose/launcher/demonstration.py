"""Let a merchant go through its whole story against the running stack, and check it from the operator's side.

The merchant is a process of its own under an account of its own. What it says is collected as facts; the
bank is asked, over its own mutual TLS, how often it really charged.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from compose.demo.receiver import PATH
from compose.derive.configuration import CONFIG_FILE
from compose.derive.process_config import TRUST_KEYS_FILE
from compose.launcher.accounts import command_as
from compose.launcher.errors import EXIT_FAILED, StartError
from compose.launcher.followed_bundle import FollowedBundle
from compose.launcher.layout import own_folder
from compose.launcher.mesh_request import get_as_supervisor
from compose.launcher.ports import LOOPBACK
from compose.launcher.process_spec import python_environment
from compose.launcher.stack import DEMO_MERCHANT, RECEIVER, Stack

STORY_S_MAX = 60.0  # The merchant's own deadlines are shorter; this one ends a story that hangs.
LINE_BYTES_MAX = 64 * 1024  # One fact is one line of a few hundred bytes.
CURRENCY = "EUR"
TRUST_FILE = "gateway-authority.pem"

Fact = dict[str, Any]


class Demonstration:
    """One merchant and what it told; `tell` is called with each fact as it happens."""

    def __init__(self, stack: Stack, tell: Callable[[Fact], None]) -> None:
        self._stack = stack
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self.facts: list[Fact] = []

    async def run(self, *, stay: bool) -> None:
        """Go through the story.

        Args:
            stay: Leave the merchant running, receiving webhooks, until `close`.

        Raises:
            StartError: A step did not hold; the message says which.
        """
        enrolled = await self._enrol()
        self._fact(
            {"step": "token", "merchant_id": enrolled["merchant_id"], "accounts": enrolled["accounts"]}
        )
        process = await self._start_merchant(enrolled, stay=stay)
        try:
            async with asyncio.timeout(STORY_S_MAX):
                await self._listen_until(process, "evidence")
        except TimeoutError as fault:
            raise StartError("the demonstration did not end in time; see log/", EXIT_FAILED) from fault
        payment_id = self.facts[-1]["payment_id"]
        charges = await self.charges(payment_id)
        if charges != 1:
            raise StartError(f"the banks charged {charges} times for one payment", EXIT_FAILED)
        self._fact({"step": "charged", "payment_id": payment_id, "charges": charges})
        if stay:
            self._listening = asyncio.create_task(self._listen(process))

    async def charges(self, payment_id: str) -> int:
        """How many charges all banks together made for a payment."""
        total = 0
        for bank in self._stack.mesh.parties_of("banks"):
            path = f"/v1/statement?end_to_end_id={quote(payment_id)}"
            answer = await get_as_supervisor(self._stack.mesh, self._stack.places, f"{bank}.app", bank, path)
            total += len(json.loads(answer)["lines"])
        return total

    async def close(self) -> None:
        """End the merchant."""
        for task in (self._listening, self._following):
            if task is not None:
                task.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def _enrol(self) -> dict[str, Any]:
        """As the operator: make a merchant, and a token for its first key."""
        stack = self._stack
        webhook = f"https://{LOOPBACK}:{stack.ports[RECEIVER]}{PATH}"
        argv = [
            str(stack.release.python), "-m", "gateway.operator",
            "--config", str(stack.places.run / "operator" / CONFIG_FILE),
            "enrol", "--name", "Demonstration Merchant", "--currency", CURRENCY,
            "--webhook-url", webhook, "--json",
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command_as(stack.accounts["operator"], argv, parent_death_signal="TERM"),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self._environment(), cwd="/",
        )  # fmt: skip
        output, faults = await process.communicate()
        if process.returncode != 0:
            raise StartError(f"the merchant could not be enrolled: {_last_line(faults)}", EXIT_FAILED)
        enrolled: dict[str, Any] = json.loads(output)
        return enrolled

    async def _start_merchant(self, enrolled: dict[str, Any], *, stay: bool) -> asyncio.subprocess.Process:
        stack, account = self._stack, self._stack.accounts[DEMO_MERCHANT]
        folder = stack.layout.run / DEMO_MERCHANT
        own_folder(folder, account, writable=False)
        bundle = FollowedBundle(
            stack.places.identity("supervisor") / "trust.pem", folder / TRUST_FILE, account
        )
        bundle.publish()
        self._following = asyncio.create_task(bundle.follow())
        brief = {
            "origin": stack.places.origins[0],
            "address": LOOPBACK,
            "trust_file": str(folder / TRUST_FILE),
            "folder": str(stack.layout.state / DEMO_MERCHANT),
            "webhook_port": stack.ports[RECEIVER],
            "merchant_id": enrolled["merchant_id"],
            "enrolment_token": enrolled["enrolment_token"],
            "trust_keys": (stack.layout.run / TRUST_KEYS_FILE).read_text(encoding="ascii"),
            "stay": stay,
        }
        argv = [str(stack.release.python), "-m", "compose.demo.merchant"]
        with (stack.layout.log / f"{DEMO_MERCHANT}.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command_as(account, argv, parent_death_signal="TERM"),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                env=self._environment(), cwd="/", limit=LINE_BYTES_MAX, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(brief).encode())
        self._process.stdin.close()
        return self._process

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **python_environment(self._stack.release)}

    async def _listen_until(self, process: asyncio.subprocess.Process, step: str) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._fact(json.loads(line))
            if self.facts[-1]["step"] == step:
                return
        await process.wait()
        log = self._stack.layout.log / f"{DEMO_MERCHANT}.log"
        raise StartError(f"the demonstration stopped: {_last_line(log.read_bytes())}", EXIT_FAILED)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._fact(json.loads(line))

    def _fact(self, fact: Fact) -> None:
        self.facts.append(fact)
        self._tell(fact)


def _last_line(text: bytes) -> str:
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing"
