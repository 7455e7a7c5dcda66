"""The projection of an index, kept in a file beside it: one per root digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann.exact import exact_searcher
from imindex.indexer.core.arguments import one_of
from imindex.indexer.core.bounds import SEED
from imindex.indexer.core.url import Url
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.input_files import read_input
from imindex.retrieval.projection.reduce import SAMPLE, Method, best_method, reduce
from imindex.retrieval.search.nearest import nearest

SUFFIX = ".map.safetensors"
FORMAT = "imindex-map-1"


@dataclass(frozen=True, eq=False)
class Projection:
    """An index in the plane.

    Attributes
    ----------
    xy : ndarray, shape (n, 2), float32
        A point per row, in the square from -1 to 1; up to 1.05 for a few outliers.
    method : str
        "umap" or "pca".
    seed : int
    root : str
        Root digest of the index.
    library : str
        What computed it, such as ``umap-learn 0.5.12``.
    file : Path or None
        Where it is kept; None if the folder of the index cannot be written to.
    """

    xy: npt.NDArray[np.float32]
    method: str
    seed: int
    root: str
    library: str
    file: Path | None = None

    @property
    def is_sampled(self) -> bool:
        """Whether some rows were put between others, because there are too many."""
        return len(self.xy) > SAMPLE


def file_of(index: Index) -> Path | None:
    """Return where the projection of an index is kept; None for an index of several files or in an object store."""
    if isinstance(index.path, Url) or not isinstance(index.files, str):
        return None
    return Path(index.path).with_name(f"{Path(index.path).name}{SUFFIX}")


def stored_projection(index: Index) -> Projection | None:
    """Return the projection that is kept beside an index; None if there is none of this root digest.

    The file may be anybody's: it is data without code, and what does not fit is ignored.
    """
    file = file_of(index)
    if file is None or not file.is_file():
        return None
    try:
        return _read(index, file)
    except Exception:  # damaged, or something else: it is computed again
        return None


def projection(
    index: Index,
    *,
    method: Method | None = None,
    seed: int = 0,
    force: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Projection:
    """Return the projection of an index, from its file or computed and kept there.

    Parameters
    ----------
    index : Index
    method : {"umap", "pca"}, optional
        By default that of the file, or else the best one that is installed.
    seed : int
    force : bool
        Compute it even if it is kept.
    note : callable
        Called with what is being done.

    Raises
    ------
    ImindexError
        If the method is not installed.
    """
    SEED.check(seed, "seed")
    if method is not None:
        one_of(method, ("umap", "pca"), "method")
    kept = None if force else stored_projection(index)
    if kept is not None and (method in (None, kept.method)) and kept.seed == seed:
        return kept
    chosen = method or best_method()
    searcher = exact_searcher(index.vectors, "cpu")

    def find(
        queries: npt.NDArray[np.float16], k: int, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        among = np.zeros(index.n, np.bool_)
        among[rows] = True
        found = nearest(searcher, index.vectors, queries, k=k, among=among)
        return np.searchsorted(rows, found.rows), found.scores

    xy = reduce(index.vectors, find, method=chosen, seed=seed, note=note)
    made = Projection(xy, chosen, seed, index.root_digest, _library(chosen))
    return _keep(index, made)


def _keep(index: Index, made: Projection) -> Projection:
    import safetensors.numpy

    file = file_of(index)
    if file is None:
        return made
    about = {
        "format": FORMAT, "root": made.root, "method": made.method, "seed": str(made.seed), "library": made.library,
    }  # fmt: skip
    try:
        write_file(file, safetensors.numpy.save({"xy": made.xy}, about))
    except OSError:
        return made
    return Projection(made.xy, made.method, made.seed, made.root, made.library, file)


def _read(index: Index, file: Path) -> Projection | None:
    import json
    import struct

    import safetensors.numpy

    most = 8 * index.n + 100_000
    if file.stat().st_size > most:
        return None
    data = read_input(file)
    size = struct.unpack("<Q", data[:8])[0]
    about = json.loads(data[8 : 8 + size])["__metadata__"]
    if (
        about["format"] != FORMAT
        or about["root"] != index.root_digest
        or about["method"] not in ("umap", "pca")
    ):
        return None
    xy = safetensors.numpy.load(data)["xy"]
    if xy.dtype != np.float32 or xy.shape != (index.n, 2) or not np.isfinite(xy).all():
        return None
    return Projection(
        xy, about["method"], int(about["seed"]), about["root"], str(about["library"])[:100], file
    )


def _library(method: str) -> str:
    name = {"umap": "umap-learn", "pca": "numpy"}[method]
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name
