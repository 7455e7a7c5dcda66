"""How likely the placebo test is to find an imitation: before the pictures are made, from a pilot.

The test puts the score of an artist's own set of imitations among those of K placebo sets:
p = (1 + placebos at or above it) / (1 + K), ties against. A set's score is the mean over n works and m imitations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import special

from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64, Int64

Correction = Literal["none", "holm", "bh"]

_ROUNDING = 1e-9
_BLOCK = 2**20


@dataclass(frozen=True)
class Variances:
    """Standard deviations of the parts of a score, in units of the score, each 0 or more.

    Attributes
    ----------
    between_sets : float
        Of what all pictures of a set have in common: how near this name's pictures come to the artist's works.
    within_set : float
        Of one imitation, within its set.
    work_by_set : float
        Of one work with one set: some works lie nearer to this set and others to that.
    residual : float
        Of one work with one imitation, beyond all that.
    """

    between_sets: float
    within_set: float
    work_by_set: float
    residual: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}. A standard deviation is 0 or more.")


@dataclass(frozen=True)
class Design:
    """How many works of the artist, imitations a set, and placebo sets; each at least 1."""

    n_works: int
    n_imitations: int
    n_placebos: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}. A design needs at least 1.")


@dataclass(frozen=True)
class Family:
    """The tests that are made together.

    Attributes
    ----------
    n_tests : int
        Artists tested.
    n_imitated : int, optional
        How many of them really are imitated, all by the same effect. By default all.
    correction : {"none", "holm", "bh"}
    level : float
        An artist is called where the adjusted p is at or below it.
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
                f"n_imitated is {self.n_imitated}. It lies between 1 and n_tests, {self.n_tests}."
            )
        if self.correction not in get_args(Correction):
            raise ValueError(f"correction is {self.correction!r}. Choose none, holm or bh.")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}. It must lie between 0 and 1.")

    @property
    def imitated(self) -> int:
        """`n_imitated`, or all."""
        return self.n_tests if self.n_imitated is None else self.n_imitated

    @property
    def min_placebos(self) -> int:
        """The fewest placebos with which an own set above all of them can be called.

        ceil(1 / level) - 1 without correction, ceil(n_tests / level) - 1 with Holm: with fewer the power is 0. With
        Benjamini-Hochberg ceil(n_tests / (n_imitated level)) - 1, when all that are imitated stand above all placebos.
        """
        share = {"none": 1.0, "holm": self.n_tests, "bh": self.n_tests / self.imitated}[self.correction]
        return math.ceil(share / self.level * (1 - 1e-12)) - 1


ONE_TEST = Family()


@dataclass(frozen=True)
class Power:
    """What `power` found.

    Attributes
    ----------
    power : float
        Expected share of the imitated artists that are called; with one test the chance of calling it.
    standard_error : float
        Monte-Carlo standard error of `power`; 0 where all resamples agree.
    false_calls : float
        Expected share of the artists not imitated that are called. NaN where there are none.
    resolution : float
        1 / (1 + n_placebos), the smallest p there can be.
    min_placebos : int
        As `Family.min_placebos`.
    set_sd : float
        Standard deviation of a set's score: effect / set_sd is what power depends on.
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
    """What `required` found: the power of every candidate, the fewest pictures to make first, then the fewest works.

    `smallest` is the first in the table that reaches the target, None where none does.
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
    """Chance that the placebo test calls an artist who is imitated, by simulation.

    Parameters
    ----------
    effect : float
        How much higher the own set of an imitated artist scores on average than a placebo set, in units of the score.
    variances : Variances
        As `variance_components` estimates them from a pilot.
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
        The effect is not finite, or no resamples.

    Notes
    -----
    A set's score is normal with variance s^2 = between^2 + within^2 / m + work_by_set^2 / n + residual^2 / (n m); the
    main effect of works is common to all sets and cancels. Given the own score x, the placebos at or above it are
    Binomial(K, 1 - Phi(x / s)), which is drawn as such. The whole family is drawn and corrected each time.

    Assumed: own and placebo sets vary alike, as normals, and artists are independent of each other. Without
    correction the last does not matter. With it, placebos whose scores all artists share moved power by up to 0.04
    in trials with 20 and 70 tests. A pilot's variances have an error of their own: look at more than one value.

    Examples
    --------
    >>> found = power(0.1, Variances(0.02, 0.05, 0.05), Design(20, 12, 60), rng=1)
    >>> found.power > 0.95, found.min_placebos, round(found.resolution, 4)
    (True, 19, 0.0164)
    """
    if not math.isfinite(effect):
        raise ValueError(f"effect is {effect}. Pass how much higher the own set scores, as a number.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}. Draw at least one.")
    random, sd = np.random.default_rng(rng), _set_sd(variances, design)
    shift = np.where(np.arange(family.n_tests) < family.imitated, effect, 0.0)
    found, false = np.empty(n_resamples), np.full(n_resamples, np.nan)
    step = max(1, _BLOCK // family.n_tests)
    for start in range(0, n_resamples, step):
        some = slice(start, min(start + step, n_resamples))
        own = shift + sd * random.standard_normal((some.stop - start, family.n_tests))
        # Without any spread all placebos score 0; one that ties is at or above.
        above = special.ndtr(-own / sd) if sd > 0 else (own <= 0).astype(np.float64)
        calls = _calls(random.binomial(design.n_placebos, above), design.n_placebos, family)
        found[some] = calls[:, : family.imitated].mean(axis=1)
        if family.imitated < family.n_tests:
            false[some] = calls[:, family.imitated :].mean(axis=1)
    return Power(
        design=design,
        power=float(found.mean()),
        standard_error=float(found.std(ddof=1) / math.sqrt(n_resamples)) if n_resamples > 1 else math.nan,
        false_calls=float(false.mean()),
        resolution=1 / (1 + design.n_placebos),
        min_placebos=family.min_placebos,
        set_sd=sd,
    )


def designs(
    n_works: Sequence[int], n_imitations: Sequence[int], n_placebos: Sequence[int]
) -> tuple[Design, ...]:
    """Every combination, as candidates for `required`.

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
    """Power of several designs, and the smallest that reaches a target.

    Parameters
    ----------
    candidates : iterable of Design
        As `designs` gives them.
    target : float
        Between 0 and 1.
    effect, variances, family, n_resamples, rng
        As `power`. Every candidate starts from the same seed.

    Raises
    ------
    ValueError
        No candidates, a target outside 0 to 1, or as `power`.

    Notes
    -----
    Smallest is the one with the fewest pictures to make, n_imitations x (n_tests + n_placebos), as the placebos
    serve all artists; of equals the one with the fewest works. A power is known to within two standard errors.

    Examples
    --------
    >>> found = required(0.2, Variances(0.04, 0.1, 0.1), designs([10], [1, 4, 12], [10, 60, 200]), rng=1)
    >>> found.smallest.design
    Design(n_works=10, n_imitations=4, n_placebos=60)
    """
    if not 0 < target < 1:
        raise ValueError(f"target is {target}. It must lie between 0 and 1; 0.8 is usual.")
    seed = int(np.random.default_rng(rng).integers(2**63))
    n_tests = family.n_tests
    ordered = sorted(set(candidates), key=lambda d: (d.n_imitations * (n_tests + d.n_placebos), d.n_works))
    if not ordered:
        raise ValueError("candidates: none given. Pass at least one Design, see `designs`.")
    table = tuple(
        power(effect, variances, one, family=family, n_resamples=n_resamples, rng=seed) for one in ordered
    )
    return Required(table, next((row for row in table if row.power >= target), None), target)


def variance_components(scores: npt.ArrayLike, set_of_column: npt.ArrayLike) -> Variances:
    """Estimate the variances from a pilot: the works of one artist against several sets of imitations.

    Parameters
    ----------
    scores : array_like, shape (n, M)
        Of each imitation for each work of the artist: similarity or rank percentile, in the unit of the effect.
    set_of_column : array_like, shape (M,)
        The set (name) of each imitation. Sets may be of unequal size. Leave out the artist's own set: its effect
        would count as spread between sets.

    Returns
    -------
    Variances
        Estimates below 0 are set to 0.

    Raises
    ------
    ValueError
        Fewer than 2 works or 2 sets, no set with 2 imitations, or a value is not finite.

    Notes
    -----
    Method of moments in the layout works x (imitations within sets), all random: Searle, Casella & McCulloch 1992,
    *Variance Components*, chapters 4 and 5 (Henderson's method I). Four mean squares are set equal to their
    expectations, with m0 = (M - sum m_j^2 / M) / (J - 1) in place of the size of J unequal sets. Before those below 0
    are set to 0 the variances are unbiased. From 10 sets the spread between sets is known to a factor of two at best.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> pilot = np.repeat(rng.normal(scale=2, size=50), 8) + rng.normal(size=(10, 1)) + rng.normal(size=400)
    >>> found = variance_components(pilot, np.repeat(np.arange(50), 8))
    >>> round(found.between_sets), round(found.within_set), round(found.work_by_set, 6)
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
    # The same in the deviations of the works from their mean.
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


def _calls(placebos_above: Int64, n_placebos: int, family: Family) -> npt.NDArray[np.bool_]:
    """Which tests of each family are called: (B, T). Compared in whole placebos, so that the level is met exactly."""
    reached, n = placebos_above + 1, family.n_tests
    level = family.level * (n_placebos + 1)
    if family.correction == "none":
        return np.asarray(reached <= level + _ROUNDING)
    ordered = np.sort(reached, axis=1)
    if family.correction == "holm":
        passed = np.logical_and.accumulate(ordered <= level / np.arange(n, 0, -1) + _ROUNDING, axis=1)
    else:
        passed = ordered <= level * np.arange(1, n + 1) / n + _ROUNDING
    # The largest that passed; ties with it pass too.
    limit = np.where(passed, ordered, 0).max(axis=1, keepdims=True)
    return np.asarray(reached <= limit)


def _check_pilot(scores: npt.ArrayLike, set_of_column: npt.ArrayLike) -> tuple[Float64, Int64]:
    table, labels = np.asarray(scores, dtype=np.float64), np.asarray(set_of_column)
    if table.ndim != 2 or labels.shape != table.shape[1:]:
        raise ValueError(
            f"scores: expected works x imitations, a set a column, not {table.shape} and {labels.shape}."
        )
    if not np.isfinite(table).all():
        raise ValueError("scores: a value is not finite. Leave out works and imitations without scores.")
    if len(table) < 2:
        raise ValueError(f"scores: {len(table)} works. The spread over works needs a pilot with at least 2.")
    names, number = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"set_of_column: {len(names)} sets. The spread between sets needs 2, better 10.")
    if len(names) == len(labels):
        raise ValueError("set_of_column: every set has one imitation. At least one set needs 2.")
    return table, number.astype(np.int64)
