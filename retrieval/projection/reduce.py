"""Vectors -> points in the plane."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError

Method = Literal["umap", "pca"]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Nearest = Callable[[npt.NDArray[np.float16], int, Int64], tuple[Int64, npt.NDArray[np.float64]]]
"""Finds the k nearest among some rows: (queries, k, rows) -> places in `rows` and cosines, (Q, k) each."""
NEIGHBOURS = 15
SAMPLE = 100_000
"""Most rows that are laid out together. The others are put between their nearest of these."""
ANCHORS = 5
"""How many."""
_BLOCK = 4096


def best_method() -> Method:
    """Return "umap" where umap-learn is installed, else "pca"."""
    return "umap" if find_spec("umap") is not None else "pca"


def reduce(
    vectors: npt.NDArray[np.float16],
    nearest: Nearest,
    *,
    method: Method,
    seed: int = 0,
    sample: int = SAMPLE,
    note: Callable[[str], None] = lambda _: None,
) -> Float32:
    """Lay vectors out in the plane, so that near ones are near where that is possible.

    Parameters
    ----------
    vectors : ndarray, shape (n, d), float16
        Unit vectors.
    nearest : callable
    method : {"umap", "pca"}
        UMAP (McInnes et al. 2018, arXiv:1802.03426) keeps neighbours together; distances between groups mean little.
        PCA shows the two directions of the largest variance.
    seed : int
    sample : int
        Most rows that are laid out together.
    note : callable
        Called with what is being done.

    Returns
    -------
    ndarray, shape (n, 2), float32
        Centred, and scaled so that the points fill the square from -1 to 1. The same vectors and seed give the same
        points on the same machine, to the bit.

    Raises
    ------
    ImindexError
        If umap-learn is missing, and `method` is "umap".
    """
    n = len(vectors)
    if n < 3:
        return np.column_stack([np.linspace(-0.5, 0.5, n), np.zeros(n)]).astype(np.float32) if n else _empty()
    rows = np.arange(n)
    if n > sample:
        rows = np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    note("principal components")
    chosen = np.asarray(vectors[rows])
    flat = _pca(chosen)
    if method == "umap" and len(rows) > NEIGHBOURS:
        flat = _umap(chosen, flat, rows, nearest, seed, note)
    flat = _scaled(flat)
    if len(rows) == n:
        return flat
    note("rows outside the sample")
    placed = np.empty((n, 2), np.float32)
    placed[rows] = flat
    others = np.setdiff1d(np.arange(n), rows)
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK]
        places, cosines = nearest(np.asarray(vectors[block]), ANCHORS, rows)
        weights = np.maximum(cosines, 1e-3)
        weights /= weights.sum(axis=1, keepdims=True)
        placed[block] = (flat[places] * weights[:, :, None]).sum(axis=1)
    return placed


def _empty() -> Float32:
    return np.empty((0, 2), np.float32)


def _pca(vectors: npt.NDArray[np.float16]) -> Float32:
    """Return the first two principal components; the sign is such that the largest loading is positive."""
    n, dim = vectors.shape
    mean, products = np.zeros(dim), np.zeros((dim, dim))
    for start in range(0, n, _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float64)
        mean += block.sum(axis=0)
        products += block.T @ block
    mean /= n
    _, axes = np.linalg.eigh(products / n - np.outer(mean, mean))
    axes = axes[:, ::-1][:, :2] if dim > 1 else np.column_stack([axes[:, :1], np.zeros((1, 1))])
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    flat = np.empty((n, 2))
    for start in range(0, n, _BLOCK):
        flat[start : start + _BLOCK] = (vectors[start : start + _BLOCK].astype(np.float64) - mean) @ axes
    return flat.astype(np.float32)


def _umap(
    vectors: npt.NDArray[np.float16],
    start: Float32,
    rows: Int64,
    nearest: Nearest,
    seed: int,
    note: Callable[[str], None],
) -> Float32:
    if find_spec("umap") is None:
        raise ImindexError(
            "umap-learn is not installed. Run: pip install 'imindex[map]', or use the method pca."
        )
    note("neighbours")
    places, cosines = (
        np.empty((len(rows), NEIGHBOURS), np.int32),
        np.empty((len(rows), NEIGHBOURS), np.float32),
    )
    for first in range(0, len(rows), _BLOCK):
        block = slice(first, first + _BLOCK)
        places[block], cosines[block] = nearest(vectors[block], NEIGHBOURS, rows)
    note("layout")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on seeds and threads, and on groups without connections
        from umap import UMAP

        model = UMAP(
            n_neighbors=NEIGHBOURS,
            min_dist=0.5,
            init=(5 * _scaled(start)).astype(np.float32),
            random_state=seed,
            transform_seed=seed,
            precomputed_knn=(places, np.sqrt(np.maximum(0, 2 - 2 * cosines)), None),
        )
        return np.asarray(model.fit_transform(vectors.astype(np.float32)), np.float32)


def _scaled(flat: Float32) -> Float32:
    low, high = np.nanpercentile(flat, [0.5, 99.5], axis=0)
    middle, span = (low + high) / 2, max(float((high - low).max()), 1e-9)
    inside = np.clip((flat - middle) / (span / 2), -1.05, 1.05)
    return np.asarray(np.nan_to_num(inside), np.float32)
