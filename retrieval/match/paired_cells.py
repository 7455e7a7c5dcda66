"""Observer of a walk over two releases: own imitations, ranked within their release and within both together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.retrieval.match.similarity_pass import Block, Columns, twice_midranks_in_rows
from imindex.retrieval.vectors.blocks import Float64, Int32, Int64


class Cells(NamedTuple):
    """Rank percentiles of one artist's own imitations: w works, n imitations of the base and m of the new release.

    Each value is the fraction of imitations of other names that are further from the work, ties counting one half.
    Works are in the order of their numbers, imitations in the order of their columns.

    Attributes
    ----------
    base, new : ndarray, shape (w, n) and (w, m), float64
        Among the imitations of the same release.
    both : ndarray, shape (w, n + m), float64
        Among the imitations of both releases. Those of the base come first.
    """

    base: Float64
    new: Float64
    both: Float64


class PairedCells:
    """Observer that keeps the `Cells` of every artist. It receives the blocks of two releases, ranked alike.

    Notes
    -----
    Memory: 8 bytes for each pair of a work and an own imitation of either release, and for each pair of an artist and
    an imitation.
    """

    def __init__(self) -> None:
        self._parts: dict[int, list[tuple[Int64, Int32, Int32, Int32]]] = {}
        self._sizes: tuple[Int64, Int64] | None = None
        self._columns: tuple[Columns, Columns] | None = None
        self._sums: dict[int, tuple[Int64, Int64]] = {}

    def add(self, rows: Int64, *seen: Block) -> None:
        """Receive some works."""
        base, new = seen
        self.watch(base.columns, new.columns)
        for artist, here in base.runs:
            if artist not in base.further or artist not in new.further:
                continue
            before = self._sums.get(artist, (0, 0))
            self._sums[artist] = (
                before[0] + base.midrank[here].sum(axis=0, dtype=np.int64),
                before[1] + new.midrank[here].sum(axis=0, dtype=np.int64),
            )
            twice = np.concatenate(
                [_in_both(base, new, artist, here), _in_both(new, base, artist, here)], axis=1
            )
            cells = base.further[artist], new.further[artist], twice - twice_midranks_in_rows(twice)
            first, second, both = (cell.astype(np.int32) for cell in cells)
            self._parts.setdefault(artist, []).append((rows[here], first, second, both))

    def watch(self, base: Columns, new: Columns) -> None:
        """Say which releases are received."""
        self._sizes, self._columns = (base.counts, new.counts), (base, new)

    def received(self) -> Any:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        return self._parts, self._sums

    def absorb(self, received: Any) -> None:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`. The releases must be said with `watch`."""
        parts, sums = received
        self._parts.update(parts)
        self._sums.update(sums)

    def of(self, artist: int) -> Cells:
        """Return the cells of an artist that has works, and imitations in both releases."""
        assert self._sizes is not None
        numbers, *cells = (np.concatenate(part) for part in zip(*self._parts[artist], strict=True))
        order = np.argsort(numbers)
        others = [int(sizes.sum() - sizes[artist]) for sizes in self._sizes]
        base, new, both = (
            _fraction(cell[order], n) for cell, n in zip(cells, [*others, sum(others)], strict=True)
        )
        return Cells(base, new, both)

    def sums(self, artist: int, name: int) -> tuple[Int64, Int64]:
        """Return, for the imitations of a name, the sums of ranks over an artist's works, for both releases.

        Returns
        -------
        pair of ndarray, shape (n,) and (m,), int64
            Of each imitation: twice its midrank from below among all imitations of its release, summed over the works.
        """
        assert self._columns is not None
        base, new = self._columns
        sums = self._sums[artist]
        return sums[0][base.own(name)], sums[1][new.own(name)]


def _in_both(own: Block, other: Block, artist: int, here: slice) -> Int64:
    """Return twice the midranks of an artist's imitations of one release among the imitations of both."""
    columns = own.columns.own(artist)
    among_other = [
        line.searchsorted(values, "left") + line.searchsorted(values, "right")
        for line, values in zip(other.ordered[here], own.scores[here, columns], strict=True)
    ]
    return np.asarray(own.midrank[here, columns] + np.array(among_other))


def _fraction(further: npt.NDArray[np.integer], n_others: int) -> Float64:
    """Return counts of imitations that are further, doubled, as fractions; without columns if there are no others."""
    if not n_others:
        return np.empty((len(further), 0))
    return further.astype(np.int64) / (2 * n_others)
