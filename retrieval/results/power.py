"""What `power` returns."""

from __future__ import annotations

from typing import Literal

from imindex.retrieval.results.base import Count, Level, Number, P, Result, Share, to_dict
from imindex.retrieval.results.tables import Row


class SetVariances(Result, kw_only=True, frozen=True):
    """Standard deviations of the parts of a rank percentile; see `imindex.stats.power.Variances`.

    Attributes
    ----------
    between_sets : float
        Between names.
    within_set : float
        Between the imitations of one name.
    work_by_set : float
        Between the works of an artist, in how near they are to one name's imitations.
    residual : float
        What is left.
    """

    between_sets: float
    within_set: float
    work_by_set: float
    residual: float


class DesignPower(Result, kw_only=True, frozen=True):
    """The power of one design of an audit.

    Attributes
    ----------
    n_works, n_imitations : int
        For each artist, and of each name.
    n_placebos : int
        Placebo names.
    pictures : int
        Pictures to make, for all names.
    power : float
        Share of imitated artists who are found.
    standard_error : float
        Monte Carlo standard error of the power.
    resolution : float
        The smallest p that is possible.
    """

    n_works: Count
    n_imitations: Count
    n_placebos: Count
    pictures: Count
    power: Share
    standard_error: Number
    resolution: P


class PowerPlan(Result, kw_only=True, frozen=True):
    """How many works, imitations and placebo names an audit needs.

    Attributes
    ----------
    effect : float
        How much nearer own imitations are than placebos, as a difference of rank percentiles.
    variances : SetVariances
    pilot_artists : int
        Artists of the pilot; 0 if the variances were stated.
    artists : int
        Tested together.
    level : float
    correction : str
        none, holm or bh.
    target : float
        Power to reach.
    n_resamples : int
        Simulated audits.
    seed : int
    references_needed : int
        Placebo names with which one artist alone could be called.
    designs : tuple of DesignPower
        The one with fewest pictures first.
    smallest : DesignPower or None
        The first that reaches the target; None if none does.
    """

    effect: float
    variances: SetVariances
    pilot_artists: Count
    artists: Count
    level: Level
    correction: Literal["none", "holm", "bh"]
    target: Level
    n_resamples: Count
    seed: int
    references_needed: Count
    designs: tuple[DesignPower, ...]
    smallest: DesignPower | None

    def records(self) -> list[Row]:
        """Return a row for each design."""
        return [to_dict(design) for design in self.designs]
