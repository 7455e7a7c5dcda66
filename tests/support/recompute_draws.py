"""Random draws for `recompute`, and windows for figures that depend on such draws."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

Array = np.ndarray[Any, Any]
RARE = 1e-6
DRAWN = 8
"""Our number of draws, as a multiple of the report's."""
SHRINKAGE = 2e-3
"""Tolerance of figures that are shrunk towards their mean by a variance that was itself drawn."""
LEAST_CACHE = 2**17
"""The report draws the units of a bootstrap in one piece up to this many numbers (stats/METHODS.md)."""
_random = np.random.default_rng(20_261_124)


class Check:
    """Collects differences, each with its location."""

    def __init__(self, problems: list[str] | None = None, place: str = ""):
        self.problems = [] if problems is None else problems
        self._place = place

    def at(self, place: str) -> Check:
        """The same list, one level deeper."""
        return Check(self.problems, f"{self._place}{place}: ")

    def same(self, where: str, said: Any, wanted: Any, room: float = 1e-9) -> None:
        """Expect equality: of numbers up to rounding (p-values relative to their size), and None for None."""
        if isinstance(wanted, float | np.floating) and math.isnan(wanted):
            wanted = None
        number = isinstance(wanted, int | float | np.number) and not isinstance(wanted, bool | np.bool_)
        if number and isinstance(said, int | float) and not isinstance(said, bool):
            near = abs(said - wanted) <= room and (room > 1e-9 or abs(wanted) > 1e-3)
            right = near or math.isclose(said, wanted, rel_tol=1e-9, abs_tol=1e-15)
        else:
            right = said == wanted
        if not right:
            self.problems.append(
                f"{self._place}{where}: the report says {said!r}, computed again it is {wanted!r}"
            )

    def within(self, where: str, said: Any, wanted: Any) -> None:
        """Expect a value within a window (low, high), or equal to a number."""
        if not isinstance(wanted, tuple):
            self.same(where, said, wanted)
        elif said is None or not wanted[0] - 1e-7 <= said <= wanted[1] + 1e-7:
            self.problems.append(
                f"{self._place}{where}: the report says {said!r}, drawn again it is in {wanted}"
            )


# Draws


def keyed(seed: int, *key: str) -> np.random.Generator:
    """The stream of a seed and a key, as specified in stats/METHODS.md, implemented without `imindex.stats.keyed`."""
    text = "[" + ",".join([str(seed), *map(_quoted, key)]) + "]"
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(number)))


def _quoted(text: str) -> str:
    """JSON of a text, in ASCII; control characters do not occur in names here."""
    out = []
    for unit in memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H"):
        plain = 32 <= unit < 127 and chr(unit) not in '"\\'
        out.append(chr(unit) if plain else f"\\{chr(unit)}" if 32 <= unit < 127 else f"\\u{unit:04x}")
    return '"' + "".join(out) + '"'


def same_units(random: np.random.Generator, n: int, n_resamples: int) -> Array:
    """Which of n units the report drew in each resample, shape (n_resamples, n)."""
    if n * n_resamples > LEAST_CACHE:
        raise ValueError("Drawn in several blocks: not repeated here.")
    return random.integers(0, n, (n_resamples, n), dtype=np.uint16).astype(np.int64)


def unit_counts(n: int, n_resamples: int) -> Array:
    """How often each of n units is drawn, with replacement."""
    return _random.multinomial(n, np.full(n, 1 / n), n_resamples).astype(float)


def cluster_counts(clusters: Sequence[int], n_resamples: int) -> Array:
    """Draw clusters, then from each as many members as it has."""
    labels = np.array(clusters)
    groups = [np.flatnonzero(labels == c) for c in sorted(set(clusters))]
    times = unit_counts(len(groups), n_resamples).astype(int)
    out = np.zeros((n_resamples, len(labels)))
    for place, rows in enumerate(groups):
        out[:, rows] = _random.multinomial(times[:, place] * len(rows), np.full(len(rows), 1 / len(rows)))
    return out


def crossed(cell: Array, clusters: Sequence[int] | None, n_resamples: int) -> Array:
    """The mean of works x imitations in resamples of both (Owen 2007)."""
    rows = unit_counts(len(cell), n_resamples)
    columns = (
        unit_counts(cell.shape[1], n_resamples) if clusters is None else cluster_counts(clusters, n_resamples)
    )
    return weighted_means(cell, rows, columns)


def weighted_means(cell: Array, rows: Array, columns: Array) -> Array:
    """The mean of a matrix by how often each row and each column was drawn."""
    return np.asarray(((rows @ cell) * columns).sum(axis=1) / (rows.sum(axis=1) * columns.sum(axis=1)))


# Intervals without draws


def share_ends(
    estimate: float, parts: Sequence[tuple[float, int]], n: int, level: float
) -> tuple[float, float]:
    """Clopper-Pearson on the fractional count, next to 0 and 1 that of n units (stats/METHODS.md).

    `parts` has the variances that are added, each with its degrees of freedom.
    """
    if n < 2:
        return math.nan, math.nan
    variance = max(sum(part for part, _ in parts), 0.0)
    below = sum(part**2 / df for part, df in parts)
    df = max(variance**2 / below, min(df for _, df in parts)) if below > 0 else n - 1
    upper = (1 + level) / 2
    variance *= (stats.t.ppf(upper, df) / stats.norm.ppf(upper)) ** 2
    weight, binomial = (2 * estimate - 1) ** 8, estimate * (1 - estimate)
    if binomial == 0:
        return clopper_pearson(estimate * n, n, level)
    trials = binomial / ((1 - weight) * variance + weight * binomial / n)
    return clopper_pearson(estimate * trials, trials, level)


def jackknife(total: float, size: float, sums: Array, sizes: Array) -> tuple[float, int]:
    """The variance of a mean by leaving out each unit in turn, and its degrees of freedom."""
    without = (total - sums) / (size - sizes)
    n = len(without)
    return float((n - 1) / n * ((without - without.mean()) ** 2).sum()), n - 1


def mean_of_artists(
    values: Mapping[str, Array], shared: Mapping[str, Sequence[str]], level: float, floor: float = 0.0
) -> tuple[float, float]:
    """The interval of the mean over artists, of a value per picture, where artists may share prompts."""
    means = np.array([some.mean() for some in values.values()])
    n_artists = len(means)
    if n_artists < 2:
        return math.nan, math.nan
    names = sorted({label for labels in shared.values() for label in labels})
    influence = np.zeros((len(names), n_artists))
    for a, (name, some) in enumerate(values.items()):
        for label, value in zip(shared[name], some, strict=True):
            influence[names.index(label), a] += (value - means[a]) / len(some)
    users = [sum(label in labels for labels in shared.values()) for label in names]
    parts, n = [(means.var(ddof=1) / n_artists, n_artists - 1)], n_artists
    if max(users) > 1:
        n_labels = len(names)
        more = n_labels / (n_labels - 1)
        added = more * influence.var(axis=1, ddof=1).sum() / n_artists
        joint = more * (influence.mean(axis=1) ** 2).sum()
        n = min(n, n_labels)
        total = max(0.0, parts[0][0] - added) + joint
        below = parts[0][0] ** 2 / (n_artists - 1) + added**2 / ((n_artists - 1) * (n_labels - 1))
        below += joint**2 / (n_labels - 1)
        df = (parts[0][0] - added + joint) ** 2 / below if below > 0 else 0
        parts = [(total, max(df, n - 1))]
    parts = [(max(parts[0][0], floor), parts[0][1])]
    return share_ends(float(means.mean()), parts, n, level)


# Windows


def clopper_pearson(n_right: float, n: float, confidence_level: float) -> tuple[float, float]:
    """The exact interval of a proportion, also for a count that is not an integer."""
    tail, wrong = (1 - confidence_level) / 2, n - n_right
    low = float(stats.beta.ppf(tail, n_right, wrong + 1)) if n_right > 1e-12 else 0.0
    high = float(stats.beta.ppf(1 - tail, n_right + 1, wrong)) if wrong > 1e-12 else 1.0
    return low, high


def widened(tests: Mapping[str, Any], n: int) -> float:
    """The level of each end of a percentile interval, widened for n units (Hesterberg 2015)."""
    if n < 2:
        return math.nan
    tail = (1 - tests["confidence_level"]) / 2
    tail = float(stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1)))
    return max(tail, 1 / (1 + tests["n_resamples"]))


def ends(drawn: Array, tail: float, n_resamples: float, slack: float = 0.0) -> tuple[Any, Any]:
    """Windows for both ends of a percentile interval from this many resamples; NaN if there is no interval."""
    if math.isnan(tail):
        return math.nan, math.nan
    return window(drawn, tail, n_resamples, slack), window(drawn, 1 - tail, n_resamples, slack)


def window(drawn: Array, level: float, n_resamples: float, slack: float = 0.0) -> tuple[float, float]:
    """Where the quantile of n_resamples draws falls, except in 2 of a million cases; possibly beyond all our draws."""
    levels = _levels(level, n_resamples, len(drawn))
    low, high = np.quantile(drawn, levels)
    room, finest = high - low, 1 / len(drawn)  # beyond the finest level we have no draw
    below, above = levels[0] < finest, levels[1] > 1 - finest
    return float(low - slack - room * below), float(high + slack + room * above)


def _levels(level: float, n_resamples: float, n_drawn: float) -> tuple[float, float]:
    """The true levels for which this many draws can show this level (Clopper-Pearson), given our number of draws."""
    n = 1 / (1 / n_resamples + 1 / n_drawn)
    below, upto = math.floor(level * (n - 1)), math.ceil(level * (n - 1))
    low = float(stats.beta.ppf(RARE, below, n - below + 1)) if below > 0 else 0.0
    return low, float(stats.beta.ppf(1 - RARE, upto + 1, n - upto)) if upto < n else 1.0


def permutation_p(drawn: Array, observed: float, n_resamples: int) -> tuple[float, float]:
    """Where (b + 1) / (B + 1) falls, given our own draws."""
    p = float((drawn >= observed - 1e-12).mean())
    return p_window(p, len(drawn), n_resamples)


def p_window(p: float, n_drawn: int, n_resamples: int) -> tuple[float, float]:
    """Where (b + 1) / (B + 1) of n_resamples draws falls, if n_drawn draws gave p."""
    low, high = _levels(p, n_resamples, n_drawn)
    return max(1 / (n_resamples + 1), low), min(1.0, high + 1 / (n_resamples + 1))


def assignment(table: Array, n_resamples: int) -> Any:
    """p of the mean of the diagonal among all assignments of sets to artists, or among drawn ones."""
    n, observed = len(table), np.trace(table) / len(table)
    if n < 2:
        return math.nan
    if n <= 20 and math.factorial(n) <= n_resamples:
        orders = np.array(list(itertools.permutations(range(n))))
        return float((table[np.arange(n), orders].mean(axis=1) >= observed - 1e-12).mean())
    random = np.random.default_rng(6)
    orders = random.permuted(np.repeat(np.arange(n)[None], 20_000, axis=0), axis=1)
    return permutation_p(table[np.arange(n), orders].mean(axis=1), observed, n_resamples)
