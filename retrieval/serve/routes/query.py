"""Query an index by picture, text, row or vector."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from msgspec.structs import replace
from pydantic import Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from imindex.indexer.core.errors import BadPicture
from imindex.retrieval import api
from imindex.retrieval.results import PictureClassification
from imindex.retrieval.serve.answers import Asked, QueryResponse, from_text, to_text
from imindex.retrieval.serve.catalog import Generation, ServedIndex
from imindex.retrieval.serve.openapi import answers
from imindex.retrieval.serve.problems import Problem, ProblemBody, over_limit
from imindex.retrieval.serve.state import Here, State, answer

router = APIRouter(prefix="/api/v1/indexes", tags=["query"])
Text = Annotated[str, Field(min_length=1, max_length=500)]
"""In a URL; a form takes longer ones."""
Name = Annotated[str, Field(max_length=300)]
MOST_TEXT = 10_000
"""Most characters of a text, and of each other field."""
_MULTIPART: dict[str, object] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "picture": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Pictures, as files.",
                        },
                        "text": {
                            "type": "array",
                            "items": {"type": "string", "minLength": 1, "maxLength": MOST_TEXT},
                            "description": "Texts.",
                        },
                        "k": {"type": "integer", "minimum": 1, "default": 10},
                        "collection": {"type": "array", "items": {"type": "string"}},
                        "artist": {"type": "array", "items": {"type": "string"}},
                        "confidence_level": {
                            "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.95,
                        },
                        "exact": {"type": "boolean", "default": False},
                    },
                }
            }
        },
    }
}  # fmt: skip
_PICTURES: dict[str, object] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["picture"],
                    "properties": {
                        "picture": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class Options:
    """How to search.

    Attributes
    ----------
    k : int
    collections, artists : tuple of str
    confidence_level : float
    exact : bool
    """

    k: int = 10
    collections: tuple[str, ...] = ()
    artists: tuple[str, ...] = ()
    confidence_level: float = 0.95
    exact: bool = False


@dataclass(frozen=True)
class Upload:
    """A picture of a request."""

    name: str
    data: bytes


@router.post(
    "/{index}/query", operation_id="query_by_upload", response_model=None, openapi_extra=_MULTIPART,
    responses=answers(QueryResponse, 404, 429),
)  # fmt: skip
async def query_by_upload(here: Here, request: Request, index: str) -> Response:
    """Find the nearest pictures and artists of uploaded pictures and of texts.

    Nothing of an upload is kept. Pictures that cannot be read are in ``result.rejects``, with the reason.
    """
    served = here.catalog.index(index)
    async with here.work.slot():
        return await here.work.in_time(_uploaded(here, request, served))


@router.get(
    "/{index}/query", operation_id="query", response_model=None, responses=answers(QueryResponse, 404, 429)
)  # fmt: skip
async def query(  # noqa: PLR0913
    here: Here,
    index: str,
    text: Annotated[list[Text], Query(description="Texts.", max_length=64)] = [],  # noqa: B006 - FastAPI copies it
    row: Annotated[list[int], Query(description="Rows of the index.", max_length=1000)] = [],  # noqa: B006
    vector: Annotated[str, Query(max_length=20_000, description="As in `asked` of an answer.")] = "",
    sha256: Annotated[
        str, Query(pattern="^([0-9a-f]{64})?$", description="Of the picture of `vector`.")
    ] = "",
    name: Annotated[
        str, Query(max_length=1000, description="What the answer calls the query of `vector`.")
    ] = "",
    k: Annotated[int, Query(ge=1)] = 10,
    collection: Annotated[list[Name], Query(max_length=64)] = [],  # noqa: B006
    artist: Annotated[list[Name], Query(max_length=64)] = [],  # noqa: B006
    confidence_level: Annotated[float, Query(gt=0, lt=1)] = 0.95,
    exact: bool = False,
) -> Response:
    """Find the nearest pictures and artists of texts, of rows of the index, or of a vector.

    A link with the vector of an earlier answer gives the same answer again, as long as the index has the same root.
    """
    served = here.catalog.index(index)
    options = Options(k, tuple(collection), tuple(artist), confidence_level, exact)
    given = sum(map(bool, (text, row, vector)))
    if given != 1:
        raise Problem(422, f"Pass one of text, row and vector, not {given or 'none'} of them.")
    _check(here, options, max(len(text), len(row)))
    async with here.work.slot():
        if text:
            return await here.work.in_time(_asked(here, served, options, [], list(text)))
        current = served.current()
        if row:
            call = here.work.search(lambda: _by_rows(here, served, current, row, options))
        else:
            numbers = from_text(vector, current.index.encoder.dim)
            call = here.work.search(
                lambda: _by_vector(here, served, current, (numbers, sha256, name), options)
            )
        return answer(await here.work.in_time(call))


@router.post(
    "/{index}/classify", operation_id="classify_by_upload", response_model=None, openapi_extra=dict(_PICTURES),
    responses=answers(PictureClassification, 404, 429),
)  # fmt: skip
async def classify_by_upload(here: Here, request: Request, index: str) -> Response:
    """Return the nearest artists of uploaded pictures: by name (zero-shot), by mean work, and by vote of works.

    The nearest label is not the author: a picture by somebody else has a nearest label, too.
    """
    served = here.catalog.index(index)

    async def classified() -> Response:
        form = await read_form(here, request)
        try:
            uploads, texts, _ = await _read(form)
        finally:
            await form.close()
        _check(here, Options(), len(uploads))
        if texts or not uploads:
            raise Problem(422, "Send pictures (field `picture`) and nothing else.")
        current = served.current()
        queries = await _encoded(here, current, uploads, [])
        return answer(await here.work.search(lambda: _classified(here, served, current, queries)))

    async with here.work.slot():
        return await here.work.in_time(classified())


@router.get(
    "/{index}/classify", operation_id="classify", response_model=None,
    responses=answers(PictureClassification, 404, 429),
)  # fmt: skip
async def classify(
    here: Here,
    index: str,
    row: Annotated[list[int], Query(description="Rows of the index.", max_length=1000)] = [],  # noqa: B006
    vector: Annotated[str, Query(max_length=20_000, description="As in `asked` of an answer.")] = "",
    sha256: Annotated[
        str, Query(pattern="^([0-9a-f]{64})?$", description="Of the picture of `vector`.")
    ] = "",
    name: Annotated[str, Query(max_length=1000, description="What the answer calls it.")] = "picture",
) -> Response:
    """Return the nearest artists of rows of the index, or of the vector of a picture."""
    served = here.catalog.index(index)
    if bool(row) == bool(vector):
        raise Problem(422, "Pass one of row and vector.")
    _check(here, Options(), len(row))
    current = served.current()
    if row:
        _require_rows(current, row)
    else:
        numbers = from_text(vector, current.index.encoder.dim)

    def classified() -> PictureClassification:
        if row:
            return _classified(here, served, current, current.prepared.rows(row))
        return _classified(
            here, served, current, api.Queries((name,), numbers[None], (bytes.fromhex(sha256),))
        )

    async with here.work.slot():
        return answer(await here.work.in_time(here.work.search(classified)))


def _classified(
    here: State, served: ServedIndex, current: Generation, queries: api.Queries
) -> PictureClassification:
    encoder = here.encoders.of(current.index).encoder
    result = current.classifier(encoder).classify(queries, top=10)
    served.require(current)
    return replace(result, index=served.name)


def _require_rows(current: Generation, rows: Sequence[int]) -> None:
    n = len(current.index)
    for row in rows:  # the table of rows is not needed, and takes seconds to read when there are a million
        if not 0 <= row < n:
            raise Problem(404, f"There is no row {row}. The index has {n} rows, from 0.")


async def _uploaded(here: State, request: Request, served: ServedIndex) -> Response:
    form = await read_form(here, request)
    try:
        uploads, texts, options = await _read(form)
    finally:
        await form.close()
    _check(here, options, max(len(uploads), len(texts)))
    if not uploads and not texts:
        raise Problem(
            422, "There is nothing to search for. Send a picture (field `picture`) or a text (field `text`)."
        )
    return await _asked(here, served, options, uploads, texts)


async def read_form(here: State, request: Request) -> FormData:
    """Return the fields and files of a request.

    Raises
    ------
    Problem
        422 if it is not multipart/form-data, or has too many parts.
    """
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise Problem(422, f"The body is {kind or 'of no type'}. Send multipart/form-data.")
    most = here.settings.max_pictures
    try:
        return await request.form(max_files=most + 1, max_fields=4 * most + 64, max_part_size=2**20)
    except (HTTPException, MultiPartException, ValueError, KeyError) as error:
        reason = error.detail if isinstance(error, HTTPException) else str(error)
        if reason.startswith("Too many files"):
            raise _too_many(here, f"More than {most} pictures") from error
        raise Problem(422, f"The form cannot be read: {reason.rstrip('.')}.") from error


async def _read(form: FormData) -> tuple[list[Upload], list[str], Options]:
    uploads: list[Upload] = []
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "picture":
                raise Problem(422, f"{name}: it is a file, and files are taken as `picture` only.")
            uploads.append(Upload(value.filename or "picture", await value.read()))
        else:
            if len(value) > MOST_TEXT:
                raise Problem(
                    422, f"{name}: it has {len(value):,} characters, and at most {MOST_TEXT:,} are read."
                )
            fields.setdefault(name, []).append(value)
    known = {"text", "k", "collection", "artist", "confidence_level", "exact"}
    if unknown := sorted(set(fields) - known):
        raise Problem(
            422, f"{unknown[0]}: there is no such field. Known are picture, {', '.join(sorted(known))}."
        )
    options = Options(
        k=int(_number(fields, "k", 10, whole=True)),
        collections=tuple(fields.get("collection", ())),
        artists=tuple(fields.get("artist", ())),
        confidence_level=_number(fields, "confidence_level", 0.95),
        exact=_flag(fields, "exact"),
    )
    texts = fields.get("text", [])
    if any(not text.strip() for text in texts):
        raise Problem(422, "text: it is empty.")
    return uploads, texts, options


def _number(fields: dict[str, list[str]], name: str, default: float, *, whole: bool = False) -> float:
    values = fields.get(name, [])
    if len(values) > 1:
        raise Problem(422, f"{name}: it is given {len(values)} times. Pass one value.")
    if not values:
        return default
    try:
        return int(values[0]) if whole else float(values[0])
    except ValueError:
        raise Problem(
            422, f"{name}: {values[0]!r} is not a {'whole number' if whole else 'number'}."
        ) from None


def _flag(fields: dict[str, list[str]], name: str) -> bool:
    value = (fields.get(name) or ["false"])[-1].lower()
    if value not in ("true", "false", "1", "0", "on", "off"):
        raise Problem(422, f"{name}: {value!r} is neither true nor false.")
    return value in ("true", "1", "on")


def _check(here: State, options: Options, n: int) -> None:
    settings = here.settings
    if n > settings.max_pictures:
        raise _too_many(here, f"{n} queries")
    if not 1 <= options.k <= settings.max_k:
        error = f"k is {options.k}. Pass a number from 1 to {settings.max_k:,}."
        raise over_limit(422, error, "max-k", settings.max_k)
    if not 0 < options.confidence_level < 1:
        raise Problem(
            422, f"confidence_level is {options.confidence_level}. Pass a number above 0 and below 1."
        )


def _too_many(here: State, what: str) -> Problem:
    most = here.settings.max_pictures
    error = f"{what} were sent, and at most {most} are answered at a time. Send fewer."
    return over_limit(422, error, "max-pictures", most)


async def _asked(
    here: State, served: ServedIndex, options: Options, uploads: Sequence[Upload], texts: list[str]
) -> Response:
    """Encode pictures and texts, and search for each by itself."""
    current = served.current()
    queries = await _encoded(here, current, uploads, texts)
    n = len(queries.names) - len(texts)
    asked = tuple(
        Asked(
            query=name,
            vector=to_text(queries.vectors[place]),
            sha256=(queries.digests[place] or b"").hex(),
            text="" if place < n else texts[place - n],
        )
        for place, name in enumerate(queries.names)
    )
    result = await here.work.search(lambda: search(here, served, current, queries, options, asked))
    return answer(result)


async def _encoded(
    here: State, current: Generation, uploads: Sequence[Upload], texts: list[str]
) -> api.Queries:
    """Encode pictures and texts, with those of other requests.

    Raises
    ------
    Problem
        422 if no picture can be read and there is no text, or the encoder has no text side; 503 while it is loaded.
    """
    hosted = here.encoders.of(current.index)
    encoder = hosted.encoder
    if texts and not encoder.has_text:
        raise Problem(
            422, f"The encoder {hosted.name} has no text side, so it takes pictures only. Send a picture."
        )
    decoded = await asyncio.gather(
        *(here.work.decode(functools.partial(_decode, here, encoder, one)) for one in uploads)
    )
    rejects = {upload.name: one for upload, one in zip(uploads, decoded, strict=True) if isinstance(one, str)}
    good = [(upload, one) for upload, one in zip(uploads, decoded, strict=True) if not isinstance(one, str)]
    if not good and not texts:
        first = next(iter(rejects.items()))
        error = "No picture can be read." if len(rejects) > 1 else f"{first[0]} cannot be read: {first[1]}."
        raise Problem(422, ProblemBody(error=error, rejects=rejects))
    vectors = np.concatenate([
        await hosted.encode("pictures", [one for _, one in good]),
        await hosted.encode("texts", texts),
    ])  # fmt: skip
    if not np.isfinite(vectors.astype(np.float32)).all():
        raise Problem(422, "The encoder has no vector for a picture: its output is not finite.")
    return api.Queries(
        names=(*(upload.name for upload, _ in good), *(f'"{text}"' for text in texts)),
        vectors=vectors,
        digests=(*(hashlib.sha256(upload.data).digest() for upload, _ in good), *(None for _ in texts)),
        cut={len(good) + place: cut for place, cut in encoder.cut_texts(texts).items()},
        rejects=rejects,
    )


def _decode(here: State, encoder: api.Encoder, upload: Upload) -> Any:
    """Return a decoded picture, or the reason why it cannot be read."""
    try:
        return encoder.decode(upload.data, here.settings.limits)
    except BadPicture as error:
        return str(error) or "it cannot be read"


def _by_rows(
    here: State, served: ServedIndex, current: Generation, rows: Sequence[int], options: Options
) -> QueryResponse:
    _require_rows(current, rows)
    queries = current.prepared.rows(rows)
    asked = tuple(
        Asked(query=name, vector=to_text(vector), sha256=(digest or b"").hex(), row=row)
        for name, vector, digest, row in zip(
            queries.names, queries.vectors, queries.digests, rows, strict=True
        )
    )
    return search(here, served, current, queries, options, asked)


def _by_vector(
    here: State, served: ServedIndex, current: Generation, given: tuple[Any, str, str], options: Options
) -> QueryResponse:
    vector, sha256, name = given
    name = name or "picture"
    # A text is searched as a text: exactly, and without an attribution.
    # The name of a picture may have quotes as well, but a picture has a digest.
    is_text = name.startswith('"') and not sha256
    digest = None if is_text else bytes.fromhex(sha256)
    queries = api.Queries((name,), vector[None], (digest,))
    asked = (
        Asked(query=name, vector=to_text(vector), sha256=sha256, text=name.strip('"') if is_text else ""),
    )
    return search(here, served, current, queries, options, asked)


def search(
    here: State,
    served: ServedIndex,
    current: Generation,
    queries: api.Queries,
    options: Options,
    asked: tuple[Asked, ...],
) -> QueryResponse:
    """Search, and count the time."""
    begun = time.perf_counter()
    result = current.prepared.answer(
        queries,
        k=options.k,
        collections=options.collections,
        artists=options.artists,
        confidence_level=options.confidence_level,
        exact=options.exact,
        attribution="ready",  # comparing many works with each other takes minutes
    )
    result = replace(result, index=served.name)  # no folder of this machine
    here.metrics.searching.observe(time.perf_counter() - begun)
    served.require(current)
    return QueryResponse(index=served.id, root=current.index.root_digest, asked=asked, result=result)
