"""Results of `power`."""

from __future__ import annotations

from typing import Literal

from imindex.retrieval.results.base import Count, Level, Number, P, Result, Seed, Share, to_dict
from imindex.retrieval.results.tables import Row


class SetVariances(Result, kw_only=True, frozen=True):
    """Standard deviations of the components of a rank percentile; see `imindex.stats.power.Variances`.

    Attributes
    ----------
    between_sets : float
        Standard deviation between names.
    within_set : float
        Standard deviation between the imitations of the same name.
    work_by_set : float
        Standard deviation between the works of an artist in their nearness to the imitations of one name.
    residual : float
        Residual standard deviation.
    """

    between_sets: float
    within_set: float
    work_by_set: float
    residual: float


class DesignPower(Result, kw_only=True, frozen=True):
    """Power of one audit design.

    Attributes
    ----------
    n_works, n_imitations : int
        Numbers of works per artist and of imitations per name.
    n_placebos : int
        Number of placebo names.
    pictures : int
        Number of pictures to generate, for all names.
    power : float
        Share of imitated artists that are found.
    standard_error : float
        Monte Carlo standard error of the power.
    resolution : float
        Smallest possible p-value.
    """

    n_works: Count
    n_imitations: Count
    n_placebos: Count
    pictures: Count
    power: Share
    standard_error: Number
    resolution: P


class GivenCounts(Result, kw_only=True, frozen=True):
    """What a pilot or a plan already has.

    Attributes
    ----------
    source : str
        The index or the plan.
    artists : int
        Number of artists with works and imitations.
    works, works_fewest, works_most : int
        Works per artist: median, fewest and most.
    imitations, imitations_fewest, imitations_most : int
        Imitations per artist: median, fewest and most.
    placebos : int
        Number of placebo names.
    """

    source: str
    artists: Count
    works: Count
    works_fewest: Count
    works_most: Count
    imitations: Count
    imitations_fewest: Count
    imitations_most: Count
    placebos: Count


class NamesBetween(Result, kw_only=True, frozen=True):
    """A number of placebo names at which p cannot change.

    Attributes
    ----------
    n_placebos : int
    below : int or None
        The largest number below it at which p can change; None if no p can be small enough.
    above : int
        The next number at which p can change.
    """

    n_placebos: Count
    below: Count | None
    above: Count


class PowerPlan(Result, kw_only=True, frozen=True):
    """Numbers of works, imitations and placebo names that an audit needs.

    Attributes
    ----------
    effect : float
        How much nearer own imitations are than placebos, as a difference of rank percentiles.
    variances : SetVariances
    pilot_artists : int
        Number of artists in the pilot; 0 if the variances were passed as options.
    artists : int
        Number of artists tested together.
    level : float
    correction : str
        none, holm or bh.
    target : float
        Target power.
    n_resamples : int
        Number of simulated audits.
    seed : int
    references_needed : int
        Number of placebo names needed to find a single artist.
    designs : tuple of DesignPower
        Designs, fewest pictures first.
    smallest : DesignPower or None
        First design that reaches the target; None if none does.
    given : GivenCounts or None
        What the pilot or the plan has; None if there is none.
    as_given : DesignPower or None
        Power of what is given.
    steps : tuple of int
        The first numbers of placebo names at which p can change.
    between : tuple of NamesBetween
        Of the numbers of placebo names in `designs`, those at which p cannot change.
    """

    effect: float
    variances: SetVariances
    pilot_artists: Count
    artists: Count
    level: Level
    correction: Literal["none", "holm", "bh"]
    target: Level
    n_resamples: Count
    seed: Seed
    references_needed: Count
    designs: tuple[DesignPower, ...]
    smallest: DesignPower | None
    given: GivenCounts | None = None
    as_given: DesignPower | None = None
    steps: tuple[Count, ...] = ()
    between: tuple[NamesBetween, ...] = ()

    def records(self) -> list[Row]:
        """Return one row per design."""
        return [to_dict(design) for design in self.designs]
