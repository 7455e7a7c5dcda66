"""Worlds of artists, works and releases in which it is known who is imitated, and what each statistic finds there.

Vectors have 128 dimensions whose variances decrease, those of styles faster than those of noise. A work is the sum of
its artist's style, a school that five artists share, a series within the artist, and noise whose spread differs between
artists. A picture is the sum of its name's manner, a prompt that all names share, an offset between pictures and works,
noise, and, if its artist is imitated, a share of the artist's style and school. `scripts/bench/calibration --only
statistics` prints the results.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from imindex.stats.hierarchical import adaptive_bh, two_steps
from imindex.stats.multiple import adjust, called
from imindex.stats.references import name_test, nearest_pvalue, rival_test
from imindex.stats.set_scores import SetScores, collect, twice_midranks
from imindex.stats.set_statistics import SetTable, Statistic, fit, pooled, tell_apart
from imindex.stats.validity import POSITIVE, gap_bootstrap

DIM = 128
NOISE, STYLE = (np.arange(1, DIM + 1) ** -exponent for exponent in (0.5, 0.75))
NOISE, STYLE = NOISE / np.linalg.norm(NOISE), STYLE / np.linalg.norm(STYLE)
"""Standard deviation of each dimension; styles have fewer dimensions than the noise of single pictures."""
SCHOOL = 5
"""Artists per school."""
LEVEL = 0.05


@dataclass(frozen=True)
class SetWorld:
    """Parameters of a world; lengths are in units of the noise of one picture."""

    label: str
    n_artists: int = 70
    n_imitated: int = 50
    n_placebos: int = 99
    n_rivals: int = 0  # further real names, without works
    n_works: int = 10
    n_imitations: int = 12
    style: float = 1.0
    strength: float = 0.35  # mean over artists; it varies from half to one and a half times this
    manner: float = 0.5
    series: float = 0.5  # two series of works per artist, or one per five works
    school: float = 0.5
    prompt: float = 0.5
    unspecific: float = 0.0  # shift of every real name's pictures towards works in general
    duplicates: float = 0.0  # share of an artist's works that are near-copies of one of them
    drift: float = 0.0  # shift of every picture of the release
    generic: float = (
        0.0  # placebo names' pictures, and works of artists who are not imitated, share a direction
    )
    foreign: bool = False  # pictures vary in other dimensions than works
    heavy: bool = False  # outlying names and works, by Student's t with 3 degrees of freedom
    # Names of one origin (of three) move towards the works of that origin; placebo names are of the artist's origin,
    # of a random one, or of another one.
    origin: float = 0.0
    placebo_origin: str = "same"


BASE = SetWorld("series and schools")
FEW = {"n_works": 5, "n_imitations": 4, "strength": 0.45}
SMALL = {"n_artists": 24, "n_imitated": 16}
SET_WORLDS = (
    replace(BASE, label="independent works, no prompt effects", series=0.0, school=0.0, prompt=0.0),
    BASE,
    replace(BASE, label="strong prompts", prompt=1.0),
    replace(BASE, label="strong series", series=1.0),
    replace(BASE, label="strong schools", school=1.0),
    replace(BASE, label="half imitated", n_imitated=35),
    replace(BASE, label="half imitated, the rest generic", n_imitated=35, generic=0.5),
    replace(BASE, label="nobody imitated", n_imitated=0),
    replace(BASE, label="near-duplicate works", duplicates=0.5),
    replace(BASE, label="drift", drift=1.0),
    replace(BASE, label="pictures vary in other dimensions", foreign=True),
    replace(BASE, label="heavy tails", heavy=True),
    replace(BASE, label="unspecific effect of every name", unspecific=0.8),
    replace(BASE, label="unspecific effect, nobody imitated", unspecific=0.8, n_imitated=0),
    replace(BASE, label="origins, placebos of the same origin", origin=0.3),
    replace(BASE, label="origins, placebos of any origin", origin=0.3, placebo_origin="any"),
    replace(BASE, label="origins, placebos of another origin", origin=0.3, placebo_origin="other"),
    replace(BASE, label="5 works, 4 imitations", **FEW),
    replace(BASE, label="5 works, 4 imitations, half imitated", n_imitated=35, **FEW),
    replace(BASE, label="5 works, 4 imitations, near-duplicates", duplicates=0.4, **FEW),
    replace(BASE, label="24 artists", **SMALL),
    replace(BASE, label="24 artists, unspecific effect, nobody imitated", unspecific=0.8, **SMALL | {"n_imitated": 0}),
    replace(BASE, label="24 artists, unspecific effect, 8 imitated", unspecific=0.8, **SMALL | {"n_imitated": 8}),
    replace(BASE, label="24 artists, 5 works, 4 imitations", **SMALL, **FEW),
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """One draw of a world.

    Attributes
    ----------
    works : ndarray, shape (n_artists * n_works, DIM)
    work_artist : ndarray
    pictures : ndarray, shape (n_sets * n_imitations, DIM)
        Of the artists, the rivals, the placebo names, and last one further placebo name for each artist, which takes
        the place of the artist's own set where the null hypothesis is to be true.
    origin : ndarray, shape (n_artists,)
    placebo_origin : ndarray, shape (n_placebos,)
    cluster : ndarray, shape (n_artists * n_works,)
        Number of each work's group of near-duplicates.
    """

    works: np.ndarray
    work_artist: np.ndarray
    pictures: np.ndarray
    origin: np.ndarray
    placebo_origin: np.ndarray
    cluster: np.ndarray


def draw_sets(world: SetWorld, rng: np.random.Generator) -> Drawn:
    """Draw one world."""

    def part(*shape: int, spectrum: np.ndarray = STYLE) -> np.ndarray:
        values = rng.normal(size=(*shape, DIM)) * spectrum
        if world.heavy:
            values *= np.sqrt(1 / rng.chisquare(3, size=(*shape, 1)))
        return values

    n, m = world.n_works, world.n_imitations
    artists = np.arange(world.n_artists)
    origin = artists % 3
    # Placebo names: the same number of each origin, or as many as artists would have of another origin.
    n_placebos = world.n_placebos * (3 if world.origin and world.placebo_origin != "any" else 1)
    placebo_origin = np.arange(n_placebos) % 3
    stand_in = (origin + (world.placebo_origin == "other")) % 3
    if world.placebo_origin == "any":
        stand_in = rng.permutation(placebo_origin)[: world.n_artists]

    schools = world.school * part(world.n_artists // SCHOOL + 1)[artists // SCHOOL]
    origins = part(3)
    styles = world.style * part(world.n_artists)
    common = np.zeros(DIM)
    common[:4] = world.generic / 2
    styles[world.n_imitated :] += common
    works = (styles + schools + world.origin * origins[origin])[:, None]
    spread = rng.uniform(0.7, 1.3, world.n_artists)[:, None, None]
    works = works + spread * part(world.n_artists, n, spectrum=NOISE)
    series = np.arange(n) * max(2, n // 5) // n
    works += world.series * part(world.n_artists, series.max() + 1)[:, series]
    n_copies = round(world.duplicates * n)
    if n_copies:
        works[:, 1 : n_copies + 1] = works[:, :1] + 0.05 * part(world.n_artists, n_copies, spectrum=NOISE)
    cluster = np.arange(n)
    cluster[1 : n_copies + 1] = 0

    names = np.concatenate([artists, rng.integers(0, 3, world.n_rivals)])
    noise, style = (
        spectrum[rng.permutation(DIM)] if world.foreign else spectrum for spectrum in (NOISE, STYLE)
    )
    manner = world.manner * part(len(names) + n_placebos + world.n_artists, spectrum=style)
    name_origin = np.concatenate([names % 3, placebo_origin, stand_in])
    manner += 2 * world.origin * origins[name_origin]
    manner[len(names) :] += common
    manner[world.n_imitated : len(names)] += common
    strength = world.strength * rng.uniform(0.5, 1.5, world.n_imitated)[:, None]
    manner[: world.n_imitated] += strength * (styles + schools)[: world.n_imitated]
    mean, offset = np.zeros((2, DIM))
    mean[:8], offset[8:16] = 2 / np.sqrt(8), 0.8 / np.sqrt(8)
    manner[: len(names)] += world.unspecific * (0.5 * part() - offset / np.linalg.norm(offset))
    pictures = manner[:, None] + world.prompt * part(m, spectrum=style)
    pictures = pictures + part(len(manner), m, spectrum=noise)
    pictures += offset + world.drift * part()

    def unit(values: np.ndarray) -> np.ndarray:
        flat = (mean + values).reshape(-1, DIM)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    return Drawn(
        unit(works),
        np.repeat(artists, n),
        unit(pictures),
        origin,
        placebo_origin,
        (n * artists[:, None] + cluster).ravel(),
    )


STATISTICS: dict[str, tuple[Statistic, bool]] = {
    "rank": ("rank", False),
    "direction": ("direction", False),
    "softmax": ("softmax", False),
    "lda, log posterior": ("lda", False),
    "lda, log odds": ("lda", False),
    "lda, log odds, with pictures": ("lda", True),
    "linear": ("linear", False),
    "linear, with pictures": ("linear", True),
}
"""The rows of a table: the statistic, and whether its covariance includes the release's pictures without names."""
BEFORE = "rank; gap; one step"
SELECTED = "the same; step 2 among the selected only"


def scores_by(label: str, drawn: Drawn, scores: SetScores) -> np.ndarray:
    """Score the pictures of a draw by a row of `STATISTICS`, shape (pictures, artists)."""
    statistic, with_pictures = STATISTICS[label]
    rows = pooled(scores)
    scorer = fit(
        drawn.works,
        drawn.work_artist,
        statistic,
        pictures=drawn.pictures[rows] if with_pictures else None,
    )
    if label == "lda, log posterior":
        return special.log_softmax(drawn.pictures @ scorer.weights + scorer.offsets, axis=1)
    return scorer.score(drawn.pictures)


def restricted(scores: SetScores, values: np.ndarray, columns: np.ndarray) -> tuple[SetScores, SetTable]:
    """Choose the sets of a table, own sets first; `values` replaces the sums of ranks."""
    n = len(columns)
    rows = np.arange(n)
    size = int(scores.sizes.max())
    table = np.full((n, n), np.nan)
    table[: len(values)] = values[:, columns]
    sums = {size: scores.sums[size][np.ix_(rows, columns)]}
    kept = replace(
        scores,
        sums=sums,
        sizes=scores.sizes[:n],
        designs={size: scores.designs[size][columns]},
        n_works=scores.n_works[:n],
        n_imitations=scores.n_imitations[columns],
    )
    return kept, SetTable("lda", {size: table})


def outcomes(world: SetWorld, drawn: Drawn) -> dict[str, dict[str, np.ndarray]]:
    """Test one draw of a world by each statistic.

    Returns
    -------
    dict from statistic to a dict of arrays, shape (n_artists,)
        "name" and "imitated": calls after correction. "p", "p_stand_in": p-values of the name test of the artist's own
        set, and of a placebo name's set in its place. "p_rival".
    """
    n, n_placebos = world.n_artists, len(drawn.placebo_origin)
    n_names = n + world.n_rivals
    n_sets = n_names + n_placebos + n
    sets = np.repeat(np.arange(n_sets), world.n_imitations)
    ranks = twice_midranks(drawn.works @ drawn.pictures.T)
    scores = collect([(slice(None), ranks)], drawn.work_artist, sets, n_sets, rng=0)
    gap = gap_bootstrap(drawn.works @ drawn.works.T, drawn.work_artist, n, n_resamples=200, rng=0)
    robust = np.array([status == POSITIVE for status in gap.status])
    told = {
        statistic: tell_apart(
            drawn.works, drawn.work_artist, n, statistic=statistic, cluster=drawn.cluster
        ).told
        for statistic in {statistic for statistic, _ in STATISTICS.values()}
    }
    out = {}
    for label, (statistic, _) in STATISTICS.items():
        values = scores_by(label, drawn, scores).reshape(n_sets, world.n_imitations, n).mean(axis=1).T
        p, p_stand_in, p_rival, resolution, p_nearest = np.full((5, n), np.nan)
        for these, placebo in _strata(world, drawn):
            numbers = n_names + np.arange(len(placebo))
            for target, own in ((p, np.arange(n)), (p_stand_in, n_names + n_placebos + np.arange(n))):
                columns = np.concatenate([own, np.arange(n, n_names), n_names + placebo])
                kept, table = restricted(scores, values, columns)
                learned = None if statistic == "rank" else table
                target[these] = name_test(kept, numbers, learned).pvalue[:n][these]
                if own[0] == 0:
                    rival = rival_test(kept, numbers, learned)
                    p_nearest[these] = nearest_pvalue(kept, numbers, learned)[:n][these]
                    p_rival[these], resolution[these] = rival.pvalue[:n][these], rival.resolution[:n][these]
        values_of = {"p": p, "p_stand_in": p_stand_in, "p_rival": p_rival}
        if statistic == "rank":
            both = np.where(robust, np.maximum(p, p_rival), np.nan)
            out[BEFORE] = values_of | {
                "name": called(adjust(np.where(robust, p, np.nan), method="bh"), level=LEVEL),
                "imitated": called(adjust(both, method="bh"), level=LEVEL),
                "judged": robust,
            }
        judged = told[statistic]
        steps = two_steps(np.where(judged, p, np.nan), p_rival, resolution, p_nearest=p_nearest, level=LEVEL)
        out[label] = values_of | {
            "name": steps.name_called,
            "imitated": steps.name_called & steps.rival_called,
            "judged": judged,
        }
        if label == "linear, with pictures":
            selected = adaptive_bh(np.where(steps.name_called, p_rival, np.nan), level=LEVEL)
            out[SELECTED] = out[label] | {"imitated": called(selected, level=LEVEL)}
    return out


def _strata(world: SetWorld, drawn: Drawn) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield artists, as a mask, and the placebo names that they are compared with."""
    everybody = np.arange(len(drawn.placebo_origin))
    if not world.origin or world.placebo_origin == "any":
        yield np.ones(world.n_artists, bool), everybody
        return
    for origin in range(3):
        of_placebos = (origin + (world.placebo_origin == "other")) % 3
        yield drawn.origin == origin, everybody[drawn.placebo_origin == of_placebos]


def statistics(n_worlds: int, seed: int, only: str | None) -> list[dict]:
    """Power and errors of each statistic in every world, or in the worlds whose label contains `only`.

    Worlds with few artists are drawn three times as often.
    """
    rows = []
    for number, world in enumerate(SET_WORLDS):
        if only and only not in world.label:
            continue
        rng = np.random.default_rng([seed, 500, number])
        found: dict[str, list[dict[str, float]]] = defaultdict(list)
        repeats = n_worlds if world.n_artists > 50 else 3 * n_worlds
        for _ in range(repeats):
            for label, one in outcomes(world, draw_sets(world, rng)).items():
                found[label].append(_rates(world, one))
        for label, rates in found.items():
            row: dict = {"world": world.label, "statistic": label, "error": {}}
            for key in rates[0]:
                values = np.array([rate[key] for rate in rates])
                row[key] = float(values.mean())
                row["error"][key] = float(values.std(ddof=1) / np.sqrt(repeats))
            rows.append(row)
        print(f"{world.label}: done", file=sys.stderr, flush=True)
    return rows


def _rates(world: SetWorld, one: dict[str, np.ndarray]) -> dict[str, float]:
    k = world.n_imitated
    rates = {}
    if k:
        rates["judged"] = one["judged"].mean()
        rates["name found"], rates["imitated found"] = one["name"][:k].mean(), one["imitated"][:k].mean()
        rates["rival at 5 %"] = (one["p_rival"][:k] <= LEVEL + 1e-9).mean()
    # An unspecific effect is an effect of the name: only the finding about rivals can be false.
    if not world.unspecific:
        rates["name false"] = one["name"][k:].sum() / max(1, one["name"].sum())
        rates["level"] = (one["p"][k:] <= LEVEL + 1e-9).mean()
    rates["imitated false"] = one["imitated"][k:].sum() / max(1, one["imitated"].sum())
    rates["imitated false, each"] = one["imitated"][k:].mean()
    rates["level, placebo"] = (one["p_stand_in"] <= LEVEL + 1e-9).mean()
    return rates


@dataclass(frozen=True)
class ToldWorld:
    """Works of artists who are alike, or who differ as stated."""

    label: str
    n_artists: int = 24
    n_works: int = 10  # 0: 3 to 30
    style: float = 0.0
    series: float = 0.0


TOLD_WORLDS = (
    *(ToldWorld(f"alike, {a} artists, {n or '3 to 30'} works", a, n) for a in (6, 24, 70) for n in (3, 5, 10, 20, 0)),
    ToldWorld("two series each, otherwise alike", series=0.5),
    *(ToldWorld(f"styles of 0.4, {n or '3 to 30'} works", n_works=n, style=0.4) for n in (3, 5, 10, 20, 0)),
    *(ToldWorld(f"styles of 1.0, {n} works", n_works=n, style=1.0) for n in (3, 5)),
)  # fmt: skip


def told_apart(n: int, seed: int) -> list[dict]:
    """Share of artists whose works are told from those of others, over at least n artists of each world."""
    rows = []
    for number, world in enumerate(TOLD_WORLDS):
        rng = np.random.default_rng([seed, 600, number])
        rates: dict[str, list[float]] = defaultdict(list)
        for _ in range(max(4, n // world.n_artists)):
            counts = np.full(world.n_artists, world.n_works)
            if not world.n_works:
                counts = rng.integers(3, 31, world.n_artists)
            artist = np.repeat(np.arange(world.n_artists), counts)
            works = rng.normal(size=(len(artist), DIM)) * NOISE
            works += world.style * (rng.normal(size=(world.n_artists, DIM)) * STYLE)[artist]
            series = rng.normal(size=(world.n_artists, 2, DIM)) * STYLE
            works += world.series * series[artist, np.arange(len(artist)) % 2]
            works[:, :8] += 2 / np.sqrt(8)
            works /= np.linalg.norm(works, axis=1, keepdims=True)
            for statistic in ("lda", "linear", "direction", "softmax"):
                result = tell_apart(works, artist, world.n_artists, statistic=statistic)
                rates[statistic].append(float(result.told.mean()))
        row: dict = {"world": world.label}
        for statistic, values in rates.items():
            row[statistic] = float(np.mean(values))
            row[f"{statistic}, error"] = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        rows.append(row)
    print("telling artists apart: done", file=sys.stderr, flush=True)
    return rows
