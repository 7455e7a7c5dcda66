"""The indexes that are served."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from imindex.retrieval.serve.catalog import Catalog, ServedIndex

router = APIRouter(prefix="/api/v1", tags=["indexes"])


def catalog_of(request: Request) -> Catalog:
    """Return the catalogue of the application."""
    catalog: Catalog = request.app.state.catalog
    return catalog


class CollectionSummary(BaseModel):
    """A collection of an index."""

    name: str
    kind: str


class IndexSummary(BaseModel):
    """An index that is served."""

    id: str
    name: str
    rows: int
    root: str
    encoder: str
    audit: str
    collections: list[CollectionSummary]


def summary(served: ServedIndex) -> IndexSummary:
    """Return what a page needs to know of an index."""
    index = served.index
    return IndexSummary(
        id=served.id,
        name=index.path.name,
        rows=len(index),
        root=index.root_digest,
        encoder=index.encoder.name(),
        audit=served.audit,
        collections=[CollectionSummary(name=c.name, kind=c.kind) for c in index.collections],
    )


@router.get("/indexes")
def list_indexes(catalog: Annotated[Catalog, Depends(catalog_of)]) -> list[IndexSummary]:
    """List the indexes."""
    return [summary(served) for served in catalog.indexes.values()]


@router.get("/indexes/{index}")
def one_index(index: str, catalog: Annotated[Catalog, Depends(catalog_of)]) -> IndexSummary:
    """Return one index."""
    return summary(catalog.index(index))
