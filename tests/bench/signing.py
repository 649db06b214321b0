"""Requests and receipts, signed and verified: the bare primitive, this library, and others from PyPI."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from signing import Algorithm
from signing.keys import ALGORITHMS
from tests.bench import signing_contenders as contenders
from tests.bench.report import Report, Target, shown
from tests.bench.rounds import METHOD, Contender, ratio, run_rounds

_QUICK_S: Final = 30  # ends within 50 s on a loaded host
_WHOLE_S: Final = 120  # the packages that read the clock themselves accept a signature for 300 s
_RAW: Final = "cryptography, bare call"
_OURS: Final = "this library"
_HMS: Final = "http-message-signatures"
_JWT: Final = "PyJWT (JWS)"
# Beyond reach with Ed25519 while the bare call is itself only about 3.1 times as fast as that package.
_RATIO_TO_HMS_MIN: Final = 3.5
_RATIOS_TO_RAW_MIN: Final[dict[tuple[Algorithm, str], float]] = {
    ("ed25519", "verify"): 0.90,
    ("ecdsa-p256-sha256", "verify"): 0.80,
    ("ed25519", "sign"): 0.85,
    ("ecdsa-p256-sha256", "sign"): 0.75,
}
_WHAT: Final = (
    f"A POST of {contenders.BODY_BYTES} bytes of JSON, five covered components; key objects loaded before.",
    f"{contenders.REQUESTS} distinct requests a turn, {contenders.REQUESTS_OF_THE_SLOW} for the slowest.",
    "Bare call: sign(base) and verify(signature, base) of cryptography on the same signature base; for P-256",
    "with an ECDSA(SHA256()) made before, sign yields DER and verify is given DER made before.",
    "This library: sign is sign_request, a Request to its header fields; verify is Request, parse_request",
    "and verify_request, from the received parts to VerifiedRequest, the body's digest recomputed.",
    "http-message-signatures: same components, parameters and label, digest of the body made and checked,",
    "age and expiry checked. PyJWT: a JWS of the body, our claims in its protected header, times checked.",
    "Receipts: sign_receipt from a parsed request and its answer; verify_receipt from request and answer as",
    "received, both digests recomputed; their bare calls are on the receipts' own bases.",
)


@dataclass(frozen=True, slots=True)
class _Race:
    alg: Algorithm
    operation: str  # "sign", "verify", and the same of receipts
    field: list[Contender]  # the bare call first, this library second


def measure(*, quick: bool) -> Report:
    """Measure everything at once."""
    now = int(time.time())
    races = [race for alg in ALGORITHMS for race in _races(alg, now)]
    rounds = run_rounds([race.field for race in races], seconds=_QUICK_S if quick else _WHOLE_S)
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {"rounds": float(rounds)}
    for race in races:
        raw, ours = race.field[0], race.field[1]
        prefix = f"{race.alg.replace('-', '_')}_{race.operation}"
        for contender in race.field:
            to_raw = ratio(contender, raw)
            ours_to_it = ratio(ours, contender)
            median_us = contender.median_ns() / 1000
            rows.append(
                (
                    f"{race.alg} {race.operation}",
                    contender.name,
                    f"{median_us:.1f}",
                    shown(1e6 / median_us),
                    str(to_raw) if contender is not raw else "1",
                    str(ours_to_it) if contender is not ours else "1",
                )
            )
            key = f"{prefix}_{_KEYS[contender.name]}"
            figures[f"{key}_us_per_operation"] = round(median_us, 3)
            figures[f"{key}_operations_per_cpu_s"] = round(1e6 / median_us, 1)
            if contender is not raw:
                for name, value in (("low", to_raw.low), ("median", to_raw.median), ("high", to_raw.high)):
                    figures[f"{key}_to_bare_{name}_ratio"] = round(value, 4)
            if contender is not ours:
                figures[f"{prefix}_ours_to_{_KEYS[contender.name]}_median_ratio"] = round(
                    ours_to_it.median, 4
                )
        hms = next((each for each in race.field if each.name == _HMS), None)
        if hms is not None:
            figures[f"{prefix}_bare_to_hms_median_ratio"] = round(ratio(raw, hms).median, 4)
    return Report(
        benchmark="signing",
        method=(*_WHAT, *METHOD, f"{rounds} rounds."),
        columns=(
            "",
            "contender",
            "µs",
            "op/s",
            "of the bare call [10 % 90 %]",
            "this library is × [10 % 90 %]",
        ),
        rows=rows,
        figures=figures,
        targets=_targets(),
    )


_KEYS: Final = {_RAW: "bare", _OURS: "ours", _HMS: "hms", _JWT: "pyjwt"}


def _races(alg: Algorithm, now: int) -> list[_Race]:
    keys, payments = contenders.new_keys(alg), contenders.new_payments()
    requests = contenders.signed_requests(keys, payments, now)
    claims = contenders.claims_of(requests)
    of_requests = {
        _RAW: contenders.primitive(keys, claims),
        _OURS: contenders.countermark(keys, payments, now),
        _HMS: contenders.http_message_signatures_package(keys, payments, now),
        _JWT: contenders.pyjwt(keys, payments, now),
    }
    ours, raw = contenders.receipts(keys, requests, claims, now)
    return [
        _Race(alg, operation, _field(turns, index))
        for turns, suffix in ((of_requests, ""), ({_RAW: raw, _OURS: ours}, "_receipt"))
        for index, operation in enumerate((f"sign{suffix}", f"verify{suffix}"))
    ]


def _field(turns: dict[str, contenders.Turns], index: int) -> list[Contender]:
    return [
        Contender(name, both[index], contenders.REQUESTS_OF_THE_SLOW if name == _HMS else contenders.REQUESTS)
        for name, both in turns.items()
    ]


def _targets() -> tuple[Target, ...]:
    to_raw = [
        Target(f"{alg.replace('-', '_')}_{operation}_ours_to_bare_median_ratio", least)
        for (alg, operation), least in _RATIOS_TO_RAW_MIN.items()
    ]
    # Whoever verifies calls the primitive: beside the same package, nobody is faster than the bare call.
    to_hms = [
        Target(
            f"{alg}_verify_ours_to_hms_median_ratio",
            _RATIO_TO_HMS_MIN,
            f"{alg}_verify_bare_to_hms_median_ratio",
        )
        for alg in ("ed25519", "ecdsa_p256_sha256")
    ]
    return (*to_raw, *to_hms)
