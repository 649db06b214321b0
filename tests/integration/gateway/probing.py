"""Schemathesis, asking a running gateway about one operation of a document, with real signatures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.api.operations import Operation
from gateway.api.surface import canonical
from tests.integration.gateway.merchant_requests import ORIGIN
from tests.integration.gateway.probe_requests import SigningAdapter

# With some 35 operations and two modes: a minute of the whole run, at most.
PROBES_PER_MODE = 20
PROBING = settings(
    max_examples=PROBES_PER_MODE,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# What HTTP itself adds to any answer, and what OpenAPI 3.1.1 §4.8.17.1 leaves to the media type.
_OF_HTTP = frozenset({"connection", "content-length", "content-type", "date", "server"})
# Of a page: how a browser has to treat it. Nothing that a program reads.
_OF_BROWSERS = frozenset({"content-security-policy", "referrer-policy", "x-content-type-options"})

_CELL_OF_ID = re.compile(r"\A([a-z]{3})_[a-z]{2,8}_")

Case = schemathesis.Case[Any]


class About(Enum):
    """What a probe asks about."""

    WHAT_THERE_IS = 1
    NOTHING = 2
    ANY_CELL = 3


def fields_are_declared(_: Any, response: schemathesis.Response, case: Case) -> None:
    """A check in the form of schemathesis, which itself looks at no field but the declared ones.

    Raises:
        AssertionError: an answer has a field that the document lacks.
    """
    declared = case.operation.definition.raw["responses"].get(str(response.status_code))
    if declared is None:
        return  # `status_code_conformance` tells.
    root = case.operation.schema.raw_schema
    while "$ref" in declared:
        declared = _at(root, declared["$ref"])
    known = {name.lower() for name in declared.get("headers", {})} | _OF_HTTP | _OF_BROWSERS
    if unknown := {name.lower() for name in response.headers} - known:
        raise AssertionError(f"{response.status_code} has {sorted(unknown)}")


CHECKS: list[Callable[..., bool | None]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    fields_are_declared,
]


def probe(
    document: Mapping[str, Any],
    operation: Operation,
    mode: GenerationMode,
    adapter: SigningAdapter,
    ids: Mapping[str, str],
) -> None:
    """Ask as the document allows, or as it does not: about what there is, what is not, and what is elsewhere.

    Args:
        document: what is believed.
        operation: which one is asked.
        mode: whether requests fit the document.
        adapter: signs, sends, and counts statuses.
        ids: of what the sender has, by part of a path.

    Raises:
        FailureGroup: an answer is not as the document says; schemathesis' own.
    """
    schema = schemathesis.openapi.from_dict(dict(document))
    schema.config.update(base_url=ORIGIN)
    path = canonical(operation.path)
    own = {name: value for name, value in ids.items() if f"{{{name}}}" in path}
    session = requests.Session()
    session.mount(ORIGIN, adapter)

    @PROBING
    @given(schema[path][operation.method].as_strategy(mode), st.sampled_from(About))
    def ask(case: Case, about: About) -> None:
        _wait_at_most_a_second(case)
        # What is wrong with a body has to stay wrong.
        if about is About.WHAT_THERE_IS:
            case.path_parameters = dict(own) or case.path_parameters
            if mode is GenerationMode.POSITIVE:
                _ask_for_what_is_possible(case)
        elif about is About.NOTHING:
            _ask_in_this_cell(case)
        case.call_and_validate(session=session, checks=CHECKS)

    ask()


def modes_of(operation: Operation) -> list[GenerationMode]:
    """Which probes there are: a request that has nothing is never wrong, and no slash is generated."""
    if operation.name == "readTile":
        return [GenerationMode.NEGATIVE]
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if operation.signed else [])]


def _wait_at_most_a_second(case: Case) -> None:
    """No engine runs here: what waits would wait for its whole time."""
    if case.headers and "wait" in case.headers.get("Prefer", ""):
        case.headers["Prefer"] = "wait=1"


def _is_wrong_in_its_path(case: Case) -> bool:
    return case.meta is not None and case.meta.is_negative_at(ParameterLocation.PATH)


def _ask_for_what_is_possible(case: Case) -> None:
    """A payment that the merchant's account and a bank can take, a URL that webhooks may go to."""
    if isinstance(case.body, dict) and "instrument" in case.body and "currency" in case.body:
        case.body |= {"instrument": "tok_visa_ok", "currency": "EUR"}
    if isinstance(case.body, dict) and "url" in case.body:
        case.body["url"] = "https://merchant.example/hook"


def _ask_in_this_cell(case: Case) -> None:
    """An id that is generated names any cell, and most are answered by where to ask instead."""
    for name, value in (case.path_parameters or {}).items():
        case.path_parameters[name] = _CELL_OF_ID.sub(r"\1_eu_", str(value))


def _at(document: Mapping[str, Any], pointer: str) -> Any:
    found: Any = document
    for step in pointer.removeprefix("#/").split("/"):
        found = found[step]
    return found
