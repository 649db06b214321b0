"""Workload identities: one name, from which the SPIFFE id and the DNS name follow.

A workload called `gateway` in the trust domain `countermark.internal` is
`spiffe://countermark.internal/gateway` and `gateway.countermark.internal`. There is exactly one spelling of
each; anything else is refused, so that comparing identities is comparing strings. Source: SPIFFE-ID
standard §2, narrowed to one path segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pki.errors import IdentityError

TRUST_DOMAIN_DEFAULT = "countermark.internal"

# 31 characters keep the common name far under X.520's 64 and the DNS label under 63.
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# CA certificates carry the trust domain as organisation name, which X.520 ends at 64 characters.
TRUST_DOMAIN_LENGTH_MAX = 64
# One label alone ("internal") would make the CA's name constraint cover other people's names.
TRUST_DOMAIN_LABELS_MIN = 2
_SCHEME = "spiffe://"
# "spiffe://" + trust domain + "/" + name; a longer text is not looked at.
SPIFFE_ID_LENGTH_MAX = len(_SCHEME) + TRUST_DOMAIN_LENGTH_MAX + 1 + 31


def is_name(text: str) -> bool:
    """Say whether this is a workload name; see `require_name`."""
    return _NAME.fullmatch(text) is not None


def require_name(name: str) -> str:
    """Return the workload name unchanged.

    Raises:
        IdentityError: not `[a-z][a-z0-9-]{0,30}`, or ends in a hyphen (it must also be a DNS label).
    """
    if not is_name(name):
        raise IdentityError(
            f"{name[:64]!r} is not a workload name: use 1 to 31 of a-z, 0-9 and inner hyphens, a letter first"
        )
    return name


def require_trust_domain(trust_domain: str) -> str:
    """Return the trust domain unchanged.

    Raises:
        IdentityError: not a lower-case DNS name of at least two labels whose last starts with a letter.
    """
    labels = trust_domain.split(".")
    well_formed = (
        len(trust_domain) <= TRUST_DOMAIN_LENGTH_MAX
        and len(labels) >= TRUST_DOMAIN_LABELS_MIN
        and all(_LABEL.fullmatch(label) for label in labels)
        and labels[-1][0].isalpha()
    )
    if not well_formed:
        raise IdentityError(
            f"{trust_domain[:64]!r} is not a trust domain: "
            f"use a lower-case DNS name such as {TRUST_DOMAIN_DEFAULT}"
        )
    return trust_domain


def spiffe_id(name: str, trust_domain: str) -> str:
    """Return `spiffe://<trust domain>/<name>`.

    Raises:
        IdentityError: either part is not of our form.
    """
    return f"{_SCHEME}{require_trust_domain(trust_domain)}/{require_name(name)}"


def dns_name(name: str, trust_domain: str) -> str:
    """Return `<name>.<trust domain>`.

    Raises:
        IdentityError: either part is not of our form.
    """
    return f"{require_name(name)}.{require_trust_domain(trust_domain)}"


@dataclass(frozen=True, slots=True, order=True)
class WorkloadIdentity:
    """One workload of one trust domain; `str()` gives its SPIFFE id."""

    trust_domain: str
    name: str

    def __post_init__(self) -> None:
        require_trust_domain(self.trust_domain)
        require_name(self.name)

    @classmethod
    def parse(cls, text: str) -> WorkloadIdentity:
        """Parse a SPIFFE id; `str()` of the result is the text again, to the byte.

        Raises:
            IdentityError: not exactly `spiffe://<trust domain>/<name>`.
        """
        if len(text) > SPIFFE_ID_LENGTH_MAX or not text.startswith(_SCHEME):
            raise IdentityError(f"{text[:64]!r} is not a SPIFFE id: expected spiffe://<trust domain>/<name>")
        trust_domain, slash, name = text.removeprefix(_SCHEME).partition("/")
        if not slash:
            raise IdentityError(f"{text[:64]!r} names a trust domain, not a workload in it")
        return cls(trust_domain=trust_domain, name=name)

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}/{self.name}"

    @property
    def dns_name(self) -> str:
        """The name a client may ask for in SNI: `<name>.<trust domain>`."""
        return f"{self.name}.{self.trust_domain}"
