"""The map of an index: its projection and what each point is, in one binary answer."""

from __future__ import annotations

import struct
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.results.base import Count, Result, to_json
from imindex.retrieval.serve.catalog import Generation, ServedIndex
from imindex.retrieval.serve.openapi import document_also, files, problems
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.routes.indexes import findings
from imindex.retrieval.serve.state import Here, State, answer

if TYPE_CHECKING:
    from imindex.retrieval.projection.stored import Projection

router = APIRouter(prefix="/api/v1/indexes", tags=["map"])
MAGIC = b"IMAP"
_AFTER = 2


@document_also
class MapPending(Result, kw_only=True, frozen=True):
    """A map that is being computed.

    Attributes
    ----------
    state : str
        computing.
    stage : str
        What is being done.
    rows : int
    """

    state: str
    stage: str
    rows: Count


class MapAbout(Result, kw_only=True, frozen=True):
    """What the columns of a map mean.

    Attributes
    ----------
    root : str
    rows : int
    method : str
        umap or pca.
    library : str
    sampled : bool
        Whether some rows were put between others, because there are too many.
    artists : tuple of str
        By number; 65535 stands for none.
    collections : tuple of str
        Name of the collection, by number.
    kinds : tuple of str
        Kind of the collection, by number.
    arms : tuple of str
        By number.
    releases : tuple of str
        Those that an audit judged.
    findings : dict of str to dict of str to str
        By release and artist.
    """

    root: str
    rows: Count
    method: str
    library: str
    sampled: bool
    artists: tuple[str, ...]
    collections: tuple[str, ...]
    kinds: tuple[str, ...]
    arms: tuple[str, ...]
    releases: tuple[str, ...]
    findings: Mapping[str, Mapping[str, str]]


class _Maps:
    """Maps that are computed, one at a time."""

    def __init__(self) -> None:
        self._lock, self._working = threading.Lock(), threading.Lock()
        self._stage: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._made: dict[str, Projection] = {}

    def of(self, generation: Generation) -> Projection | str:
        """Return the projection of an index, or what is being done to compute it.

        Raises
        ------
        Problem
            503 if it cannot be computed.
        """
        root = generation.index.root_digest
        with self._lock:
            if root in self._made:
                return self._made[root]
            if root in self._failed:
                raise Problem(503, f"The map cannot be computed: {self._failed[root]}")
            if root in self._stage:
                return self._stage[root]
            kept = generation.index.stored_projection()
            if kept is not None:
                self._keep(root, kept)
                return kept
            self._stage[root] = "waiting"
        threading.Thread(target=self._compute, args=(generation, root), name="map", daemon=True).start()
        return "waiting"

    def _compute(self, generation: Generation, root: str) -> None:
        def note(what: str) -> None:
            self._stage[root] = what

        try:
            with self._working:
                made = generation.index.projection(note=note)
            with self._lock:
                self._keep(root, made)
        except (ImindexError, OSError, ValueError, MemoryError) as error:
            self._failed[root] = str(error)
        finally:
            self._stage.pop(root, None)

    def _keep(self, root: str, made: Projection) -> None:
        while len(self._made) >= 4:
            del self._made[next(iter(self._made))]
        self._made[root] = made


_maps = _Maps()


@router.get(
    "/{index}/map", operation_id="get_map", response_model=None,
    responses={
        **files("application/octet-stream"),
        202: {
            "description": "It is being computed.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MapPending"}}},
        },
        **problems(404),
    },
)  # fmt: skip
def get_map(here: Here, index: str) -> Response:
    """Return the map of an index.

    The bytes are: ``IMAP``, the length of a JSON document (uint32), the document, zeros up to a multiple of 4, and then
    the columns, little-endian, one number per row: x and y (float32, a pair per row), artist (uint16), collection
    (uint8), arm (uint8). While the map is computed, the status is 202.
    """
    served = here.catalog.index(index)
    current = served.current()
    made = _maps.of(current)
    if isinstance(made, str):
        pending = answer(MapPending(state="computing", stage=made, rows=len(current.index)), 202)
        pending.headers["Retry-After"] = str(_AFTER)
        return pending
    data = packed(here, served, current, made)
    served.require(current)
    return Response(
        data,
        media_type="application/octet-stream",
        headers={"Cache-Control": "no-store"},
    )


def packed(here: State, served: ServedIndex, current: Generation, made: Projection) -> bytes:
    """Return the bytes of a map; see `get_map`."""
    columns = current.rows.codes()
    found = findings(here, served)
    releases = tuple(dict.fromkeys(one.release for results in found.values() for one in results))
    by_release: dict[str, dict[str, str]] = {release: {} for release in releases}
    for artist, results in found.items():
        for one in results:
            by_release[one.release][artist] = one.finding
    about = to_json(
        MapAbout(
            root=made.root,
            rows=len(made.xy),
            method=made.method,
            library=made.library,
            sampled=made.is_sampled,
            artists=columns.artists,
            collections=columns.collections,
            kinds=columns.kinds,
            arms=columns.arms,
            releases=releases,
            findings=by_release,
        )
    )
    padding = b"\0" * (-(len(about) + 8) % 4)
    return b"".join([
        MAGIC, struct.pack("<I", len(about)), about, padding, made.xy.astype("<f4").tobytes(),
        columns.artist.astype("<u2").tobytes(), columns.collection.astype(np.uint8).tobytes(),
        columns.arm.astype(np.uint8).tobytes(),
    ])  # fmt: skip
