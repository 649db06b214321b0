"""Tables of the page: members, parameters, answers; and a schema in words (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.api.problems import PROBLEM_MEDIA_TYPE, PROBLEMS
from gateway.openapi.schemas import Schema
from pki.page.markup import Child, Markup, element, joined, prose

Document = Mapping[str, Any]
_SCHEMAS = "#/components/schemas/"
# Told once, in the table of fields: of every answer, of every signed one, of every repeat.
_FIELDS_OF_ALL = frozenset(
    {
        "Cache-Control", "Content-Digest", "Gateway-Version", "Idempotency-Original-Request",
        "Idempotent-Replayed", "Request-Id", "Signature", "Signature-Input",
    }
)  # fmt: skip


def table(headings: Sequence[str], rows: Iterable[Sequence[Child]], *, kind: str = "plain") -> Markup:
    """Return a table; on a narrow screen each row becomes a block."""
    return element(
        "table",
        {"class": kind},
        element(
            "thead", {}, element("tr", {}, joined(element("th", {"scope": "col"}, each) for each in headings))
        ),
        element(
            "tbody",
            {},
            joined(element("tr", {}, joined(element("td", {}, cell) for cell in row)) for row in rows),
        ),
    )


def members_table(schema: Schema) -> Markup:
    """Return the members of a structure: of an answer, which are not always there; else, which are needed."""
    if not schema.get("properties"):
        return element("p", {"class": "soft"}, "An object without members.")
    needed = set(schema.get("required", ()))
    asked = schema.get("additionalProperties") is False
    return table(
        ("Member", "Form", "Meaning"),
        (
            (
                _named(name, _mark(asked=asked, needed=name in needed)),
                words(member),
                prose(member.get("description", "")),
            )
            for name, member in schema["properties"].items()
        ),
        kind="members",
    )


def parameters_table(parameters: Iterable[Mapping[str, Any]]) -> Markup:
    """Return parameters; references are resolved before."""
    return table(
        ("Parameter", "Form", "Meaning"),
        (
            (
                _named(each["name"], joined((_word(each["in"]), _mark(asked=True, needed=_is_needed(each))))),
                words(each["schema"]),
                prose(each["description"]),
            )
            for each in parameters
        ),
        kind="members",
    )


def answers_table(responses: Mapping[str, Any], own: Mapping[str, Sequence[str]]) -> Markup:
    """Return what an operation answers of its own.

    Args:
        responses: by status; references are resolved before.
        own: codes of its refusals by status, without those of every operation of its sort.
    """
    rows = [
        (status, _success(each) if not codes_of(each) else _refusals(own[status]))
        for status, each in responses.items()
        if not codes_of(each) or own[status]
    ]
    return table(("Status", "Answer"), rows)


def codes_table(codes: Mapping[str, Sequence[str]]) -> Markup:
    """Return codes of refusals by status."""
    rows = ((status, _listed([_code(each) for each in found], ", ")) for status, found in codes.items())
    return table(("Status", "Codes"), rows)


def codes_of(response: Mapping[str, Any]) -> list[str]:
    """Return the codes of a response that refuses; of another one, none."""
    content = response.get("content", {}).get(PROBLEM_MEDIA_TYPE)
    found: list[str] = [] if content is None else content["schema"]["allOf"][1]["properties"]["code"]["enum"]
    return found


def fields_table(headers: Mapping[str, Any]) -> Markup:
    """Return the header fields that answers have; those that are there twice differ in that alone."""
    return table(
        ("Field", "Form", "Meaning"),
        (
            (element("code", {}, name), words(each["schema"]), prose(each["description"]))
            for name, each in headers.items()
            if not each.get("required")
        ),
        kind="members",
    )


def problems_table() -> Markup:
    """Return every code of a problem."""
    return table(
        ("Code", "Status", "Meaning", "Send it again?"),
        (
            (
                element("code", {"id": f"problem-{code}"}, code),
                str(row.status),
                row.title,
                "later, unchanged" if row.retryable else "",
            )
            for code, row in PROBLEMS.items()
        ),
        kind="problems",
    )


def lines(words: str) -> Markup:
    """Return a text of several lines as it stands."""
    shown = Markup("\n".join(element("code", {}, line) for line in words.split("\n")))
    return element("pre", {}, shown)


def words(schema: Schema) -> Markup:
    """Return a schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return element("a", {"href": f"#schema-{name}"}, name)
    if "allOf" in schema:
        return _with_default(schema, _listed([words(each) for each in schema["allOf"]], ", "))
    if "anyOf" in schema:
        return _with_default(schema, _listed([words(each) for each in schema["anyOf"]], " or "))
    if "enum" in schema:
        values = _listed([element("code", {}, str(each)) for each in schema["enum"]], ", ")
        return _with_default(schema, values if len(schema["enum"]) == 1 else joined(("one of ", values)))
    if schema.get("type") == "array":
        bounds = _bounds(schema, "minItems", "maxItems")
        return joined(("list of ", words(schema["items"]), f"; {bounds} of them" if bounds else ""))
    parts: list[Child] = [schema["type"]] if "type" in schema else []
    if bounds := _bounds(schema, "minimum", "maximum"):
        parts.append(bounds)
    if "pattern" in schema:
        parts.append(element("code", {"class": "soft"}, schema["pattern"]))
    return _with_default(schema, _listed(parts, " "))


def _success(response: Mapping[str, Any]) -> Markup:
    about: list[Child] = []
    for media_type, content in response.get("content", {}).items():
        shown = words(content["schema"]) if "$ref" in content["schema"] else element("code", {}, media_type)
        about.append(shown)
    if not about:
        about.append(prose(response["description"]))
    if names := sorted(response["headers"].keys() - _FIELDS_OF_ALL):
        fields = _listed([element("code", {}, name) for name in names], ", ")
        about.append(element("span", {"class": "soft"}, " with ", fields))
    return joined(about)


def _refusals(codes: Sequence[str]) -> Markup:
    return joined(
        element("div", {}, _code(each), element("span", {"class": "soft"}, f" {PROBLEMS[each].title}"))
        for each in codes
    )


def _code(code: str) -> Markup:
    return element("a", {"href": f"#problem-{code}"}, element("code", {}, code))


def _named(name: str, mark: Markup | str) -> Markup:
    return joined((element("code", {}, name), mark))


def _mark(*, asked: bool, needed: bool) -> Markup | str:
    if asked:
        return element("span", {"class": "mark needed"}, " required") if needed else ""
    return "" if needed else _word("not always")


def _word(word: str) -> Markup:
    return element("span", {"class": "mark"}, f" {word}")


def _is_needed(parameter: Mapping[str, Any]) -> bool:
    """Whether it has to be said: there is no path without its parts."""
    return bool(parameter["required"]) and parameter["in"] != "path"


def _bounds(schema: Schema, least: str, most: str) -> str:
    if least in schema and most in schema:
        return f"{schema[least]} to {schema[most]}"
    return ""


def _with_default(schema: Schema, shown: Markup) -> Markup:
    if schema.get("default") is None:
        return shown
    return joined((shown, "; ", element("code", {}, str(schema["default"])), " if absent"))


def _listed(parts: Sequence[Child], between: str) -> Markup:
    spoken: list[Child] = []
    for part in parts:
        spoken += [between, part] if spoken else [part]
    return joined(spoken)
