"""One look at one listener: the leaf it serves, whom it accepts, whom it refuses.

The good credentials come first: a refusal says something about a certificate only where, in the same look,
another certificate of the same peer was accepted; else the listener may be refusing everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pki.consumers.probing import Answer, ProbeContexts, look

if TYPE_CHECKING:
    from pki.consumers.access import Access
    from pki.consumers.contract import Credential, Expectation
    from pki.consumers.deployment import Listener


@dataclass(frozen=True, slots=True)
class ListenerLook:
    """What to find out about one listener.

    Attributes:
        name: the workload that serves it.
        serial: hex, of the leaf that it must serve; None leaves that open.
        accepted: credentials that it must accept.
        refused: credentials that it must refuse.
    """

    access: Access
    name: str
    listener: Listener
    serial: str | None
    accepted: tuple[Credential, ...]
    refused: tuple[Credential, ...]
    contexts: ProbeContexts

    @classmethod
    def plan(
        cls, access: Access, name: str, listener: Listener, expectation: Expectation, contexts: ProbeContexts
    ) -> ListenerLook:
        """Choose what this listener must be asked: nothing about CRLs where it cannot check any."""
        peer = listener.admits or ""
        refused = expectation.refused.get(peer, ())
        if listener.checks_crl:
            refused = (*refused, *expectation.refused_by_crl.get(peer, ()))
        accepted = expectation.accepted.get(peer, ())
        use = expectation.uses.get(name)
        return cls(access, name, listener, use.serial if use else None, accepted, refused, contexts)

    @property
    def asked(self) -> bool:
        """Whether there is anything to find out."""
        return self.serial is not None or bool(self.accepted or self.refused)

    @property
    def place(self) -> str:
        """Where it looks, for people."""
        return f"listener {self.listener.name}"

    def faults(self) -> Iterator[tuple[str, str]]:
        """Look, and yield place and reason of everything that is not as expected.

        Raises:
            ConsumerAway: the listener is away, or is not who it must be.
            GenerationError: a credential or the trust bundle is not usable.
        """
        served: set[str] = set()
        controls = 0
        for credential in self.accepted:
            answer = self._ask(credential, served)
            controls += answer is Answer.ACCEPTED
            if answer is not Answer.ACCEPTED:
                what = f"the certificate {credential.serial} of {self.listener.admits}"
                yield self.place, f"{what} {_PASSIVE[answer]}; it must be accepted"
        for credential in self.refused:
            what = f"the certificate {credential.serial} of {self.listener.admits}"
            answer = self._ask(credential, served)
            if answer is not Answer.REFUSED:
                yield self.place, f"{what} {_PASSIVE[answer]}; it must be refused"
            elif not controls:
                yield self.place, f"{what} was refused, which says nothing: no good one was accepted"
        if not served:
            self._ask(None, served)
        if self.serial is not None and served != {self.serial}:
            yield self.place, f"it serves {' and '.join(sorted(served))} instead of {self.serial}"

    def _ask(self, credential: Credential | None, served: set[str]) -> Answer:
        context = self.contexts.context(self.access.trust_of(self.name), credential)
        server = self.access.identity(self.name)
        sight = look(self.listener, server, context, ask=credential is not None)
        served.add(sight.serial)
        return sight.answer


_PASSIVE = {
    Answer.ACCEPTED: "was accepted",
    Answer.REFUSED: "was refused",
    Answer.SILENT: "was neither answered nor refused in time",
    Answer.NOT_ASKED: "was not judged",
}
