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


def shrunk(figures: Array, drawn: Array) -> Array:
    """The mean over artists: draw artists, each with a resample of its own, whose figures are first shrunk."""
    spread = figures.var(ddof=1)
    share = math.sqrt(max(0.0, 1 - drawn.var(axis=1).mean() / spread)) if spread > 0 else 1.0
    table = drawn - (1 - share) * (figures - figures.mean())[:, None]
    n, many = drawn.shape
    who = _random.integers(0, n, (many, n))
    return np.asarray(table[who, _random.integers(0, many, (many, n))].mean(axis=1))


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
