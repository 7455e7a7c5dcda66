"""Small versions of pictures, to be compared pixel by pixel."""

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
    """Small versions of pictures, by path; each is read once, several at a time.

    A picture that is gone, or cannot be read any more, is None: what its vector says stands all the same.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Pixels | None] = {}

    def load(self, paths: Iterable[str]) -> None:
        """Read those pictures that have not been read."""
        missing = [path for path in dict.fromkeys(paths) if path not in self._seen]
        if missing:
            with ThreadPoolExecutor(processors()) as pool:
                self._seen.update(zip(missing, pool.map(_read, missing), strict=True))

    def forget(self, paths: Iterable[str]) -> None:
        """Let go of pictures that will not be needed again."""
        for path in paths:
            self._seen.pop(path, None)

    def alike(self, path: str, others: Sequence[str]) -> list[float]:
        """How alike a picture and others are, see `compositions`; NaN where one of two is None."""
        self.load([path, *others])
        one = self._seen[path]
        known = [look for look in (self._seen[other] for other in others) if look is not None]
        if one is None or not known:
            return [float("nan")] * len(others)
        found = iter(compositions(one, known))
        return [float("nan") if self._seen[other] is None else next(found) for other in others]


def _read(path: str) -> Pixels | None:
    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.decode.preprocess import Preprocess  # it imports torch

    look = Preprocess(size=(SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode="squash")
    try:
        return picture_of(read_bytes(path), look).pixels.numpy()
    except (OSError, BadPicture):
        return None


def compositions(one: Pixels, others: Sequence[Pixels]) -> list[float]:
    """`imindex.retrieval.evidence.near_copies.composition` of one small picture with each of several.

    Parameters
    ----------
    one : ndarray, shape (3, SIDE, SIDE), uint8
    others : sequence of ndarray, of that shape
        At least one.

    Notes
    -----
    Pixels less their mean are multiples of 2**-10 below 2**8, so sums of their products are exact in float64: the
    result is that of one pair at a time, to the bit.
    """
    own, wide = _centred(one[None]), _centred(np.stack(others))
    mirrored = own.reshape(one.shape)[:, :, ::-1].reshape(1, -1)
    size, sizes = float((own @ own.T).item()), np.einsum("np,np->n", wide, wide)
    norms = np.sqrt(size * sizes)
    found = []
    for straight, turned, norm in zip(*(wide @ x[0] for x in (own, mirrored)), norms, strict=True):
        ratios = [round(float(dot) / float(norm), 12) if norm else 0.0 for dot in (straight, turned)]
        found.append(max(ratios))
    return found


def _centred(pixels: Pixels) -> Float64:
    """Each channel of each picture less its mean, shape (n, 3 SIDE SIDE)."""
    wide = pixels.astype(np.float64)
    wide -= wide.mean(axis=(2, 3), keepdims=True)
    return wide.reshape(len(wide), -1)
