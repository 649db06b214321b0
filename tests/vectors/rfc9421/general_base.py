"""RFC 9421 signature bases in general: any component, any parameter. For other people's vectors alone.

The product speaks one profile and derives nothing in general; this layer is its counterpart, written from
the RFC and not from the product, so that agreeing means something. Never use it to accept a request.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

import http_sf

Fields = tuple[tuple[str, str], ...]
Parameters = dict[str, Any]

_KNOWN_PARAMETERS = {"req", "sf", "key", "bs", "name", "tr"}
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
_STRUCTURED_KINDS = ("dictionary", "list", "item")


class NoSuchBase(Exception):
    """The message lacks a component, or the component identifier means nothing (RFC 9421 §2.5)."""


@dataclass(frozen=True)
class GeneralRequest:
    """A request of any kind; `target_uri` is absolute."""

    method: str
    target_uri: str
    fields: Fields = ()
    trailers: Fields = ()

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.target_uri)


@dataclass(frozen=True)
class GeneralResponse:
    """A response and the request it answers."""

    status: int
    request: GeneralRequest
    fields: Fields = ()
    trailers: Fields = ()


Message = GeneralRequest | GeneralResponse


def signature_base(message: Message, inner_list: str) -> bytes:
    """Build the base for an inner list with parameters, which is kept as it stands for the last line.

    Raises:
        NoSuchBase: a component is unknown, absent or covered twice.
    """
    try:
        ((covered, _parameters),) = cast(
            "Sequence[tuple[Any, Parameters]]", http_sf.parse(inner_list.encode(), tltype="list")
        )
    except (http_sf.StructuredFieldError, ValueError) as error:
        raise NoSuchBase("not one inner list") from error
    if not isinstance(covered, list):
        raise NoSuchBase("not an inner list")
    lines: list[str] = []
    for name, parameters in covered:
        identifier = http_sf.ser((name, parameters))
        if any(line.startswith(f"{identifier}: ") for line in lines):
            raise NoSuchBase(f"{identifier} is covered twice")
        value = component_value(message, name, parameters)
        if "\n" in value or not value.isascii():
            raise NoSuchBase(f"{identifier} has a value that the base cannot hold")
        lines.append(f"{identifier}: {value}")
    return "\n".join([*lines, f'"@signature-params": {inner_list}']).encode("ascii")


def component_value(message: Message, name: str, parameters: Parameters) -> str:
    """Return one component's value (RFC 9421 §2.1 to §2.4).

    Raises:
        NoSuchBase: unknown or absent.
    """
    if unknown := parameters.keys() - _KNOWN_PARAMETERS:
        raise NoSuchBase(f"unknown parameters {sorted(unknown)}")
    source = message
    if parameters.get("req"):
        if isinstance(message, GeneralRequest):
            raise NoSuchBase("req belongs to responses")
        source = message.request
    if name.startswith("@"):
        return _derived(source, name, parameters)
    return _field(source.trailers if parameters.get("tr") else source.fields, name, parameters)


def _derived(source: Message, name: str, parameters: Parameters) -> str:
    if isinstance(source, GeneralResponse):
        if name != "@status":
            raise NoSuchBase(f"{name} is no component of a response")
        return str(source.status)
    if name == "@query-param":
        return _query_parameter(source.parts.query, parameters.get("name"))
    derive = _OF_A_REQUEST.get(name)
    if derive is None:
        raise NoSuchBase(f"{name} is no component of a request")
    return derive(source)


def _authority(request: GeneralRequest) -> str:
    # The Host field stands for the authority; lower case, without the scheme's own port (§2.2.3).
    (authority,) = [value for field, value in request.fields if field.lower() == "host"] or [
        request.parts.netloc
    ]
    return authority.strip().lower().removesuffix(_DEFAULT_PORTS[request.parts.scheme.lower()])


def _target(request: GeneralRequest) -> str:
    query = f"?{request.parts.query}" if "?" in request.target_uri else ""
    return (request.parts.path or "/") + query


_OF_A_REQUEST: dict[str, Callable[[GeneralRequest], str]] = {
    "@method": lambda request: request.method,
    "@target-uri": lambda request: request.target_uri,
    "@authority": _authority,
    "@scheme": lambda request: request.parts.scheme.lower(),
    "@request-target": _target,
    "@path": lambda request: request.parts.path or "/",
    "@query": lambda request: f"?{request.parts.query}",
}


def _query_parameter(query: str, name: object) -> str:
    """Decode as a form, then encode again: what §2.2.8 asks so that both sides agree on one spelling."""
    pairs = [
        (quote(key, safe="*-._"), quote(value, safe="*-._"))
        for key, value in parse_qsl(query, keep_blank_values=True)
    ]
    values = [value for key, value in pairs if key == name]
    if len(values) != 1:
        raise NoSuchBase("@query-param must name a parameter that occurs once")
    return values[0]


def _field(fields: Fields, name: str, parameters: Parameters) -> str:
    values = [_FOLD.sub(" ", value).strip(" \t") for field, value in fields if field.lower() == name]
    if not values:
        raise NoSuchBase(f"there is no field {name}")
    if parameters.get("bs"):
        if parameters.keys() & {"sf", "key"}:
            raise NoSuchBase("bs excludes sf and key")
        return ", ".join(f":{base64.b64encode(value.encode('latin-1')).decode()}:" for value in values)
    joined = ", ".join(values)
    if "key" in parameters:
        return _member(joined, parameters["key"])
    return _reserialised(joined) if parameters.get("sf") else joined


def _member(value: str, key: object) -> str:
    try:
        dictionary = cast("dict[str, Any]", http_sf.parse(value.encode("latin-1"), tltype="dictionary"))
        return http_sf.ser([dictionary[str(key)]])
    except (http_sf.StructuredFieldError, ValueError, KeyError) as error:
        raise NoSuchBase(f"there is no member {key}") from error


def _reserialised(value: str) -> str:
    for kind in _STRUCTURED_KINDS:
        try:
            return http_sf.ser(http_sf.parse(value.encode("latin-1"), tltype=kind))
        except (http_sf.StructuredFieldError, ValueError):
            continue
    raise NoSuchBase("not a structured field")
