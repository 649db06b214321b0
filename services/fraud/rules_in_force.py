"""The rules in force: verified, adopted in the journal, and read again whenever the file is another one.

A file that is refused changes nothing: the rules before it stay in force, the refusal is logged once and
shown as a metric until somebody has acted. Adoption and screening never overlap in one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from services.fraud import counters
from services.fraud.errors import FraudError, RulesMalformed
from services.fraud.evaluation import PreparedRules
from services.fraud.rule_file import SIGNATURE_LINE_BYTES_MAX, SignedRules, open_rules
from services.fraud.rules import RULES_BYTES_MAX
from services.fraud.store import Store
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from signing import VerifyingKey

LOOK_S = 0.5  # One `stat`; a new rule is wanted within seconds, not at once.

_NOT_LOOKED_AT = (-1, -1, -1)  # No file's mark: the next look reads.

_log = get_log("fraud.rules")


class RulesInForce:
    """Watches one file.

    Args:
        path: The signed rules.
        trusted: Who may sign them.
        store: Where adopted rules are kept.

    Attributes:
        turn: Held while a batch is decided, and while rules are adopted.
        signed, prepared: What is decided by; only meaningful once `adopted`.
        adopted: Whether the journal knows them as the newest; until then nothing is decided.

    Raises:
        RulesUnsigned, RulesMalformed: The file cannot be used; the service does not start.
    """

    def __init__(self, path: Path, trusted: Sequence[VerifyingKey], store: Store) -> None:
        self._path = path
        self._trusted = trusted
        self._store = store
        self._looked_at = _mark(path)
        self.turn = asyncio.Lock()
        self.signed = read_rules(path, trusted)
        self.prepared = PreparedRules(self.signed.pack)
        self.adopted = False

    async def adopt_first(self) -> None:
        """Adopt what was read at the start; waits for the database as long as it is away.

        Raises:
            RulesRolledBack: Newer rules have been used; the service does not start.
        """
        while not self.adopted:
            try:
                await self._adopt(self.signed)
            except DATABASE_AWAY as fault:
                _log.warning("the rules wait for the database", fault=type(fault).__name__)
                await asyncio.sleep(LOOK_S)

    def doubt(self) -> None:
        """Note that the journal knows newer rules: this worker is not ready until it has read them, too."""
        self.adopted = False
        self._looked_at = _NOT_LOOKED_AT

    async def run(self) -> None:
        """Look at the file for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look once, and adopt what is new."""
        mark = _mark(self._path)
        if mark == self._looked_at:
            return
        try:
            signed = read_rules(self._path, self._trusted)
            await self._adopt(signed)
        except FraudError as refusal:
            counters.RULES_REFUSED.set(1)
            _log.error(
                "rules are refused, those before stay in force", code=refusal.code, reason=str(refusal)
            )
        except DATABASE_AWAY as fault:
            _log.warning("new rules wait for the database", fault=type(fault).__name__)
            return
        self._looked_at = mark

    async def _adopt(self, signed: SignedRules) -> None:
        prepared = PreparedRules(signed.pack)
        async with self.turn:
            new = await self._store.adopt(signed)
            self.signed, self.prepared, self.adopted = signed, prepared, True
        counters.RULES_VERSION.set(signed.pack.version)
        counters.RULES_REFUSED.set(0)
        _log.info("rules are in force", rules=signed.label, signer=signed.signer, new=new)


def read_rules(path: Path, trusted: Sequence[VerifyingKey]) -> SignedRules:
    """Read and verify one file of rules.

    Raises:
        RulesUnsigned, RulesMalformed: It cannot be used; or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            document = file.read(RULES_BYTES_MAX + SIGNATURE_LINE_BYTES_MAX + 1)
    except OSError as fault:
        raise RulesMalformed(f"{path} cannot be read: {fault.strerror}") from fault
    return open_rules(document, trusted)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Tells one state of the file from another; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
