"""The works that works are compared with: all of them, or a sample where there are very many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.results import SampledWorks
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.keyed import generator

BACKGROUND = 25_000
"""Number of works by other artists, by default, with which works are compared."""
OWN = 25_000
"""Number of works by the artists that a release was asked for, which are compared with each other."""
EACH = 1_000
"""Number of works of one artist that are compared with each other, and with those of others."""
FEWEST = 5
"""Of each artist, at least this many works are kept if there are as many, and if all artists together have room."""


@dataclass(frozen=True, eq=False)
class Compared:
    """The works that are compared with each other.

    Attributes
    ----------
    rows : ndarray, shape (n,), int64
        Their positions among all distinct works, ascending.
    sampled : SampledWorks or None
        What was drawn; None if these are all works.
    """

    rows: Int64
    sampled: SampledWorks | None


def compared_works(
    work_artist: Int64, asked: npt.NDArray[np.bool_], names: Sequence[str], *, background: int, seed: int
) -> Compared:
    """Draw the works that are compared with each other.

    Parameters
    ----------
    work_artist : ndarray, shape (W,), int64
        The artist of each distinct work, the background included.
    asked : ndarray, shape (A,), bool
        The artists whose names some release was asked for. Their works are drawn only if there are more than `OWN`.
    names : sequence of str, length A
        The draws of an artist depend on the seed and its name only.
    background : int
        Most works by all other artists, at least 1.
    seed : int

    Returns
    -------
    Compared

    Notes
    -----
    Of no artist more than `EACH` works are kept. Beyond that, every artist of a group keeps the same share of its
    works, but at least `FEWEST`, so that a work by another artist is drawn about as often as any other. If there is no
    room for `FEWEST` works of each, fewer are kept, and if there are more artists than room, artists are drawn.

    Works are drawn without replacement, in an order that each artist's own generator gives; a smaller sample is the
    beginning of a larger one.
    """
    n_works = np.bincount(work_artist, minlength=len(asked))
    kept = np.zeros(len(asked), np.int64)
    for group, most in ((asked, OWN), (~asked, background)):
        artists = np.flatnonzero(group & (n_works > 0))
        kept[artists] = _shares(n_works[artists], most, [names[a] for a in artists.tolist()], seed)
    if (kept == n_works).all():
        return Compared(np.arange(len(work_artist)), None)
    by_artist = np.argsort(work_artist, kind="stable")
    ends = np.cumsum(n_works)
    rows = []
    for artist in np.flatnonzero(kept).tolist():
        own = by_artist[ends[artist] - n_works[artist] : ends[artist]]
        if kept[artist] < len(own):
            own = generator(seed, "compared works", names[artist]).permutation(own)[: kept[artist]]
        rows.append(own)
    return Compared(
        np.sort(np.concatenate(rows)),
        SampledWorks(
            n_own=int(kept[asked].sum()),
            of_own=int(n_works[asked].sum()),
            n_background=int(kept[~asked].sum()),
            of_background=int(n_works[~asked].sum()),
            seed=seed,
        ),
    )


def sampling_notes(sampled: SampledWorks | None) -> tuple[str, ...]:
    """Say what was drawn, in a sentence; nothing if all works are compared."""
    if sampled is None:
        return ()
    parts = [
        f"{n:,} of {of:,} {whose}"
        for n, of, whose in (
            (sampled.n_own, sampled.of_own, "works by artists whose names were asked for"),
            (sampled.n_background, sampled.of_background, "other works"),
        )
        if n < of
    ]
    return (
        f"Works are compared with each other by a random sample: {' and '.join(parts)} (seed {sampled.seed}). Gaps, "
        "ceilings and the check of own works rest on it; ranks, AUCs and tests against other names do not.",
    )


def _shares(n_works: Int64, most: int, names: Sequence[str], seed: int) -> Int64:
    """Return how many works of each artist are kept, in all at most `most`."""
    capped = np.minimum(n_works, EACH)
    if capped.sum() <= most:
        return capped
    if len(capped) > most:
        chance: Float64 = np.array([generator(seed, "compared artists", name).random() for name in names])
        chosen = np.zeros(len(capped), np.int64)
        chosen[np.argsort(chance, kind="stable")[:most]] = 1
        return chosen
    least = next(np.minimum(capped, k) for k in range(FEWEST, 0, -1) if np.minimum(capped, k).sum() <= most)
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if np.maximum(least, (middle * capped).astype(np.int64)).sum() <= most:
            low = middle
        else:
            high = middle
    return np.maximum(least, (low * capped).astype(np.int64))
