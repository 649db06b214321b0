"""The stages of a rotation, and the state of the authority in each. Pure.

The order is the one in which no peer ever meets a certificate that it does not trust yet: trust both → issue
from the new → wait for connections of before to end → trust the new alone → retire. Bundles change first on
the way in and last on the way back. Once the old is no longer trusted there is no way back: adding it again
would be a rotation of its own. Source: SPIRE's prepare/activate/taint/revoke; Linkerd's documented order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pki.authority_state import AuthorityState, Rotation
from pki.errors import RotationFault


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage.

    Attributes:
        name: as in the state file and the ledger.
        does: what happens in it, for people, as an imperative sentence.
        confirmed_by: what must be observed before the next one.
        revertible: `--rollback` can begin here.
    """

    name: str
    does: str
    confirmed_by: str
    revertible: bool = True


_BOTH = Stage(
    "trust-both",
    "publish trust bundles and revocation lists of the old and the new authority to every workload",
    "every listener accepts a client of the old and of the new issuer, every process has loaded the bundle",
)
_NEW = Stage(
    "issue-new",
    "issue every leaf from the new intermediate",
    "every listener and every client presents its new leaf",
)
_DRAIN = Stage(
    "drain",
    "wait until connections that were opened with the old leaves have ended",
    "the connection age has passed, and no process or database session shows the old issuer",
)
_ONLY = Stage(
    "trust-new",
    "publish bundles without the old authority",
    "every listener refuses a client of the old issuer and accepts one of the new",
    revertible=False,
)
_RETIRE = Stage(
    "retire", "destroy the old keys; keep certificates and last revocation lists", "", revertible=False
)
_AUTHORITY_STAGES = (_BOTH, _NEW, _DRAIN, _ONLY, _RETIRE)
_LEAF_STAGES = (
    Stage("issue-new", "issue new leaves, each with a new key", _NEW.confirmed_by, revertible=False),
    Stage("retire", "destroy the keys of before", "", revertible=False),
)
_BACK = (
    Stage("issue-old", "issue every leaf from the old intermediate again", _NEW.confirmed_by),
    Stage("drain-back", _DRAIN.does.replace("old", "new"), _DRAIN.confirmed_by.replace("old", "new")),
    Stage(
        "trust-old", "publish bundles without the new authority", _ONLY.confirmed_by.replace("old", "other")
    ),
    Stage("discard", "destroy the new keys, which nobody trusts any more", ""),
)


def called(kind: str) -> str:
    """Return a rotation's kind in a sentence: "an intermediate rotation"."""
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind} rotation"


def stages(kind: str, *, reverting: bool = False) -> tuple[Stage, ...]:
    """Return the stages of a rotation, in order."""
    if reverting:
        return _BACK
    return _LEAF_STAGES if kind == "leaf" else _AUTHORITY_STAGES


def remaining(rotation: Rotation) -> tuple[Stage, ...]:
    """Return the stage under way and those after it.

    Raises:
        RotationFault: the state names a stage that this code does not know.
    """
    found = stages(rotation.kind, reverting=rotation.reverting)
    for index, stage in enumerate(found):
        if stage.name == rotation.stage:
            return found[index:]
    raise RotationFault(
        f"the state names stage {rotation.stage!r} of a {rotation.kind} rotation, which this version does "
        "not know: use the version that began it"
    )


def state_in(state: AuthorityState, rotation: Rotation) -> AuthorityState:
    """Return the state that a stage of a rotation works towards; the same again if it is that already."""
    old_roots, new_roots = (rotation.old_root,), (rotation.new_root,)
    both_roots = tuple(dict.fromkeys((*old_roots, *new_roots)))
    both = tuple(dict.fromkeys((rotation.old_issuer, rotation.new_issuer)))
    match rotation.stage:
        case "trust-both":
            issuer, trust, intermediates = rotation.old_issuer, both_roots, both
        case "issue-new" | "drain":
            issuer, trust, intermediates = rotation.new_issuer, both_roots, both
        case "issue-old" | "drain-back":
            issuer, trust, intermediates = rotation.old_issuer, both_roots, both
        case "trust-new" | "retire":
            issuer, trust, intermediates = rotation.new_issuer, new_roots, (rotation.new_issuer,)
        case _:  # trust-old, discard
            issuer, trust, intermediates = rotation.old_issuer, old_roots, (rotation.old_issuer,)
    return replace(state, issuer=issuer, trust=trust, intermediates=intermediates, rotation=rotation)


def after(state: AuthorityState, rotation: Rotation) -> AuthorityState:
    """Return the state when the rotation's stage is done: its next stage, or no rotation any more."""
    left = remaining(rotation)[1:]
    if not left:
        return replace(state_in(state, rotation), rotation=None)
    return state_in(state, replace(rotation, stage=left[0].name))


def reverted(rotation: Rotation) -> Rotation:
    """Return the rotation on its way back.

    Raises:
        RotationFault: it is past the point from which there is a way back.
    """
    if rotation.reverting:
        return rotation
    stage = remaining(rotation)[0]
    if not stage.revertible:
        raise RotationFault(
            f"{called(rotation.kind)} cannot go back from stage {stage.name}: finish it with --resume"
            + (", then rotate again" if rotation.kind != "leaf" else "")
        )
    return replace(rotation, stage=_BACK[0].name, reverting=True)
