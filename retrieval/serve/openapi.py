"""The OpenAPI document: FastAPI's, with the schemas of the result types."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from imindex.retrieval.results.base import SEEDS, Result
from imindex.retrieval.serve.problems import ProblemBody

Responses = dict[int | str, Any]
_PARAMETERS = {
    "index": ("Identifier of an index, as `list_indexes` returns it.", "audit"),
    "audit": ("Identifier of an audit, as `list_audits` returns it.", "plan-audit"),
    "artist": ("Name of an artist, as in the index.", "Ada Example"),
    "collection": ("Name of a collection; several are alternatives. By default all.", "works"),
    "kind": ("works, imitations, control or background; several are alternatives.", "works"),
    "arm": ("What pictures are for, such as placebo; several are alternatives.", "placebo"),
    "row": ("Number of a row, from 0.", 0),
    "name": ("Name of a file.", "report.json"),
    "text": ("A text.", "Artwork from Ada Example"),
    "k": ("Neighbours of each kind.", 5),
    "confidence_level": ("Of the prediction set of artists.", 0.95),
    "exact": ("Compare with every row, also where there is an approximate index.", False),
    "search": ("Words that must occur, in any case.", "ada"),
    "sort": ("The order; a minus reverses it.", None),
    "offset": ("Entries that are left out before the first.", 0),
    "limit": ("Most entries.", 50),
    "side": ("The longer side in pixels; it is rounded up to one of a few.", 192),
    "together": ("Whether the tests are by several encoders together.", False),
    "encoder": ("Name of an encoder of both reports; by default, the first.", None),
}
"""What a parameter means where its route does not say, and an example."""
_MEANING = {
    401: "A token is needed.",
    403: "The request comes from another site.",
    404: "What the request names is not here.",
    408: "The request was not sent within the time limit.",
    409: "It cannot be done now.",
    413: "The request is larger than the limit.",
    421: "The request names another host.",
    422: "The request is invalid; `error` says what to change.",
    429: "Too many requests are waiting.",
    500: "The service failed; its log says why.",
    503: "It is not ready, is being replaced, or took too long.",
}
_EVERYWHERE = (401, 403, 408, 413, 421, 422, 503)
_types: dict[str, type[Result]] = {"ProblemBody": ProblemBody}


def document_also(type: type[Result]) -> type[Result]:
    """Put a result type that no route names as its answer into the document."""
    _types[type.__name__] = type
    return type


def answers(type: type[Result], *errors: int) -> Responses:
    """Return the `responses` of a route that answers with a result type, or fails with some statuses."""
    _types[type.__name__] = type
    schema = {"$ref": f"#/components/schemas/{type.__name__}"}
    return {
        200: {"description": "The answer.", "content": {"application/json": {"schema": schema}}},
        **problems(*errors),
    }


def problems(*errors: int) -> Responses:
    """Return the `responses` of failures, which have one form."""
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    return {
        400: {"description": "It is no valid HTTP, or its head is too long.", "content": {"text/plain": {}}},
        **{
            status: {"description": _MEANING[status], "content": {"application/json": {"schema": schema}}}
            for status in sorted({*_EVERYWHERE, *errors})
        },
    }


def files(*media: str) -> Responses:
    """Return the `responses` of a route that answers with a file of one of some media types."""
    binary = {"type": "string", "format": "binary"}
    content = {one: {"schema": {} if one == "application/json" else binary} for one in media}
    return {200: {"description": "The file.", "content": content}, **problems(404, 409, 429)}


def document(app: FastAPI) -> Mapping[str, Any]:
    """Return the OpenAPI document of the application."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(components(tuple(_types.values())))
        made["components"]["securitySchemes"] = {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Only if the service runs with a token; pages use a cookie of /sign-in.",
            }
        }
        made["security"] = [{}, {"token": []}]
        for operations in made["paths"].values():
            for operation in operations.values():
                for parameter in operation.get("parameters", ()):
                    _explain(parameter)
        app.openapi_schema = made
    return app.openapi_schema


def _explain(parameter: MutableMapping[str, Any]) -> None:
    meaning, example = _PARAMETERS.get(parameter["name"], ("", None))
    if meaning:
        parameter.setdefault("description", meaning)
    is_list = parameter.get("schema", {}).get("type") == "array"
    if example is not None and not is_list:
        parameter.setdefault("example", example)


def components(types: Sequence[type[Result]]) -> Mapping[str, Any]:
    """Return the schemas of result types, and of all that are nested in them."""
    _, parts = msgspec.json.schema_components(
        list(types), ref_template="#/components/schemas/{name}", schema_hook=_of_seed
    )
    return parts


def _of_seed(kind: type) -> dict[str, object]:
    if kind not in SEEDS:
        raise NotImplementedError
    return {"type": "string", "pattern": "^(-1|[0-9]+)$"}
