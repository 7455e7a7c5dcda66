"""Which works a picture is compared with in detail: those with about the same outlines.

An encoder alone does not propose the work that was copied: recoloured, mirrored or cropped, a copy is often nearer to
many other works. So outlines are compared coarsely with every work first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from imindex.retrieval.evidence.outlines import MIDDLE, Field, Pixels, Sought, aspects, outlines, sized
from imindex.retrieval.vectors.blocks import Float64, Int64

CELL = 6
"""Edge of a cell, over which outlines are averaged."""
SCALES = (0.85, 1.0, 1.15, 1.3, 1.45)
_ACROSS = MIDDLE // CELL
_WORKS = 512
"""Works whose windows are held at a time; about 90 windows of 288 bytes each."""


def coarse_middles(sought: Sequence[Sought]) -> Field:
    """Return the coarse outlines of pictures and of their mirror images, shape (n, 2, d), unit length or 0."""
    middles = [[_cells(one.straight).ravel(), _cells(one.mirrored).ravel()] for one in sought]
    return _unit(np.array(middles).reshape(len(sought), 2, 2 * _ACROSS * _ACROSS))


def coarse_windows(pixels: Pixels, aspect: float) -> Field:
    """Return the coarse outlines of all parts of a work that have the size of a picture's middle, shape (n, d).

    A work that is not square is also squeezed into a square, as generators often show it.
    """
    parts = []
    for one, scale in itertools.product(aspects(aspect, 1.0), SCALES):
        cells = _cells(outlines(sized(pixels, one, scale)))
        windows = np.lib.stride_tricks.sliding_window_view(cells, (_ACROSS, _ACROSS), axis=(0, 1))
        parts.append(windows.transpose(0, 1, 3, 4, 2).reshape(-1, _ACROSS * _ACROSS * 2))
    return _unit(np.concatenate(parts))


def nearest_outlines(middles: Field, works: Iterator[tuple[int, Field]], k: int) -> Int64:
    """Return the k works whose coarse outlines are nearest to each picture.

    Parameters
    ----------
    middles : ndarray, shape (m, 2, d)
        From `coarse_middles`.
    works : iterator of (number, ndarray of shape (n, d))
        From `coarse_windows`, in ascending order of the numbers. Works without windows are left out by the caller.
    k : int

    Returns
    -------
    ndarray, shape (m, k), int64
        The nearest first; of equal ones the lower number. -1 where there are fewer works.
    """
    best_value: Float64 = np.full((len(middles), 0), -np.inf)
    best_work: Int64 = np.empty((len(middles), 0), np.int64)
    flat = middles.reshape(-1, middles.shape[-1])
    for numbers, windows, starts in _blocks(works):
        cosine = flat @ windows.T
        value = np.maximum.reduceat(cosine, starts, axis=1).reshape(len(middles), 2, -1).max(axis=1)
        # Rounded, so that the order of sums on this machine does not decide between equal works.
        values = np.concatenate([best_value, np.round(value.astype(np.float64), 4)], axis=1)
        known = np.concatenate([best_work, np.broadcast_to(numbers, value.shape)], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        best_value = np.take_along_axis(values, order, axis=1)
        best_work = np.take_along_axis(known, order, axis=1)
    missing = k - best_work.shape[1]
    return np.pad(best_work, ((0, 0), (0, missing)), constant_values=-1)


def _blocks(works: Iterator[tuple[int, Field]]) -> Iterator[tuple[Int64, Field, Int64]]:
    """Join the windows of some works at a time: the works' numbers, the windows, where each work's begin."""
    held: list[tuple[int, Field]] = []

    def joined() -> tuple[Int64, Field, Int64]:
        numbers = np.array([number for number, _ in held], np.int64)
        lengths = np.array([len(windows) for _, windows in held], np.int64)
        return numbers, np.concatenate([windows for _, windows in held]), np.cumsum(lengths) - lengths

    for one in works:
        held.append(one)
        if len(held) == _WORKS:
            yield joined()
            held.clear()
    if held:
        yield joined()


def _cells(field: Field) -> Field:
    """Average outlines over cells."""
    height, width = (edge // CELL for edge in field.shape[:2])
    whole = field[: height * CELL, : width * CELL]
    means: Field = whole.reshape(height, CELL, width, CELL, 2).mean(axis=(1, 3))
    return means


def _unit(vectors: Field) -> Field:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Field = (vectors / np.maximum(lengths, 1e-6)).astype(np.float32)
    return unit
