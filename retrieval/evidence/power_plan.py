"""Plan the size of an audit: power of the placebo test, from a pilot index or from given variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.opening import open_index
from imindex.indexer.system.index_files import Named
from imindex.retrieval.evidence.release_names import names_of_release
from imindex.retrieval.evidence.testing import Testing, placebo_numbers
from imindex.retrieval.match.ranking import csls_penalties
from imindex.retrieval.results import DesignPower, GivenCounts, NamesBetween, PowerPlan, SetVariances
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.row_ranks import ranks_in_rows
from imindex.retrieval.vectors.select import pictures, release
from imindex.retrieval.vectors.similarity import exact_integers, similarity_blocks
from imindex.retrieval.vectors.whitened import whitened
from imindex.stats.keyed import generator
from imindex.stats.power import (
    Design,
    Family,
    Power,
    Variances,
    designs,
    placebo_steps,
    placebos_allowed,
    required,
    variance_components,
)

_WORKS = (20,)
_IMITATIONS = (10, 20, 50)
_STEPS = 6


@dataclass(frozen=True)
class Pilot:
    """Estimates from a pilot, in rank percentiles.

    Attributes
    ----------
    variances : Variances
        Medians over artists of the standard deviations.
    effect : float
        Median over artists of the difference between the mean percentile of the own set and that of the other sets.
    n_artists : int
    given : GivenCounts or None
        What there is already.
    """

    variances: Variances
    effect: float
    n_artists: int
    given: GivenCounts | None = None


def plan(  # noqa: PLR0913
    pilot: Pilot,
    *,
    works: Sequence[int] = (),
    imitations: Sequence[int] = (),
    placebos: Sequence[int] = (),
    artists: int | None = None,
    level: float = 0.05,
    correction: Literal["none", "holm", "bh"] = "holm",
    target: float = 0.8,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> PowerPlan:  # fmt: skip
    """Compute the power of each combination of numbers of works, imitations and placebo names.

    Parameters
    ----------
    pilot : Pilot
        Variances and effect, from a pilot index (`from_index`) or from the caller.
    works, imitations : sequence of int
        Numbers of works per artist, and of imitations per name. By default the given number, or else 20 works; and
        the given number and 10, 20, and 50 imitations.
    placebos : sequence of int
        Numbers of placebo names. By default the first two numbers at which p can change.
    artists : int, optional
        Number of artists tested together, all of them imitated with this effect. By default the given number, or
        else 1.
    level, correction, target, n_resamples, seed
        See `imindex.stats.power.required`.

    Returns
    -------
    PowerPlan
    """
    given = pilot.given
    artists = artists or (given.artists if given else 0) or 1
    strictest = level / (artists if correction != "none" else 1)
    steps = placebo_steps(strictest, _STEPS)
    candidates = designs(
        works or ((given.works,) if given and given.works else _WORKS),
        imitations or sorted({*_IMITATIONS, *((given.imitations,) if given and given.imitations else ())}),
        placebos or steps[:2],
    )
    family = Family(artists, None, correction, level)
    result = required(
        pilot.effect,
        pilot.variances,
        candidates,
        family=family,
        target=target,
        n_resamples=n_resamples,
        rng=generator(seed, "power"),
    )
    as_given = None
    if given and given.works and given.imitations and given.placebos:
        design = Design(given.works, given.imitations, given.placebos)
        (of_given,) = required(
            pilot.effect, pilot.variances, [design],
            family=family, target=target, n_resamples=n_resamples, rng=generator(seed, "power"),
        ).table  # fmt: skip
        as_given = _design(of_given, artists)
    numbers = sorted({power.design.n_placebos for power in result.table})
    return PowerPlan(
        effect=pilot.effect,
        variances=SetVariances(**asdict(pilot.variances)),
        pilot_artists=pilot.n_artists,
        artists=artists,
        level=level,
        correction=correction,
        target=target,
        n_resamples=n_resamples,
        seed=seed,
        references_needed=steps[0],
        designs=tuple(_design(power, artists) for power in result.table),
        smallest=_design(result.smallest, artists) if result.smallest else None,
        given=given,
        as_given=as_given,
        steps=steps,
        between=tuple(between for n in numbers if (between := _between(n, strictest)) is not None),
    )


def _between(n_placebos: int, level: float) -> NamesBetween | None:
    """Return the numbers of names below and above one at which p cannot change; None if p can change at it."""
    step = placebos_allowed(n_placebos, level) + 1
    below = placebo_steps(level, step)[-1] if step else None
    if below == n_placebos:
        return None
    return NamesBetween(n_placebos=n_placebos, below=below, above=placebo_steps(level, step + 1)[-1])


def _design(power: Power, artists: int) -> DesignPower:
    design = power.design
    return DesignPower(
        n_works=design.n_works,
        n_imitations=design.n_imitations,
        n_placebos=design.n_placebos,
        pictures=design.n_imitations * (artists + design.n_placebos),
        power=power.power,
        standard_error=power.standard_error,
        resolution=power.resolution,
    )


def from_index(
    path: Named,
    collection: str | None = None,
    placebos: Sequence[str] = (),
    *,
    csls_k: int | None = None,
    whiten: bool = False,
) -> Pilot:
    """Estimate the variances and the effect from a release in an index.

    Parameters
    ----------
    path : path-like, or sequence of path-like
    collection : str, optional
        The release; by default the only one.
    placebos : sequence of str
        Placebo names, or patterns for them, that each artist's own set is compared with. By default those of the arm
        placebo in the index, or else all other names; those that are imitated then increase the variance.
    csls_k : int, optional
        Rank by CSLS with this many neighbours.
    whiten : bool
        Whiten all vectors by what is learnt on works.

    Returns
    -------
    Pilot

    Raises
    ------
    ImindexError
        If no artist has two works, own imitations, and two other names of which one has two imitations.
    """
    with open_index(path) as stored:
        index = whitened(stored) if whiten else stored
        name, _ = release(index, collection)
        works = pictures(index, "works")
        imitations = pictures(index, "imitations", collections=[name])
        testing, _ = names_of_release(index, name, imitations, Testing(placebos=placebos))
        chosen = placebo_numbers(index, testing.placebos, imitations)
        scores: dict[int, list[Float64]] = {}
        k, penalties = csls_penalties(works.vectors, imitations.vectors, csls_k)
        for rows, block in similarity_blocks(works.vectors, imitations.vectors):
            ordered = block if k is None else 2 * k * exact_integers(block) - penalties
            percentiles = (ranks_in_rows(ordered)[1] - 1) / (2 * block.shape[1])
            for artist in np.unique(works.artist[rows]).tolist():
                scores.setdefault(artist, []).append(percentiles[works.artist[rows] == artist])
    parts = [_components(np.concatenate(scores[a]), imitations.artist, a, chosen) for a in sorted(scores)]
    known = [part for part in parts if part is not None]
    if not known:
        raise ImindexError(
            f"{index.path} is too small for a pilot: it needs an artist with two works, own imitations, and two other "
            "names with two imitations each. Pass the variances instead: --between-sets, --within-set, --work-by-set."
        )
    given = counts(
        str(index.path),
        np.bincount(works.artist[works.artist >= 0], minlength=len(index.artists)),
        np.bincount(imitations.artist[imitations.artist >= 0], minlength=len(index.artists)),
        chosen,
    )
    medians = np.median(np.array([[*asdict(part.variances).values(), part.effect] for part in known]), axis=0)
    return Pilot(Variances(*medians[:-1].tolist()), float(medians[-1]), len(known), given)


def counts(source: str, works: Int64, imitations: Int64, placebos: Sequence[int]) -> GivenCounts:
    """Count what there is of each artist.

    Parameters
    ----------
    source : str
        The index or the plan.
    works, imitations : (n_artists,) int
        Numbers by artist.
    placebos : sequence of int
        The artists that are placebo names.
    """
    tested = (works > 0) & (imitations > 0)
    tested[list(placebos)] = False
    of_works, of_imitations = (
        [int(np.median(some)), int(some.min()), int(some.max())] if len(some) else [0, 0, 0]
        for some in (works[tested], imitations[tested])
    )
    return GivenCounts(
        source=source,
        artists=int(tested.sum()),
        works=of_works[0], works_fewest=of_works[1], works_most=of_works[2],
        imitations=of_imitations[0], imitations_fewest=of_imitations[1], imitations_most=of_imitations[2],
        placebos=len(placebos),
    )  # fmt: skip


def _components(scores: Float64, names: Int64, artist: int, placebos: Sequence[int]) -> Pilot | None:
    own = names == artist
    among = np.isin(names, placebos) if placebos else ~own
    others, sizes = np.unique(names[among], return_counts=True)
    if len(scores) < 2 or not own.any() or len(others) < 2 or sizes.max() < 2:
        return None
    effect = float(scores[:, own].mean() - scores[:, among].mean())
    return Pilot(variance_components(scores[:, among], names[among]), effect, 1)
