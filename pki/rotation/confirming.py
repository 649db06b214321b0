"""Bringing consumers to what the files say, and waiting until it was observed.

`settle` is the one way in which anything becomes confirmed: load, look, look again until nothing is left or
the time is up. Who is still unconfirmed then is named, and nothing goes on.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from cryptography import x509

from pki.consumers.contract import Expectation, Unconfirmed, Use
from pki.errors import TreeError, UnconfirmedConsumers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pki.certificate_files import CertificateTree
    from pki.consumers.contract import Fleet

# A process looks at its link four times a second, and a busy host is slow: this is patience, not a duration.
CONFIRM_S_MAX = 30.0
LOOK_EVERY_S = 0.1
# On two cores twenty processes that load at once delay payments by 250 ms, two by nothing that was seen.
WORKLOADS_PER_WAVE = 2
# Most are confirmed at the second look; only what takes longer is news.
TELL_AFTER_S = 1.0
# A sentence that names forty consumers is read by nobody; the rest is in --json.
NAMED_MAX = 5


def present_uses(tree: CertificateTree, names: Iterable[str]) -> dict[str, Use]:
    """Return what each workload's current generation says it must be observed to use.

    Raises:
        TreeError: a generation is damaged; it must be issued again first.
    """
    uses = {}
    for name in names:
        found = tree.read_current(name)
        if found is None:
            continue
        _, generation = found
        try:
            leaf = x509.load_pem_x509_certificates(generation.chain)[0]
        except ValueError as fault:
            raise TreeError(
                f"the current generation of {name} holds no certificate: run `python -m pki issue {name}`"
            ) from fault
        uses[name] = Use(
            f"{leaf.serial_number:x}",
            hashlib.sha256(generation.trust).hexdigest(),
            hashlib.sha256(generation.crl).hexdigest(),
        )
    return uses


def settle(
    fleet: Fleet,
    expectation: Expectation | Callable[[], Expectation],
    *,
    load: Iterable[str],
    tell: Callable[[str, str], None],
    skipped: Mapping[str, str],
    next_step: str,
    wait_s_max: float = CONFIRM_S_MAX,
) -> None:
    """Load, then look until everything expected was observed.

    Args:
        fleet: the consumers.
        expectation: what must be seen; a function where files may change meanwhile.
        load: workloads whose consumers take their generation first; told again while they are unconfirmed.
        tell: progress, for people.
        skipped: workloads that an operator takes the responsibility for, with the reason.
        next_step: what to run when this is blocked, as an imperative sentence.
        wait_s_max: patience.

    Raises:
        UnconfirmedConsumers: naming who was not observed as expected, and as what.
    """
    began = time.monotonic()
    refused = [fault for fault in fleet.load(sorted(set(load))) if fault.name not in skipped]
    told = -1
    while True:
        wanted = expectation if isinstance(expectation, Expectation) else expectation()
        left = [fault for fault in fleet.unconfirmed(wanted) if fault.name not in skipped]
        if not left:
            return
        waited_s = time.monotonic() - began
        if waited_s > wait_s_max:
            raise UnconfirmedConsumers(blocked([*left, *refused], next_step), tuple(left))
        if waited_s > TELL_AFTER_S and len(left) != told:
            told = len(left)
            tell("confirm", f"{told} still to be confirmed, such as {left[0].name} ({left[0].place})")
        time.sleep(LOOK_EVERY_S)
        if refused:
            again = {fault.name for fault in refused}
            refused = [fault for fault in fleet.load(sorted(again)) if fault.name not in skipped]


def in_waves(
    fleet: Fleet,
    tree: CertificateTree,
    names: Sequence[str],
    publish: Callable[[Sequence[str]], object],
    *,
    tell: Callable[[str, str], None],
    skipped: Mapping[str, str],
    next_step: str,
) -> None:
    """Publish to a few workloads at a time, each wave seen in use before the next.

    Whoever takes a new generation builds its contexts and opens its connections anew. All at once that is a
    burst of work which those who pay can feel; a few at a time they cannot.

    Args:
        publish: brings these workloads' files to the state.

    Raises:
        UnconfirmedConsumers: somebody of a wave was not observed to follow; later waves were not published.
    """
    for start in range(0, len(names), WORKLOADS_PER_WAVE):
        wave = names[start : start + WORKLOADS_PER_WAVE]
        publish(wave)
        wanted = Expectation(present_uses(tree, wave))
        settle(fleet, wanted, load=wave, tell=tell, skipped=skipped, next_step=next_step)


def drain(
    fleet: Fleet,
    expectation: Expectation,
    *,
    since: float,
    tell: Callable[[str, str], None],
    skipped: Mapping[str, str],
    next_step: str,
) -> None:
    """Wait until connections of before have ended: the connection age, and whatever can be listed.

    Args:
        since: `time.monotonic()` of the moment from which every new connection used the new leaves.

    Raises:
        UnconfirmedConsumers: after the connection age, somebody still holds such a connection.
    """
    left_s = max(0.0, since + fleet.connection_age_s_max - time.monotonic())
    tell("drain", f"waiting {left_s:.0f} s for connections of before to end")
    time.sleep(left_s)  # the condition is this time itself: no peer can list Envoy's or Redis's connections
    settle(fleet, expectation, load=(), tell=tell, skipped=skipped, next_step=next_step)


def blocked(left: list[Unconfirmed], next_step: str) -> str:
    """Return the sentence that names who blocks."""
    named = "; ".join(f"{fault.name} ({fault.place}): {fault.reason}" for fault in left[:NAMED_MAX])
    more = f"; and {len(left) - NAMED_MAX} more" if len(left) > NAMED_MAX else ""
    consumers = len({fault.name for fault in left})
    return f"{consumers} consumers are not confirmed: {named}{more}. The mesh goes on as it is. {next_step}"
