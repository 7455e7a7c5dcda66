"""Plan the size of an audit: power of the placebo test, from a pilot index or from given variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.release_names import names_of_release
from imindex.retrieval.evidence.testing import Testing, placebo_numbers
from imindex.retrieval.results import DesignPower, PowerPlan, SetVariances
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.row_ranks import ranks_in_rows
from imindex.retrieval.vectors.select import pictures, release
from imindex.retrieval.vectors.similarity import similarity_blocks
from imindex.stats.keyed import generator
from imindex.stats.power import Family, Power, Variances, designs, required, variance_components
from imindex.stats.references import references_needed


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
    """

    variances: Variances
    effect: float
    n_artists: int


def plan(  # noqa: PLR0913
    pilot: Pilot,
    *,
    works: Sequence[int] = (20,),
    imitations: Sequence[int] = (10, 20, 50),
    placebos: Sequence[int] = (),
    artists: int = 1,
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
        Numbers of works per artist, and of imitations per name.
    placebos : sequence of int
        Numbers of placebo names. By default, the minimum that the correction needs, and twice the minimum.
    artists : int
        Number of artists tested together, all of them imitated with this effect.
    level, correction, target, n_resamples, seed
        See `imindex.stats.power.required`.

    Returns
    -------
    PowerPlan
    """
    needed = references_needed(level, artists if correction != "none" else 1)
    candidates = designs(works, imitations, placebos or (needed, 2 * needed))
    result = required(
        pilot.effect,
        pilot.variances,
        candidates,
        family=Family(artists, None, correction, level),
        target=target,
        n_resamples=n_resamples,
        rng=generator(seed, "power"),
    )
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
        references_needed=needed,
        designs=tuple(_design(power, artists) for power in result.table),
        smallest=_design(result.smallest, artists) if result.smallest else None,
    )


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


def from_index(path: Path, collection: str | None = None, placebos: Sequence[str] = ()) -> Pilot:
    """Estimate the variances and the effect from a release in an index.

    Parameters
    ----------
    path : Path
    collection : str, optional
        The release; by default the only one.
    placebos : sequence of str
        Placebo names, or patterns for them, that each artist's own set is compared with. By default those of the arm
        placebo in the index, or else all other names; those that are imitated then increase the variance.

    Returns
    -------
    Pilot

    Raises
    ------
    ImindexError
        If no artist has two works, own imitations, and two other names of which one has two imitations.
    """
    with Index(path) as index:
        name, _ = release(index, collection)
        works = pictures(index, "works")
        imitations = pictures(index, "imitations", collections=[name])
        testing, _ = names_of_release(index, name, imitations, Testing(placebos=placebos))
        chosen = placebo_numbers(index, testing.placebos, imitations)
        scores: dict[int, list[Float64]] = {}
        for rows, block in similarity_blocks(works.vectors, imitations.vectors):
            percentiles = (ranks_in_rows(block)[1] - 1) / (2 * block.shape[1])
            for artist in np.unique(works.artist[rows]).tolist():
                scores.setdefault(artist, []).append(percentiles[works.artist[rows] == artist])
    parts = [_components(np.concatenate(scores[a]), imitations.artist, a, chosen) for a in sorted(scores)]
    known = [part for part in parts if part is not None]
    if not known:
        raise ImindexError(
            f"{path} is too small for a pilot: it needs an artist with two works, own imitations, and two other names "
            "with two imitations each. Pass the variances instead: --between-sets, --within-set, --work-by-set."
        )
    medians = np.median(np.array([[*asdict(part.variances).values(), part.effect] for part in known]), axis=0)
    return Pilot(Variances(*medians[:-1].tolist()), float(medians[-1]), len(known))


def _components(scores: Float64, names: Int64, artist: int, placebos: Sequence[int]) -> Pilot | None:
    own = names == artist
    among = np.isin(names, placebos) if placebos else ~own
    others, sizes = np.unique(names[among], return_counts=True)
    if len(scores) < 2 or not own.any() or len(others) < 2 or sizes.max() < 2:
        return None
    effect = float(scores[:, own].mean() - scores[:, among].mean())
    return Pilot(variance_components(scores[:, among], names[among]), effect, 1)
