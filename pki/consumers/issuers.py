"""The CAs that a set of key ids stands for, and everything below them, as PostgreSQL and the mesh name them.

Python peers name an issuer by its key id, PostgreSQL by its distinguished name: this is where the two meet.
Read from the CA certificates of the tree, which stay there after a CA was retired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from pki.issuance import key_id

if TYPE_CHECKING:
    from collections.abc import Collection

# PostgreSQL keeps a distinguished name in NAMEDATALEN bytes, one of which ends it.
POSTGRES_NAME_BYTES_MAX: Final = 63


@dataclass(frozen=True, slots=True)
class Issuers:
    """CAs below which no connection may be open.

    Attributes:
        key_ids: hex, of the CAs asked for and of all CAs that they issued.
        names: subject of each in PostgreSQL's form, `/O=.../CN=...`, cut as PostgreSQL cuts it.
    """

    key_ids: frozenset[str]
    names: frozenset[str]

    def include(self, *, name: str) -> bool:
        """Say whether a session's issuer, as PostgreSQL shows it, is one of them.

        A name that PostgreSQL has cut may be that of several CAs: it counts, for the safe side is to wait.
        """
        return name in self.names


def find_issuers(certs: Path, key_ids: Collection[str]) -> Issuers:
    """Find the CAs with these key ids in the tree, and the CAs below them."""
    found = set(key_ids)
    authorities = [
        x509.load_pem_x509_certificate(path.read_bytes())
        for path in sorted((certs / "ca").glob("*/cert.pem"))
        if not path.parent.name.startswith(".")
    ]
    # Twice is the depth of the hierarchy; once more costs nothing and lets the order of files not matter.
    for _ in range(3):
        found |= {key_id(ca) for ca in authorities if _issuer_key_id(ca) in found}
    names = {_postgres_name(ca.subject) for ca in authorities if key_id(ca) in found}
    return Issuers(frozenset(found), frozenset(names))


def _issuer_key_id(certificate: x509.Certificate) -> str:
    identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return identifier.key_identifier.hex() if identifier.key_identifier else ""


def _postgres_name(name: x509.Name) -> str:
    text = "".join(f"/{attribute.rfc4514_attribute_name}={attribute.value!s}" for attribute in name)
    return text.encode()[:POSTGRES_NAME_BYTES_MAX].decode(errors="ignore")
