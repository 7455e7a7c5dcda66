"""Changes of artists' sets between two releases, against the changes of the sets of placebo names."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.compare.prepare import Loaded, Prepared
from imindex.retrieval.compare.sets import ReleaseSet
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import Alternative, FigureName
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.changes import ChangeTest, MeanChange, change_test, mean_change
from imindex.stats.intervals import Spread
from imindex.stats.keyed import generator
from imindex.stats.resampling import OverArtists, over_artists

Pairs = Sequence[tuple[ReleaseSet, ReleaseSet]]


@dataclass(frozen=True, eq=False)
class Against:
    """Changes of the AUC of every set for A artists, of N names.

    Attributes
    ----------
    tests : ChangeTest
        One value per artist.
    changes : ndarray, shape (A, N), float64
        AUC of the set of each name for each artist's works, new minus base.
    names : list of str, length N
    own : ndarray, shape (A,), int64
        Column of each artist's own set.
    comparable : ndarray, shape (A, N), bool
        Placebo names prompted in the same way as the artist in both releases.
    design : list of tuple, length A
        Equal for artists whose sets have the same sizes and designs in both releases.
    """

    tests: ChangeTest
    changes: Float64
    names: list[str]
    own: Int64
    comparable: npt.NDArray[np.bool_]
    design: list[tuple[int, int, int, int]]

    def mean(
        self, pairs: Pairs, sides: Sequence[Loaded], alternative: Alternative, testing: Testing
    ) -> MeanChange | None:
        """Return the mean change beyond placebo names, over the artists of the most common design; None without
        these.
        """
        usable = self.comparable & ~np.isnan(self.changes)
        known = [place for place in range(len(pairs)) if usable[place].any()]
        if not known:
            return None
        common = Counter(self.design[place] for place in known).most_common(1)[0][0]
        chosen = [place for place in known if self.design[place] == common]
        placebos = np.flatnonzero(usable[chosen].all(axis=0)).tolist()
        placebos.sort(
            key=lambda column: self.names[column]
        )  # the draws do not depend on the order of the index
        moved = _over([pairs[a] for a in chosen], sides, "auc")
        n_moves = len(moved.moves)
        shared = float(moved.moves @ moved.moves) * n_moves / (n_moves - 1) if n_moves > 1 else 0.0
        return mean_change(
            self.changes[chosen],
            self.own[chosen],
            placebos,
            alternative=alternative,
            confidence_level=testing.confidence_level,
            prompt_variance=shared,
            n_resamples=testing.n_resamples,
            rng=generator(testing.seed, "mean change beyond placebo names"),
        )


def changes_of(prepared: Prepared, alternative: Alternative, testing: Testing) -> Against:
    """Compute the changes of all sets, and test those of the artists.

    Parameters
    ----------
    prepared : Prepared
        With `aucs`.
    alternative : {"two-sided", "less", "greater"}
    testing : Testing

    Returns
    -------
    Against
    """
    assert prepared.aucs is not None
    base, new = prepared.sets
    auc = functools.cache(prepared.aucs)
    designs = functools.cache(lambda release, size: prepared.sets[release].designs(size))
    names = list(prepared.numbers)
    common = set.intersection(*({side.names[a] for a in side.placebos} for side in prepared.sides))
    placebo = np.isin(names, sorted(common))
    own = np.array([prepared.numbers[artist] for artist in prepared.artists], np.int64)
    shape = (len(own), len(names))
    changes, comparable, design = np.full(shape, np.nan), np.zeros(shape, np.bool_), []
    usable = comparable.copy()
    for place, (artist, number) in enumerate(zip(prepared.artists, own.tolist(), strict=True)):
        sizes = int(base.sizes[number]), int(new.sizes[number])
        before, after = (auc(release, size)[place] for release, size in enumerate(sizes))
        changes[place] = after - before
        like = [designs(release, size) for release, size in enumerate(sizes)]
        comparable[place] = placebo & (like[0] == like[0][number]) & (like[1] == like[1][number])
        design.append((*sizes, int(like[0][number]), int(like[1][number])))
        chosen = prepared.references.get(artist)
        usable[place] = comparable[place] & (True if chosen is None else np.isin(names, list(chosen)))
    tests = change_test(
        changes, own, usable, alternative=alternative, confidence_level=testing.confidence_level
    )
    return Against(tests, changes, names, own, comparable, design)


def spreads(pairs: Pairs, sides: Sequence[Loaded]) -> dict[FigureName, Spread]:
    """Return the variance of the mean change over artists, with the prompts that artists share; by figure."""
    found: dict[FigureName, Spread] = {"auc": _over(pairs, sides, "auc").spread}
    if all(side.right is not None for pair in pairs for side in pair):
        found["accuracy"] = _over(pairs, sides, "accuracy").spread
    return found


def _over(pairs: Pairs, sides: Sequence[Loaded], figure: FigureName) -> OverArtists:
    """Return the mean change over artists and its variance.

    A picture of the new release counts with its value, one of the base with its negative value, both centred at the
    mean of their set, so that the mean of an artist is the change.
    """
    values, artist, prompt = [], [], []
    for place, pair in enumerate(pairs):
        means, parts = [], []
        for release, loaded in zip(pair, sides, strict=True):
            right = release.own.mean(axis=0) if figure == "auc" else np.asarray(release.right, np.float64)
            means.append(float(right.mean()))
            parts.append(right - right.mean())
            prompt += [loaded.shared[column] for column in release.columns.tolist()]
        n = sum(len(part) for part in parts)
        for part, sign in zip(parts, (-1, 1), strict=True):
            values.append(means[1] - means[0] + sign * part * n / len(part))
        artist += [place] * n
    # A text that starts with a null character is of one picture of one release.
    unique = [text if not text.startswith("\0") else f"{text}{place}" for place, text in enumerate(prompt)]
    return over_artists(np.concatenate(values), artist, unique)


def notes_on(against: Against, beyond: MeanChange | None, testing: Testing, fewest: int | None) -> list[str]:
    """Return sentences on the tests against placebo names, or on why there are none."""
    n = against.tests.n_reference
    if beyond is None or not n.any():
        return [
            "No test of a change is possible: the two releases have no placebo names in common that were "
            "prompted in the same way as an artist. Without them, a change of imitation cannot be told from a "
            "drift that moves all pictures. p_auc_exchange in JSON describes whether pictures differ between the "
            "releases for any reason."
        ]
    notes = [
        f"p of an artist is the larger of two: the rank of the change among those of {_count(n)} placebo names, "
        "which is right under any drift between the releases, and an exchange of pictures between the releases, "
        "which is right where the artist is imitated in both.",
    ]
    if fewest is None:
        notes.append(f"With so few placebo names no adjusted p can be at or below {testing.level:g}.")
    elif fewest > 1:
        notes.append(
            f"With so few placebo names an adjusted p can be at or below {testing.level:g} only if at least "
            f"{fewest} artists are found together."
        )
    return notes


def _count(n: Int64) -> str:
    known = n[n > 0]
    return str(known.min()) if known.min() == known.max() else f"{known.min()} to {known.max()}"
