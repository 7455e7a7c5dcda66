"""Count imitations below and equal to own scores with PyTorch, on a GPU or on the CPU.

Products are in float64, where they are exact in any order of summation, also in that of tensor cores
(`imindex.retrieval.vectors.similarity`). So the counts are those of `imindex.retrieval.match.counting`, to the bit. The
tests run it on the CPU; it has not been exercised on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.retrieval.match.ranking import Sides
from imindex.retrieval.vectors.blocks import Int64

TILE_BYTES = 2**28
"""Size of the similarities that are computed at a time."""
_UNITS = 2.0**48


def count_on_device(
    sides: Sides,
    rows: Int64,
    own: Sequence[npt.NDArray[Any]],
    device: str,
    *,
    tile_bytes: int = TILE_BYTES,
) -> tuple[list[Int64], list[Int64]]:
    """Count the imitations below and equal to the own scores of some works.

    Parameters
    ----------
    sides : Sides
    rows : ndarray, shape (r,), int64
    own : sequence of r ndarrays
        The own scores of each work, ascending. At least one for each.
    device : str
        Such as ``cuda`` or ``cpu``.
    tile_bytes : int
        Approximate size of the similarities held at a time.

    Returns
    -------
    below, equal : list of r ndarrays of int64
    """
    import torch

    most = max(map(len, own))
    is_cosine = sides.csls_k is None
    padded = np.full((len(rows), most), np.inf if is_cosine else np.iinfo(np.int64).max, own[0].dtype)
    for line, line_scores in zip(padded, own, strict=True):
        line[: len(line_scores)] = line_scores
    limits: torch.Tensor = torch.from_numpy(padded).to(device)
    left = torch.from_numpy(sides.works[rows]).to(device, torch.float64)
    # Bin j of a work: scores above j of its own scores (or above or equal to j of them), and not above more.
    above = torch.zeros((len(rows), most + 1), dtype=torch.int64, device=device)
    reached = torch.zeros_like(above)
    width = max(1, tile_bytes // (8 * len(rows)))
    for start in range(0, len(sides.imitations), width):
        columns = slice(start, min(len(sides.imitations), start + width))
        tile = torch.from_numpy(np.ascontiguousarray(sides.imitations[columns])).to(device, torch.float64)
        scores = left @ tile.T
        if sides.csls_k is not None:
            penalties: torch.Tensor = torch.from_numpy(sides.penalties[columns]).to(device)
            scores = (scores * _UNITS).to(torch.int64) * (2 * sides.csls_k) - penalties
        ones = torch.ones((), dtype=torch.int64, device=device).expand(scores.shape)
        above.scatter_add_(1, torch.searchsorted(limits, scores), ones)
        reached.scatter_add_(1, torch.searchsorted(limits, scores, right=True), ones)
    # A score is below own score j if at most j own scores are at most it, and at most own score j if at most j are
    # below it.
    below = reached.cumsum(1).cpu().numpy()
    at_most = above.cumsum(1).cpu().numpy()
    lengths = [len(line) for line in own]
    return (
        [line[:n].copy() for line, n in zip(below, lengths, strict=True)],
        [line[:n] for line, n in zip(at_most - below, lengths, strict=True)],
    )
