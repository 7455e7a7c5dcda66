"""Indexes, their artists, their rows and the pictures of these."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from msgspec import structs
from pydantic import Field

from imindex.retrieval.report.together import leading_results
from imindex.retrieval.serve.answers import (
    ArtistFinding,
    ArtistInfo,
    ArtistPage,
    CollectionInfo,
    IndexInfo,
    IndexList,
)
from imindex.retrieval.serve.catalog import ServedIndex
from imindex.retrieval.serve.openapi import answers, files
from imindex.retrieval.serve.pictures import SIDES, kind_of, require_row
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.rows import ArtistCounts, RowInfo, RowPage
from imindex.retrieval.serve.rows import Query as RowQuery
from imindex.retrieval.serve.state import Here, State, answer

router = APIRouter(prefix="/api/v1/indexes", tags=["indexes"])
MOST = 500
"""Most rows or artists on a page."""
Names = Annotated[list[Annotated[str, Field(max_length=300)]], Query(max_length=64)]
Offset = Annotated[int, Query(ge=0, le=2**31)]
Limit = Annotated[int, Query(ge=1, le=MOST)]
Search = Annotated[str, Query(max_length=1000)]
SORTS = ("artist", "-artist", "-works", "works", "-imitations", "imitations", "-auc", "auc", "finding")


def info(here: State, served: ServedIndex) -> IndexInfo:
    """Return what a page needs to know of an index."""
    current = served.current()
    index, hosted = current.index, here.encoders.of(current.index)
    texts = hosted.encoder.has_text if hosted.state == "ready" else None
    return IndexInfo(
        id=served.id,
        name=served.name,
        audit=served.audit,
        rows=len(index),
        artists=len(index.artists),
        root=index.root_digest,
        generation=current.number,
        encoder=index.encoder.name(),
        dim=index.encoder.dim,
        encoder_state=hosted.state,
        encoder_reason=here.catalog.without_folders(hosted.reason),
        texts=texts,
        demonstration=index.is_demonstration,
        approximate=index.approximate,
        collections=tuple(CollectionInfo(name=one.name, kind=one.kind) for one in index.collections),
        pictures=here.settings.pictures,
    )


@router.get("", operation_id="list_indexes", response_model=None, responses=answers(IndexList))
def list_indexes(here: Here) -> Response:
    """List the indexes. One that cannot be read at the moment is left out."""
    listed = []
    for served in here.catalog.indexes.values():
        try:
            listed.append(info(here, served))
        except Problem:
            continue
    return answer(IndexList(indexes=tuple(listed)))


@router.get("/{index}", operation_id="get_index", response_model=None, responses=answers(IndexInfo, 404))
def get_index(here: Here, index: str) -> Response:
    """Return one index."""
    return answer(info(here, here.catalog.index(index)))


@router.get(
    "/{index}/artists", operation_id="list_artists", response_model=None, responses=answers(ArtistPage, 404)
)
def list_artists(  # noqa: PLR0913
    here: Here,
    index: str,
    search: Search = "",
    sort: Annotated[str, Query(description=f"One of {', '.join(SORTS)}.")] = "artist",
    arm: Annotated[
        list[str] | None, Query(description="Such as placebo or rival; `own` for the others.")
    ] = None,
    finding: Annotated[
        list[Annotated[str, Field(max_length=300)]] | None,
        Query(max_length=64, description="A finding in any release."),
    ] = None,
    audit: Annotated[str, Query(max_length=300)] = "",
    offset: Offset = 0,
    limit: Limit = 50,
) -> Response:
    """List artists: how many pictures each has, and what audits found."""
    if sort not in SORTS:
        raise Problem(422, f"sort: {sort!r} is unknown. Use one of {', '.join(SORTS)}.")
    served = here.catalog.index(index)
    rows = served.rows()
    found = findings(here, served, audit)
    listed = [
        _artist(counts, found.get(name, ()))
        for name, counts in rows.artists().items()
        if search.casefold() in name.casefold()
    ]
    if arm:
        listed = [one for one in listed if _has_arm(one, arm)]
    if finding:
        listed = [one for one in listed if {result.finding for result in one.findings} & set(finding)]
    listed.sort(key=lambda one: _order(one, sort.removeprefix("-")), reverse=sort.startswith("-"))
    page = tuple(listed[offset : offset + limit])
    return answer(ArtistPage(root=rows.root, total=len(listed), offset=offset, artists=page))


@router.get(
    "/{index}/artists/{artist:path}", operation_id="get_artist", response_model=None,
    responses=answers(ArtistInfo, 404),
)  # fmt: skip
def get_artist(here: Here, index: str, artist: str) -> Response:
    """Return what an index has of an artist."""
    served = here.catalog.index(index)
    counts = served.rows().artists().get(artist)
    if counts is None:
        raise Problem(404, f"The index {served.name} has no artist {artist!r}.")
    return answer(_artist(counts, findings(here, served).get(artist, ())))


@router.get("/{index}/rows", operation_id="list_rows", response_model=None, responses=answers(RowPage, 404))
def list_rows(  # noqa: PLR0913
    here: Here,
    index: str,
    artist: Names = [],  # noqa: B006 - FastAPI copies it
    kind: Names = [],  # noqa: B006
    collection: Names = [],  # noqa: B006
    arm: Names = [],  # noqa: B006
    search: Search = "",
    sort: Annotated[str, Query(description="row, -row, artist, collection or path.")] = "row",
    offset: Offset = 0,
    limit: Limit = 50,
) -> Response:
    """List rows that pass all filters; several values of one filter are alternatives."""
    where = {"artist": artist, "kind": kind, "collection": collection, "arm": arm}
    rows = here.catalog.index(index).rows()
    return answer(rows.page(RowQuery(where, search, sort), offset, limit))


@router.get(
    "/{index}/rows/{row}", operation_id="get_row", response_model=None, responses=answers(RowInfo, 404)
)
def get_row(here: Here, index: str, row: int) -> Response:
    """Return one row."""
    return answer(here.catalog.index(index).rows().one(row))


@router.get(
    "/{index}/rows/{row}/picture", operation_id="get_picture", response_model=None,
    responses=files("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "application/octet-stream"),
)  # fmt: skip
async def get_picture(here: Here, request: Request, index: str, row: int) -> Response:
    """Return the original of a row, if its file has the bytes that were indexed."""
    _require_pictures(here)
    served = here.catalog.index(index)
    current = served.current()
    tag = f'"{require_row(current, row)}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=_cache(tag))
    async with here.work.slot():
        data = await here.work.in_time(here.work.decode(lambda: here.pictures.original(served, current, row)))
    served.require(current)
    media, suffix = kind_of(data)
    kind = "attachment" if media == "application/octet-stream" else "inline"
    headers = {**_cache(tag), "Content-Disposition": f'{kind}; filename="row-{row}.{suffix}"'}
    return Response(
        data, media_type=media, headers={**headers, "Content-Security-Policy": "default-src 'none'; sandbox"}
    )


@router.get(
    "/{index}/rows/{row}/thumbnail",
    operation_id="get_thumbnail",
    response_model=None,
    responses=files("image/webp"),
)
async def get_thumbnail(
    here: Here, request: Request, index: str, row: int, side: Annotated[int, Query(ge=1, le=SIDES[-1])] = 192
) -> Response:
    """Return a thumbnail of a row as WebP."""
    _require_pictures(here)
    served = here.catalog.index(index)
    current = served.current()
    tag = f'"{require_row(current, row)}-{side}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=_cache(tag))
    async with here.work.slot():
        call = here.work.decode(lambda: here.pictures.thumbnail(served, current, row, side))
        data = await here.work.in_time(call)
    served.require(current)
    return Response(data, media_type="image/webp", headers=_cache(tag))


def findings(here: State, served: ServedIndex, audit: str = "") -> dict[str, tuple[ArtistFinding, ...]]:
    """Return what audits found, by artist: those that hold this index, or the one that is named."""
    found: dict[str, list[ArtistFinding]] = {}
    for one in here.catalog.audits.values():
        if one.id != (audit or served.audit):
            continue
        report = one.current().report
        for result in leading_results(report) if report else ():
            for row in result.artists:
                found.setdefault(row.artist, []).append(
                    ArtistFinding(
                        audit=one.id,
                        release=result.release,
                        encoder=result.encoder,
                        finding=str(row.finding.value),
                        auc=row.auc,
                        p_adjusted=row.p_adjusted,
                    )
                )
    return {artist: tuple(results) for artist, results in found.items()}


def _artist(counts: ArtistCounts, found: tuple[ArtistFinding, ...]) -> ArtistInfo:
    return ArtistInfo(**structs.asdict(counts), findings=found)


def _has_arm(one: ArtistInfo, wanted: list[str]) -> bool:
    """Return whether an artist has pictures of one of some arms. Without works and findings, no name is an artist's."""
    own = "own" in wanted and bool({"", "own"} & set(one.arms)) and bool(one.works or one.findings)
    return own or bool((set(wanted) - {"own", ""}) & set(one.arms))


def _order(one: ArtistInfo, key: str) -> tuple[object, ...]:
    if key == "works":
        return one.works, one.artist
    if key == "imitations":
        return sum(one.imitations.values()), one.artist
    if key == "auc":
        known = [result.auc for result in one.findings if result.auc is not None]
        return max(known, default=-1.0), one.artist
    if key == "finding":
        return tuple(result.finding for result in one.findings), one.artist
    return (one.artist,)


def _require_pictures(here: State) -> None:
    if not here.settings.pictures:
        raise Problem(404, "Pictures are not served here: imindex serve runs with --no-pictures.")


def _cache(tag: str) -> dict[str, str]:
    """Let the browser keep a picture, and ask each time whether it is still served."""
    return {"ETag": tag, "Cache-Control": "private, no-cache"}
