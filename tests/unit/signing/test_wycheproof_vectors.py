"""Project Wycheproof's signatures, right and wrong, judged by the key class that judges merchants'."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from signing import KeyRefused, SignatureInvalid, VerifyingKey

_FOLDER = Path(__file__).parents[2] / "vectors" / "wycheproof"
_FILES = {"ed25519": "ed25519.json", "ecdsa-p256-sha256": "ecdsa_p256_sha256_p1363.json"}
_GROUPS = {alg: json.loads((_FOLDER / name).read_bytes())["groups"] for alg, name in _FILES.items()}


def _judged(key: VerifyingKey, message: str, signature: str) -> str:
    try:
        key.verify(bytes.fromhex(signature), bytes.fromhex(message))
    except SignatureInvalid:
        return "invalid"
    return "valid"


_OPEN = [group for group in _GROUPS["ed25519"] if {test[3] for test in group["tests"]} == {"acceptable"}]
_SMALL = [group for group in _OPEN if "plus nonidentity" not in group["tests"][0][4]]
_MIXED = [group for group in _OPEN if group not in _SMALL]


@pytest.mark.parametrize(
    ("alg", "group"),
    [(alg, group) for alg, groups in _GROUPS.items() for group in groups if group not in _OPEN],
)
def test_signatures_are_judged_as_wycheproof_judges_them(alg: str, group: dict[str, Any]) -> None:
    key = VerifyingKey.from_spki_pem(group["public_key_pem"].encode())
    wrong = [
        (number, comment)
        for number, message, signature, result, comment in group["tests"]
        if result != _judged(key, message, signature)
    ]

    assert alg == key.alg
    assert [] == wrong


@pytest.mark.parametrize("group", _SMALL, ids=lambda group: group["tests"][0][4])
def test_a_key_of_small_order_which_wycheproof_leaves_open_is_refused(group: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused):
        VerifyingKey.from_spki_pem(group["public_key_pem"].encode())


@pytest.mark.parametrize("group", _MIXED, ids=lambda group: group["tests"][0][4])
def test_a_key_with_a_torsion_part_verifies_without_the_cofactor(group: dict[str, Any]) -> None:
    # Only who made such a key can know one. What is accepted here every other verifier accepts too,
    # because the equation without the cofactor implies the one with it: nothing can be denied later.
    key = VerifyingKey.from_spki_pem(group["public_key_pem"].encode())

    assert {"valid"} == {_judged(key, message, signature) for _, message, signature, _, _ in group["tests"]}


@pytest.mark.parametrize(
    ("alg", "counts"),
    [
        ("ed25519", {"valid": 117, "invalid": 64, "acceptable": 29}),
        ("ecdsa-p256-sha256", {"valid": 173, "invalid": 89}),
    ],
)
def test_the_set_is_whole(alg: str, counts: dict[str, int]) -> None:
    results = [test[3] for group in _GROUPS[alg] for test in group["tests"]]

    assert counts == Counter(results)
    assert (8, 21) == (len(_SMALL), len(_MIXED))
