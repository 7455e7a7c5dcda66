"""How large must an audit be? Power of the placebo test, from a pilot index or from stated variances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.testing import placebo_numbers
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
    """What a pilot says, in rank percentiles; medians over artists, of the variances' square roots.

    Attributes
    ----------
    variances : Variances
    effect : float
        How much higher the own set of the median artist stands than the other sets.
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
    """Power of every combination of works, imitations and placebo names.

    Parameters
    ----------
    pilot : Pilot
        Variances and effect: of a pilot index (`from_index`), or stated.
    works, imitations : sequence of int
        For each artist, and of each name.
    placebos : sequence of int
        Placebo names. Unless given: as many as the correction needs at least, and twice as many.
    artists : int
        Artists tested together, all of them imitated with that effect.
    level, correction, target, n_resamples, seed
        As `imindex.stats.power.required`.

    Returns
    -------
    PowerPlan
    """
    needed = references_needed(level, artists if correction != "none" else 1)
    candidates = designs(works, imitations, placebos or (needed, 2 * needed))
    found = required(
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
        designs=tuple(_design(one, artists) for one in found.table),
        smallest=_design(found.smallest, artists) if found.smallest else None,
    )


def _design(found: Power, artists: int) -> DesignPower:
    design = found.design
    return DesignPower(
        n_works=design.n_works,
        n_imitations=design.n_imitations,
        n_placebos=design.n_placebos,
        pictures=design.n_imitations * (artists + design.n_placebos),
        power=found.power,
        standard_error=found.standard_error,
        resolution=found.resolution,
    )


def from_index(path: Path, collection: str | None = None, placebos: Sequence[str] = ()) -> Pilot:
    """Estimate variances and effect from a release in an index.

    Parameters
    ----------
    path : Path
    collection : str, optional
        The release; by default the only one.
    placebos : sequence of str
        Placebo names, or patterns of them: what an artist's own set is compared with. Unless given, all other
        names, of which those that are imitated widen the spread.

    Returns
    -------
    Pilot

    Raises
    ------
    ImindexError
        Fewer than two works or two other names, or no name with two imitations.
    """
    with Index(path) as index:
        name, _ = release(index, collection)
        works = pictures(index, "works")
        imitations = pictures(index, "imitations", collections=[name])
        chosen = placebo_numbers(index, placebos, imitations)
    scores: dict[int, list[Float64]] = {}
    for rows, block in similarity_blocks(works.vectors, imitations.vectors):
        percentiles = (ranks_in_rows(block)[1] - 1) / (2 * block.shape[1])
        for artist in np.unique(works.artist[rows]).tolist():
            scores.setdefault(artist, []).append(percentiles[works.artist[rows] == artist])
    parts = [_components(np.concatenate(scores[a]), imitations.artist, a, chosen) for a in sorted(scores)]
    known = [part for part in parts if part is not None]
    if not known:
        raise ImindexError(
            f"{path} is too small a pilot: it takes an artist with two works, own imitations, and two other names with "
            "two imitations each. State the variances instead: --between-sets, --within-set, --work-by-set."
        )
    middle = np.median(np.array([[*asdict(part.variances).values(), part.effect] for part in known]), axis=0)
    return Pilot(Variances(*middle[:-1].tolist()), float(middle[-1]), len(known))


def _components(scores: Float64, names: Int64, artist: int, placebos: Sequence[int]) -> Pilot | None:
    own = names == artist
    among = np.isin(names, placebos) if placebos else ~own
    others, sizes = np.unique(names[among], return_counts=True)
    if len(scores) < 2 or not own.any() or len(others) < 2 or sizes.max() < 2:
        return None
    effect = float(scores[:, own].mean() - scores[:, among].mean())
    return Pilot(variance_components(scores[:, among], names[among]), effect, 1)
