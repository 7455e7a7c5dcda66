"""The JSON schema of a result type, made from the type and its docstring.

``python -m imindex.retrieval.results.schema > retrieval/report.schema.json`` writes the schema of report.json.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from imindex.retrieval.findings import Finding
from imindex.retrieval.results import Report, Result, to_dict

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "imindex-report-1.0"
_FIELD = re.compile(r"(?P<names>\w+(?:, \w+)*)(?: : .+)?")


def schema(type: type[Result]) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a result type.

    Parameters
    ----------
    type : type
        A subclass of `Result`.

    Returns
    -------
    dict
        The schema of `type` itself, with the types within under ``$defs``. The description of each property is that of
        the docstring.
    """
    _, parts = msgspec.json.schema_components([type], ref_template="#/$defs/{name}")
    for one in _result_types(type):
        _describe(parts[one.__name__], one)
    parts["Finding"] = {
        "description": '"not shown" is no finding that there is no imitation.',
        "enum": [finding.value for finding in Finding],
    }
    top = parts.pop(type.__name__)
    found: dict[str, Any] = to_dict(
        {"$schema": DIALECT, "$id": IDENTITY, **top, "$defs": dict(sorted(parts.items()))}
    )
    _put_null_last(found)
    return found


def _put_null_last(part: Any) -> None:
    """Sort the alternatives of every ``X | None``: their order differs between versions of msgspec."""
    if isinstance(part, dict):
        if "anyOf" in part:
            part["anyOf"].sort(key=lambda one: one.get("type") == "null")
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            _put_null_last(inner)


def _result_types(type: type[Result]) -> list[type[Result]]:
    """The type, and all result types within it."""
    found: list[Any] = []

    def add(hint: Any) -> None:
        if inspect.isclass(hint) and issubclass(hint, Result) and hint not in found:
            found.append(hint)
            for inner in get_type_hints(hint).values():
                add(inner)
        for argument in get_args(hint):
            add(argument)

    add(type)
    return found


def _describe(part: dict[str, Any], type: type[Result]) -> None:
    summary, described = documentation(type)
    part["title"] = "imindex report" if type is Report else type.__name__
    part["description"] = summary
    hints = get_type_hints(type)
    for info in msgspec.structs.fields(type):
        entry = part["properties"][info.encode_name]
        if described.get(info.name):
            entry["description"] = " ".join([described[info.name], *filter(None, [entry.get("description")])])
        if get_origin(hints[info.name]) is Mapping and get_args(hints[info.name])[0] is Finding:
            entry["propertyNames"] = {"$ref": "#/$defs/Finding"}


def documentation(type: type[Result]) -> tuple[str, dict[str, str]]:
    """The summary of a result type, and the description of each field, inherited ones included.

    Raises
    ------
    ValueError
        A field is not in the docstring's list of attributes, or an attribute is no field.
    """
    described: dict[str, str] = {}
    for one in reversed(type.__mro__):
        if issubclass(one, Result) and one is not Result:
            described |= dict(_attributes(one))
    fields = set(type.__struct_fields__)
    if set(described) != fields:
        raise ValueError(f"{type.__name__} and its docstring differ in {sorted(set(described) ^ fields)}.")
    text = inspect.cleandoc(type.__doc__ or "").partition("\nAttributes\n")[0]
    return " ".join(text.split()), described


def _attributes(type: type[Result]) -> Iterator[tuple[str, str]]:
    lines = inspect.cleandoc(type.__doc__ or "").partition("\nAttributes\n----------\n")[2].splitlines()
    names: list[str] = []
    text: list[str] = []
    for line in [*lines, "end"]:
        if line.startswith("    "):
            text.append(line.strip())
        elif line.strip():
            yield from ((name, " ".join(text)) for name in names)
            head = _FIELD.fullmatch(line)
            names, text = (head["names"].split(", ") if head else []), []


def main() -> None:
    """Print the schema of report.json."""
    print(json.dumps(schema(Report), indent=2))


if __name__ == "__main__":
    main()
