"""JSON schema of a result type, generated from the type and its docstring.

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
from imindex.retrieval.results.base import SEEDS, PictureSeed

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
        The schema of `type`, with nested types under ``$defs``. Property descriptions are taken from the
        docstrings.
    """
    _, parts = msgspec.json.schema_components([type], ref_template="#/$defs/{name}", schema_hook=_of_seed)
    for nested in _result_types(type):
        _describe(parts[nested.__name__], nested)
    parts["Finding"] = {
        "description": '"not shown" does not mean that there is no imitation.',
        "enum": [finding.value for finding in Finding],
    }
    top = parts.pop(type.__name__)
    document: dict[str, Any] = to_dict(
        {"$schema": DIALECT, "$id": IDENTITY, **top, "$defs": dict(sorted(parts.items()))}
    )
    _put_null_last(document)
    return document


def _of_seed(kind: type) -> dict[str, object]:
    if kind not in SEEDS:
        raise NotImplementedError
    unknown = " -1 if unknown." if kind is PictureSeed else ""
    pattern = "^(-1|[0-9]+)$" if unknown else "^[0-9]+$"
    return {
        "type": "string",
        "pattern": pattern,
        "description": f"A number of up to 63 bits, as text.{unknown}",
    }


def _put_null_last(part: Any) -> None:
    """Sort the alternatives of every ``X | None``, because their order differs between versions of msgspec."""
    if isinstance(part, dict):
        if "anyOf" in part:
            part["anyOf"].sort(key=lambda alternative: alternative.get("type") == "null")
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            _put_null_last(inner)


def _result_types(type: type[Result]) -> list[type[Result]]:
    """Return a type and all result types nested in it."""
    types: list[Any] = []

    def add(hint: Any) -> None:
        if inspect.isclass(hint) and issubclass(hint, Result) and hint not in types:
            types.append(hint)
            for inner in get_type_hints(hint).values():
                add(inner)
        for argument in get_args(hint):
            add(argument)

    add(type)
    return types


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
    """Return the summary of a result type and the description of each field, including inherited ones.

    Raises
    ------
    ValueError
        A field is missing from the docstring's attributes, or an attribute is not a field.
    """
    described: dict[str, str] = {}
    for base in reversed(type.__mro__):
        if issubclass(base, Result) and base is not Result:
            described |= dict(_attributes(base))
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
    """Print the JSON schema of report.json."""
    print(json.dumps(schema(Report), indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
