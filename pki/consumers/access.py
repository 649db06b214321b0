"""How the rotation reaches consumers: with its own leaf, against the trust bundle that each one has now.

Lives here: the paths in the certificate tree that adapters need, read anew for each look. A serial alone
could be a stranger's, so nobody is asked anything before its chain and SPIFFE id were verified.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pki.errors import ConsumerAway
from pki.identity import WorkloadIdentity, spiffe_id
from pki.tls import client_context

# The workload whose leaf `python -m pki` connects with; every hop that admits it is declared in the mesh.
ROTATION: Final = "pki"
# One question and its answer take milliseconds; a look must stay quick even if somebody is stuck.
QUESTION_S_MAX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Access:
    """What every adapter of one deployment shares.

    Attributes:
        certs: the certificate tree.
        processes_file: the supervisor's record of process ids.
    """

    certs: Path
    trust_domain: str
    processes_file: Path

    def identity(self, name: str) -> WorkloadIdentity:
        """The identity that a consumer must prove."""
        return WorkloadIdentity(self.trust_domain, name)

    def trust_of(self, name: str) -> bytes:
        """Return the roots of the workload's current generation, PEM.

        Raises:
            ConsumerAway: it has no generation that we can read.
        """
        try:
            return (self.certs / "live" / name / "current" / "trust.pem").read_bytes()
        except OSError as fault:
            raise ConsumerAway(
                f"its trust bundle cannot be read ({fault.strerror}): run `python -m pki status`"
            ) from fault

    def context_to(self, name: str) -> ssl.SSLContext:
        """Return a context that presents the rotation's own leaf and accepts nobody but `name`.

        Raises:
            GenerationError: the rotation's own generation is not usable.
        """
        own = self.certs / "live" / ROTATION / "current"
        return client_context(own, expect=frozenset({spiffe_id(name, self.trust_domain)}))
