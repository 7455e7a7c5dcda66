"""Power of the placebo test, for planning an audit from a pilot before pictures are generated.

The test ranks the score of an artist's own set of imitations among those of K placebo sets: p = (1 + placebos at or
above it) / (1 + K), with ties counted against the finding. The score of a set is its mean over n works and m
imitations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64, Int64

Correction = Literal["none", "holm", "bh"]

_ROUNDING = 1e-9
_BLOCK = 2**20


@dataclass(frozen=True)
class Variances:
    """Standard deviations of the components of a score, in units of the score, each at least 0.

    Attributes
    ----------
    between_sets : float
        Set effect, common to all pictures of a set: how near the pictures of this name come to the artist's works.
    within_set : float
        Effect of an imitation within its set.
    work_by_set : float
        Interaction of work and set: some works are nearer to one set, others to another.
    residual : float
        Residual of one work with one imitation.
    """

    between_sets: float
    within_set: float
    work_by_set: float
    residual: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}. A standard deviation must be at least 0.")


@dataclass(frozen=True)
class Design:
    """Numbers of works of the artist, of imitations per set, and of placebo sets; each at least 1."""

    n_works: int
    n_imitations: int
    n_placebos: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}. It must be at least 1.")


@dataclass(frozen=True)
class Family:
    """A family of tests that are corrected together.

    Attributes
    ----------
    n_tests : int
        Number of artists tested.
    n_imitated : int, optional
        Number of artists that are truly imitated, all with the same effect. By default all.
    correction : {"none", "holm", "bh"}
    level : float
        An artist is detected if the adjusted p-value is at or below it.
    """

    n_tests: int = 1
    n_imitated: int | None = None
    correction: Correction = "none"
    level: float = 0.05

    def __post_init__(self) -> None:
        if self.n_tests < 1:
            raise ValueError(f"n_tests is {self.n_tests}. Test at least one artist.")
        if not 1 <= self.imitated <= self.n_tests:
            raise ValueError(
                f"n_imitated is {self.n_imitated}. It must be between 1 and n_tests, {self.n_tests}."
            )
        if self.correction not in get_args(Correction):
            raise ValueError(f"correction is {self.correction!r}. Choose none, holm or bh.")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}. It must be between 0 and 1.")

    @property
    def imitated(self) -> int:
        """Number of imitated artists: `n_imitated`, by default all."""
        return self.n_tests if self.n_imitated is None else self.n_imitated

    @property
    def min_placebos(self) -> int:
        """Smallest number of placebos with which an own set above all of them can be detected.

        This is ceil(1 / level) - 1 without correction and ceil(n_tests / level) - 1 with Holm; with fewer placebos
        the power is 0. With Benjamini-Hochberg it is ceil(n_tests / (n_imitated level)) - 1, reached if all imitated
        artists are above all placebos.
        """
        share = {"none": 1.0, "holm": self.n_tests, "bh": self.n_tests / self.imitated}[self.correction]
        return math.ceil(share / self.level * (1 - 1e-12)) - 1


ONE_TEST = Family()


@dataclass(frozen=True)
class Power:
    """Result of `power`.

    Attributes
    ----------
    power : float
        Expected fraction of imitated artists that are detected; with one test, the probability of detection.
    standard_error : float
        Monte-Carlo standard error of `power`; 0 if all resamples agree.
    false_calls : float
        Expected fraction of artists not imitated that are detected. NaN if there are none.
    resolution : float
        1 / (1 + n_placebos), the smallest possible p-value.
    min_placebos : int
        As in `Family.min_placebos`.
    set_sd : float
        Standard deviation of the score of a set. Power depends on effect / set_sd.
    """

    design: Design
    power: float
    standard_error: float
    false_calls: float
    resolution: float
    min_placebos: int
    set_sd: float


@dataclass(frozen=True)
class Required:
    """Result of `required`.

    Attributes
    ----------
    table : tuple of Power
        Power of every candidate, in ascending order of pictures to generate, then of works.
    smallest : Power or None
        The first entry of the table that reaches the target, if any.
    target : float
    """

    table: tuple[Power, ...]
    smallest: Power | None
    target: float


def power(
    effect: float,
    variances: Variances,
    design: Design,
    *,
    family: Family = ONE_TEST,
    n_resamples: int = 10_000,
    rng: Rng = None,
) -> Power:
    """Simulate the power of the placebo test: the probability that it detects an imitated artist.

    Parameters
    ----------
    effect : float
        Mean difference between the score of an imitated artist's own set and that of a placebo set.
    variances : Variances
        As estimated from a pilot by `variance_components`.
    design : Design
    family : Family
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    Power

    Raises
    ------
    ValueError
        If the effect is not finite, or n_resamples is below 1.

    Notes
    -----
    The score of a set is normal with variance s^2 = between^2 + within^2 / m + work_by_set^2 / n + residual^2 / (n
    m); the main effect of works is common to all sets and cancels. Given the own score x, the number of placebos at
    or above it is drawn from Binomial(K, 1 - Phi(x / s)). The whole family is drawn and corrected in each resample.

    Assumptions: own and placebo sets have the same normal variation, and artists are independent. Without correction,
    the latter does not matter. With correction, placebo scores that are shared by all artists changed the power by up
    to 0.04 in trials with 20 and 70 tests. The variances of a pilot are uncertain themselves: try several values.

    Examples
    --------
    >>> result = power(0.1, Variances(0.02, 0.05, 0.05), Design(20, 12, 60), rng=1)
    >>> result.power > 0.95, result.min_placebos, round(result.resolution, 4)
    (True, 19, 0.0164)
    """
    if not math.isfinite(effect):
        raise ValueError(f"effect is {effect}. It must be a finite difference of scores.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}. It must be at least 1.")
    random, sd = np.random.default_rng(rng), _set_sd(variances, design)
    shift = np.where(np.arange(family.n_tests) < family.imitated, effect, 0.0)
    detected, false_calls = np.empty(n_resamples), np.full(n_resamples, np.nan)
    step = max(1, _BLOCK // family.n_tests)
    for start in range(0, n_resamples, step):
        block = slice(start, min(start + step, n_resamples))
        own = shift + sd * random.standard_normal((block.stop - start, family.n_tests))
        # Without any spread all placebos score 0, and a tie counts as at or above.
        above = scipy.special.ndtr(-own / sd) if sd > 0 else (own <= 0).astype(np.float64)
        calls = significant_tests(random.binomial(design.n_placebos, above), design.n_placebos, family)
        detected[block] = calls[:, : family.imitated].mean(axis=1)
        if family.imitated < family.n_tests:
            false_calls[block] = calls[:, family.imitated :].mean(axis=1)
    return Power(
        design=design,
        power=float(detected.mean()),
        standard_error=float(detected.std(ddof=1) / math.sqrt(n_resamples)) if n_resamples > 1 else math.nan,
        false_calls=float(false_calls.mean()),
        resolution=1 / (1 + design.n_placebos),
        min_placebos=family.min_placebos,
        set_sd=sd,
    )


def placebos_allowed(n_placebos: int, level: float) -> int:
    """Return how many placebo sets may score at least as high as a set whose p-value is at or below a level.

    -1 if the p-value cannot be so small.

    Examples
    --------
    >>> placebos_allowed(39, 0.05), placebos_allowed(99, 0.05), placebos_allowed(18, 0.05)
    (1, 4, -1)
    """
    return math.floor(level * (n_placebos + 1) + _ROUNDING) - 1


def placebo_steps(level: float, n_steps: int) -> tuple[int, ...]:
    """Return the numbers of placebo sets at which one more of them may reach the own set's score.

    Numbers in between allow no more than the step below them, so that further sets cost pictures and lose power.

    Parameters
    ----------
    level : float
        The p-value at or below which the artist is found, after correction.
    n_steps : int

    Returns
    -------
    tuple of int
        The first one is the smallest number with which a p-value can be at or below the level.

    Examples
    --------
    >>> placebo_steps(0.05, 4), placebo_steps(0.05 / 26, 2)
    ((19, 39, 59, 79), (519, 1039))
    """
    return tuple(math.ceil(step / level - _ROUNDING) - 1 for step in range(1, n_steps + 1))


def detectable_shift(n_placebos: int, level: float, target: float = 0.8) -> float | None:
    """Return the smallest shift of the own set that the placebo test finds with a given probability.

    Parameters
    ----------
    n_placebos : int
    level : float
        The p-value at or below which the artist is found, after correction.
    target : float
        Power, between 0 and 1.

    Returns
    -------
    float or None
        In standard deviations of the score of a set. None if no p-value can be at or below the level.

    Notes
    -----
    The model is that of `power`: normal scores, own and placebo sets with the same variance. The probability is
    integrated over the own score, given which the number of placebo sets at or above it is binomial.

    Examples
    --------
    >>> shift = detectable_shift(39, 0.05)
    >>> round(shift, 2)
    2.63
    >>> one_set = Variances(1, 0, 0), Design(1, 1, 39)
    >>> round(power(shift, *one_set, rng=1).power, 1)
    0.8
    """
    if not 0 < target < 1:
        raise ValueError(f"target is {target}. It must be between 0 and 1; 0.8 is usual.")
    allowed = placebos_allowed(n_placebos, level)
    if allowed < 0:
        return None
    if allowed >= n_placebos:
        return 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()

    def missed(shift: float) -> float:
        return target - float(
            weights @ scipy.special.bdtr(allowed, n_placebos, scipy.special.ndtr(-shift - nodes))
        )

    if missed(0.0) <= 0:
        return 0.0
    return float(scipy.optimize.brentq(missed, 0.0, 30.0, xtol=1e-6))


def designs(
    n_works: Sequence[int], n_imitations: Sequence[int], n_placebos: Sequence[int]
) -> tuple[Design, ...]:
    """Return all combinations as candidates for `required`.

    Examples
    --------
    >>> len(designs([10, 20], [12], [60, 200, 600]))
    6
    """
    return tuple(Design(*each) for each in itertools.product(n_works, n_imitations, n_placebos))


def required(
    effect: float,
    variances: Variances,
    candidates: Iterable[Design],
    *,
    family: Family = ONE_TEST,
    target: float = 0.8,
    n_resamples: int = 10_000,
    rng: Rng = None,
) -> Required:
    """Compute the power of several designs, and find the smallest design that reaches a target.

    Parameters
    ----------
    candidates : iterable of Design
        Such as returned by `designs`.
    target : float
        Between 0 and 1.
    effect, variances, family, n_resamples, rng
        As in `power`. Every candidate starts from the same seed.

    Raises
    ------
    ValueError
        If there are no candidates, the target is outside (0, 1), or as in `power`.

    Notes
    -----
    The smallest design is the one with the fewest pictures to generate, n_imitations x (n_tests + n_placebos), since
    all artists share the placebos; ties are resolved by the fewest works. Each power is known to within two standard
    errors.

    Examples
    --------
    >>> result = required(0.2, Variances(0.04, 0.1, 0.1), designs([10], [1, 4, 12], [10, 60, 200]), rng=1)
    >>> result.smallest.design
    Design(n_works=10, n_imitations=4, n_placebos=60)
    """
    if not 0 < target < 1:
        raise ValueError(f"target is {target}. It must be between 0 and 1; 0.8 is usual.")
    seed = int(np.random.default_rng(rng).integers(2**63))
    n_tests = family.n_tests
    ordered = sorted(set(candidates), key=lambda d: (d.n_imitations * (n_tests + d.n_placebos), d.n_works))
    if not ordered:
        raise ValueError("candidates: none given. Pass at least one Design, see `designs`.")
    table = tuple(
        power(effect, variances, design, family=family, n_resamples=n_resamples, rng=seed)
        for design in ordered
    )
    return Required(table, next((row for row in table if row.power >= target), None), target)


def variance_components(scores: npt.ArrayLike, set_of_column: npt.ArrayLike) -> Variances:
    """Estimate the variance components from a pilot: the works of one artist and several sets of imitations.

    Parameters
    ----------
    scores : array_like, shape (n, M)
        Score of each imitation for each work of the artist: similarity or rank percentile, in the unit of the effect.
    set_of_column : array_like, shape (M,)
        The set (name) of each imitation. Sets may have unequal sizes. Exclude the artist's own set, whose effect would
        count as variance between sets.

    Returns
    -------
    Variances
        Negative estimates are set to 0.

    Raises
    ------
    ValueError
        If there are fewer than 2 works or 2 sets, no set has 2 imitations, or a value is not finite.

    Notes
    -----
    Method of moments for the layout works x (imitations within sets), with all effects random: Searle, Casella &
    McCulloch 1992, *Variance Components*, chapters 4 and 5 (Henderson's method I). Four mean squares are equated to
    their expectations, with m0 = (M - sum m_j^2 / M) / (J - 1) as the size of J unequal sets. The variances are
    unbiased before negative values are set to 0. From 10 sets, the variance between sets is known to a factor of two
    at best.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> pilot = np.repeat(rng.normal(scale=2, size=50), 8) + rng.normal(size=(10, 1)) + rng.normal(size=400)
    >>> result = variance_components(pilot, np.repeat(np.arange(50), 8))
    >>> round(result.between_sets), round(result.within_set), round(result.work_by_set, 6)
    (2, 1, 0.0)
    """
    table, number = _check_pilot(scores, set_of_column)
    n, total = table.shape
    sizes = np.bincount(number)
    n_sets = len(sizes)
    m0 = float((total - (sizes**2).sum() / total) / (n_sets - 1))
    member = (number[:, None] == np.arange(n_sets)) / sizes  # (M, J): averages the columns of each set
    columns = table.mean(axis=0)
    sets = columns @ member
    mean_squares_within = float(((columns - sets[number]) ** 2).sum()) / (total - n_sets)
    mean_squares_between = float((sizes * (sets - columns.mean()) ** 2).sum()) / (n_sets - 1)
    # The same for the deviations of the works from their mean.
    deviations = table - columns
    cells = deviations @ member
    residual = float(((deviations - cells[:, number]) ** 2).sum()) / ((n - 1) * (total - n_sets))
    off = cells - deviations.mean(axis=1, keepdims=True)
    interaction = float((sizes * off**2).sum()) / ((n - 1) * (n_sets - 1))
    by_set = (interaction - residual) / m0
    between = (mean_squares_between - mean_squares_within) / m0 - by_set / n
    within = mean_squares_within - residual / n
    return Variances(*(math.sqrt(max(variance, 0.0)) for variance in (between, within, by_set, residual)))


def _set_sd(v: Variances, design: Design) -> float:
    n, m = design.n_works, design.n_imitations
    return math.hypot(
        v.between_sets, v.within_set / m**0.5, v.work_by_set / n**0.5, v.residual / (n * m) ** 0.5
    )


def significant_tests(placebos_above: Int64, n_placebos: int, family: Family) -> npt.NDArray[np.bool_]:
    """Return which tests of each family are significant after correction.

    Numbers of placebos are compared instead of p-values, so that the level is exact.

    Parameters
    ----------
    placebos_above : ndarray, shape (B, T), int64
        For each of B families and T tests, the number of placebo names that score at least as high as the artist.
    n_placebos : int
    family : Family

    Returns
    -------
    ndarray, shape (B, T), bool
    """
    reached, n = placebos_above + 1, family.n_tests
    level = family.level * (n_placebos + 1)
    if family.correction == "none":
        return np.asarray(reached <= level + _ROUNDING)
    ordered = np.sort(reached, axis=1)
    if family.correction == "holm":
        passed = np.logical_and.accumulate(ordered <= level / np.arange(n, 0, -1) + _ROUNDING, axis=1)
    else:
        passed = ordered <= level * np.arange(1, n + 1) / n + _ROUNDING
    # The largest value that passed; ties with it pass too.
    limit = np.where(passed, ordered, 0).max(axis=1, keepdims=True)
    return np.asarray(reached <= limit)


def _check_pilot(scores: npt.ArrayLike, set_of_column: npt.ArrayLike) -> tuple[Float64, Int64]:
    table, labels = np.asarray(scores, dtype=np.float64), np.asarray(set_of_column)
    if table.ndim != 2 or labels.shape != table.shape[1:]:
        raise ValueError(
            f"scores: expected works x imitations, one set per column, not {table.shape} and {labels.shape}."
        )
    if not np.isfinite(table).all():
        raise ValueError("scores: a value is not finite. Leave out works and imitations without scores.")
    if len(table) < 2:
        raise ValueError(
            f"scores: {len(table)} works. Estimating the variance over works requires at least 2."
        )
    names, number = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"set_of_column: {len(names)} sets. Estimating the variance between sets requires 2, preferably 10."
        )
    if len(names) == len(labels):
        raise ValueError("set_of_column: every set has only one imitation. At least one set must have 2.")
    return table, number.astype(np.int64)
