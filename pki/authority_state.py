"""What a certificate tree is an authority for, and the rotation that is under way: one small JSON file. Pure.

The state alone says what every generation must hold: which intermediate signs, which roots are trusted, whose
revocation lists go along. A rotation moves the state one stage at a time and then brings the files to it, so
whoever is killed anywhere leaves a state from which the same command goes on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pki.errors import IdentityError, TreeError
from pki.identity import require_name, require_trust_domain

STATE_VERSION = 2
# A state names a few dozen workloads and authorities; anything much larger is not ours and is not parsed.
STATE_BYTES_MAX = 256 * 1024
ROTATION_KINDS = ("leaf", "intermediate", "root")
_AUTHORITY = re.compile(r"(?:root|intermediate)-\d{8}-[0-9a-f]{8}", re.ASCII)
_STAGE = re.compile(r"[a-z]+(?:-[a-z]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rotation:
    """One rotation under way.

    Attributes:
        kind: "leaf", "intermediate" or "root".
        stage: the stage that is being carried out; see `pki.rotation.plan`.
        began: ISO 8601, UTC.
        names: workloads that get a new leaf.
        replaced: their serial numbers (hex) when it began; who still presents one of these is not done.
        old_issuer: intermediate that signed before.
        new_issuer: intermediate that signs after; the same for a leaf rotation.
        old_root: root that was trusted before.
        new_root: root that is trusted after; the same unless the root rotates.
        reverting: it is on its way back.
    """

    kind: str
    stage: str
    began: str
    names: tuple[str, ...]
    replaced: tuple[str, ...]
    old_issuer: str
    new_issuer: str
    old_root: str
    new_root: str
    reverting: bool = False


@dataclass(frozen=True, slots=True)
class AuthorityState:
    """What the tree is an authority for.

    Attributes:
        trust_domain: of every certificate in the tree.
        issuer: id of the intermediate that signs leaves.
        trust: ids of the roots in the trust bundle, in bundle order.
        intermediates: ids of those whose leaves may be met, the issuer included.
        rotation: what is under way; None if nothing is.
    """

    trust_domain: str
    issuer: str
    trust: tuple[str, ...]
    intermediates: tuple[str, ...]
    rotation: Rotation | None = None

    @property
    def listed(self) -> tuple[str, ...]:
        """The authorities whose revocation lists every peer must have, in the order of the bundle."""
        return (*self.trust, *self.intermediates)


def is_authority_id(text: str) -> bool:
    """Say whether this is the id of an authority, which is also the name of its folder."""
    return _AUTHORITY.fullmatch(text) is not None


def format_state(state: AuthorityState) -> bytes:
    """Return the file's bytes."""
    rotation = state.rotation
    fields: dict[str, Any] = {
        "version": STATE_VERSION,
        "trust_domain": state.trust_domain,
        "issuer": state.issuer,
        "trust": list(state.trust),
        "intermediates": list(state.intermediates),
        "rotation": None
        if rotation is None
        else {name: getattr(rotation, name) for name in Rotation.__slots__},
    }
    return json.dumps(fields, indent=1).encode() + b"\n"


def parse_state(data: bytes, place: str) -> AuthorityState:
    """Parse the file's bytes; a file of version 1, which knew no rotations, is one without any.

    Args:
        data: of the file.
        place: its path, for the sentence of a refusal.

    Raises:
        TreeError: the file is not one of ours.
    """
    try:
        if len(data) > STATE_BYTES_MAX:
            raise ValueError("too long")
        fields = json.loads(data)
        version = fields["version"]
        if version not in (1, STATE_VERSION):
            raise TreeError(f"{place} is of version {version}; this code knows 1 to {STATE_VERSION}")
        if type(version) is not int:
            raise ValueError("the version is no number")
        issuer = _authority(fields["issuer"], "intermediate")
        intermediates = (issuer,) if version == 1 else _authorities(fields["intermediates"], "intermediate")
        if issuer not in intermediates:
            raise ValueError("the issuer's list is distributed to nobody")
        return AuthorityState(
            require_trust_domain(fields["trust_domain"]),
            issuer,
            _authorities(fields["trust"], "root"),
            intermediates,
            None if version == 1 else _rotation(fields["rotation"]),
        )
    except (IdentityError, ValueError, KeyError, TypeError, RecursionError, AttributeError) as fault:
        raise TreeError(f"{place} is damaged: restore it from a backup") from fault


def _rotation(fields: dict[str, Any] | None) -> Rotation | None:
    if fields is None:
        return None
    if fields.keys() != set(Rotation.__slots__) or fields["kind"] not in ROTATION_KINDS:
        raise ValueError("not a rotation")
    if type(fields["reverting"]) is not bool or _STAGE.fullmatch(fields["stage"]) is None:
        raise ValueError("not a rotation")
    return Rotation(
        kind=fields["kind"],
        stage=fields["stage"],
        began=str(fields["began"]),
        names=tuple(require_name(name) for name in _listed(fields["names"])),
        replaced=tuple(str(serial) for serial in _listed(fields["replaced"])),
        old_issuer=_authority(fields["old_issuer"], "intermediate"),
        new_issuer=_authority(fields["new_issuer"], "intermediate"),
        old_root=_authority(fields["old_root"], "root"),
        new_root=_authority(fields["new_root"], "root"),
        reverting=fields["reverting"],
    )


def _authority(text: str, role: str) -> str:
    # A root in an intermediate's place would be destroyed when that is retired.
    if not is_authority_id(text) or not text.startswith(f"{role}-"):
        raise ValueError(f"not the id of a {role}")
    return text


def _authorities(entries: object, role: str) -> tuple[str, ...]:
    found = tuple(_authority(entry, role) for entry in _listed(entries))
    if not found or len(set(found)) != len(found):
        raise ValueError(f"none or one twice of {role}")
    return found


def _listed(entries: object) -> list[str]:
    if not isinstance(entries, list):
        raise TypeError("not a list")
    return entries
