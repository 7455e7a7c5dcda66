"""Small versions of pictures, to compare them pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.sources.local import read_bytes
from imindex.indexer.system.cpu import processors
from imindex.retrieval.vectors.blocks import Float64

SIDE = 32

Pixels = npt.NDArray[np.uint8]


class Looks:
    """Cache of small versions of pictures, by path. Several pictures are read at a time.

    A picture that is missing, or can no longer be read, has no small version.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Pixels | None] = {}

    def load(self, paths: Iterable[str]) -> None:
        """Read the pictures that are not in the cache."""
        missing = [path for path in dict.fromkeys(paths) if path not in self._seen]
        if missing:
            with ThreadPoolExecutor(processors()) as pool:
                self._seen.update(zip(missing, pool.map(_read, missing), strict=True))

    def forget(self, paths: Iterable[str]) -> None:
        """Remove pictures from the cache."""
        for path in paths:
            self._seen.pop(path, None)

    def alike(self, path: str, others: Sequence[str]) -> list[float]:
        """Return the `compositions` of a picture with others; NaN if either of two pictures is missing."""
        self.load([path, *others])
        look = self._seen[path]
        known = [pixels for pixels in (self._seen[other] for other in others) if pixels is not None]
        if look is None or not known:
            return [float("nan")] * len(others)
        correlations = iter(compositions(look, known))
        return [float("nan") if self._seen[other] is None else next(correlations) for other in others]


def _read(path: str) -> Pixels | None:
    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.decode.preprocess import Preprocess  # it imports torch

    look = Preprocess(size=(SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode="squash")
    try:
        return picture_of(read_bytes(path), look).pixels.numpy()
    except (OSError, BadPicture):
        return None


def compositions(look: Pixels, others: Sequence[Pixels]) -> list[float]:
    """Return the `imindex.retrieval.evidence.near_copies.composition` of one small picture with each of several others.

    Parameters
    ----------
    look : ndarray, shape (3, SIDE, SIDE), uint8
    others : sequence of ndarray, of that shape
        At least one.

    Notes
    -----
    Pixels minus their mean are multiples of 2**-10 below 2**8, so sums of their products are exact in float64, and the
    results are bit-identical to those of one pair at a time.
    """
    own, wide = _centred(look[None]), _centred(np.stack(others))
    mirrored = own.reshape(look.shape)[:, :, ::-1].reshape(1, -1)
    size, sizes = float((own @ own.T).item()), np.einsum("np,np->n", wide, wide)
    norms = np.sqrt(size * sizes)
    correlations = []
    for straight, turned, norm in zip(*(wide @ pixels[0] for pixels in (own, mirrored)), norms, strict=True):
        ratios = [round(float(dot) / float(norm), 12) if norm else 0.0 for dot in (straight, turned)]
        correlations.append(max(ratios))
    return correlations


def _centred(pixels: Pixels) -> Float64:
    """Return each channel of each picture minus its mean, shape (n, 3 SIDE SIDE)."""
    wide = pixels.astype(np.float64)
    wide -= wide.mean(axis=(2, 3), keepdims=True)
    return wide.reshape(len(wide), -1)
