"""Why a Signature-Input is not of the profile, in words its sender can act on.

Only refused inputs come here, so this may be slower than parsing. It decides
nothing, and repeats nothing of the input but short lower-case names.
Source: RFC 9421 §4.1.
"""

from __future__ import annotations

import re

from . import profile

_MEMBER = re.compile(r"([a-z0-9_*.-]{1,64})=\(([^()]*)\)(.*)", re.DOTALL)
_PARAMETER = re.compile(r';([a-z]{1,16})=("[^"]*"|[0-9A-Za-z.+-]{1,64})')
_FORMS = {
    "created": "an integer without quotes",
    "expires": "an integer without quotes",
    "nonce": "a quoted string of 22 to 64 characters A-Z a-z 0-9 _ -",
    "keyid": "the quoted RFC 7638 thumbprint of the key, 43 characters",
    "alg": 'either "ed25519" or "ecdsa-p256-sha256"',
    "tag": f'"{profile.REQUEST_TAG}" for requests, "{profile.RECEIPT_TAG}" for receipts',
}


def why_not_signature_input(value: str, covered: str, names: tuple[str, ...]) -> str:
    """Return the first reason found why a value is refused.

    Args:
        value: the field's value.
        covered: the component identifiers that must be covered, separated by one space.
        names: the parameters that must be present.
    """
    member = _MEMBER.fullmatch(value)
    if member is None:
        return "it must be exactly one member: label, covered components in parentheses, parameters"
    if member[1] != profile.LABEL:
        return f"the label must be {profile.LABEL}"
    if member[2] != covered:
        return f"the covered components must be exactly ({covered}), separated by one space"
    seen: set[str] = set()
    position = 0
    for parameter in _PARAMETER.finditer(member[3]):
        if parameter.start() != position:
            break
        position = parameter.end()
        if parameter[1] not in names:
            return f"the parameter {parameter[1]} is not accepted"
        if parameter[1] in seen:
            return f"the parameter {parameter[1]} occurs twice"
        seen.add(parameter[1])
    missing = [name for name in names if name not in seen]
    if position != len(member[3]):
        return "after the parameters read so far stands something else: white space, or a second signature"
    if missing:
        return f"the parameter {missing[0]} is missing"
    return "a parameter does not have its form: " + "; ".join(f"{name} is {_FORMS[name]}" for name in names)
