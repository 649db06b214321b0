"""JSON Schemas of bodies, made from the very types that decode and encode them (pure).

What `msgspec` derives is completed by what these types mean here: an answer has all of its members, a pattern
is written as ECMA-262 has it, and the `Attributes:` of a docstring describe the members.
Source: JSON Schema 2020-12; OpenAPI 3.1.1 §4.8.24.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.api.shapes import Shape
from gateway.openapi.meanings import MEANINGS, QUERY_MEANINGS

Schema = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"

_ATTRIBUTE = re.compile(r"([a-z_][a-z0-9_]*): (.*)")


def component_schemas(kinds: Iterable[type[msgspec.Struct]]) -> dict[str, Schema]:
    """Return the schemas of structures and of all that they hold, by name, in alphabetical order."""
    _, components = msgspec.json.schema_components(list(kinds), ref_template=REFERENCE)
    by_name = {each.__name__: each for each in _with_inner(kinds)}
    return {name: _completed(components[name], by_name.get(name), MEANINGS) for name in sorted(components)}


def reference(kind: type[msgspec.Struct]) -> Schema:
    """Return what points at a structure's schema."""
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def member_schemas(kind: type[msgspec.Struct]) -> dict[str, Schema]:
    """Return the schemas of a structure's members, for parameters: null is no value there."""
    _, components = msgspec.json.schema_components([kind], ref_template=REFERENCE)
    properties = _completed(components[kind.__name__], kind, QUERY_MEANINGS)["properties"]
    return {name: _not_null(schema) for name, schema in properties.items()}


def ecma_pattern(pattern: str) -> str:
    """Return a pattern of Python's `re` in the dialect of JSON Schema; ours differ in the anchors alone."""
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")


def documented(kind: type[Any]) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of a type, and of its attributes by name."""
    text = inspect.cleandoc(kind.__doc__ or "")
    about, _, attributes = text.partition("Attributes:")
    members: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        if match := _ATTRIBUTE.fullmatch(line.strip()):
            name, members[match[1]] = match[1], match[2]
        elif name and line.strip():
            members[name] += " " + line.strip()
    return " ".join(about.split()), members


def _with_inner(kinds: Iterable[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    found: set[type[msgspec.Struct]] = set()

    def walk(kind: Any) -> None:  # noqa: ANN401 - msgspec's descriptions of types have no common parent
        if isinstance(kind, msgspec.inspect.StructType):
            if kind.cls in found:
                return
            found.add(kind.cls)
            for member in kind.fields:
                walk(member.type)
        elif isinstance(kind, msgspec.inspect.UnionType):
            for each in kind.types:
                walk(each)
        elif isinstance(kind, msgspec.inspect.ListType):
            walk(kind.item_type)

    for kind in kinds:
        walk(msgspec.inspect.type_info(kind))
    return found


def _completed(schema: Schema, kind: type[msgspec.Struct] | None, meanings: Mapping[str, str]) -> Schema:
    written: Schema = _ecma(schema)
    if kind is None:
        return written
    about, members = documented(kind)
    written["description"] = about
    for name, member in written.get("properties", {}).items():
        if text := members.get(name) or meanings.get(name):
            written["properties"][name] = {**member, "description": text[0].upper() + text[1:]}
    if issubclass(kind, Shape):
        # A default is how the code is spared writing it: it is sent all the same.
        for member in written["properties"].values():
            member.pop("default", None)
        if not kind.__struct_config__.omit_defaults:
            written["required"] = list(written["properties"])
    return written


def _ecma(value: Any) -> Any:  # noqa: ANN401 - walks any JSON value
    if isinstance(value, list):
        return [_ecma(each) for each in value]
    if not isinstance(value, dict):
        return value
    walked = {name: _ecma(each) for name, each in value.items()}
    if isinstance(walked.get("pattern"), str):
        walked["pattern"] = ecma_pattern(walked["pattern"])
    return walked


def _not_null(schema: Schema) -> Schema:
    outer = {name: each for name, each in schema.items() if name != "anyOf"}
    if outer.get("default", ...) is None:
        del outer["default"]
    alternatives = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(alternatives) == 1:
        return {**alternatives[0], **outer}
    return {**outer, **({"anyOf": alternatives} if alternatives else {})}
