#!/usr/bin/env python
"""Measure the test of unprompted leakage in worlds in which it is known which artists the nameless pictures show.

    scripts/bench/question_worlds_leakage.py [--only level|power|assumption|statistics|share] [--worlds 300] [--json]

A world has tested and absent artists with works, and pictures that no prompt names anybody for. Vectors have 64
dimensions whose variances decrease. A work is the sum of its artist's style, a school that about five artists share, a
series within the artist, and noise whose spread differs between artists. A picture is the sum of an offset between
pictures and works, one of five prompts, noise, and, with the probability `share` for each leaking artist in turn,
`strength` times that artist's style and school.

"Actual" is the share of artists that are not shown with p <= 5 %. "False among found" is the mean, over worlds, of
the share of such artists among those found after correction.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imindex.indexer.terminal.output import print_json
from imindex.stats.leakage import TOP, change_pvalues, held_out_scores, kinds_test, leakage, upper_gap
from imindex.stats.multiple import adjust, called
from imindex.stats.named_sets import rank_pvalue
from imindex.stats.set_statistics import fit

DIM = 64
NOISE, STYLE = (np.arange(1, DIM + 1) ** -exponent for exponent in (0.5, 0.75))
NOISE, STYLE = NOISE / np.linalg.norm(NOISE), STYLE / np.linalg.norm(STYLE)
"""Standard deviation of each dimension; styles have fewer dimensions than the noise of single pictures."""
LEVEL = 0.05
SCHOOL = 5


@dataclass(frozen=True)
class LeakWorld:
    """Parameters of a world; lengths are in units of the noise of one picture."""

    label: str
    n_tested: int = 16
    n_absent: int = 99
    n_works: int = 10
    n_pictures: int = 100
    n_leaking: int = 0
    share: float = 0.2  # of the pictures, all leaking artists together
    strength: float = 0.8
    # How the tested artists' works differ in kind from those of the absent ones:
    typical: float = 0.0  # moved towards the pictures, as works of popular artists may be
    source: float = 0.0  # the absent works are moved in a common direction: another source or scanner
    fewer: int = 0  # the absent artists have this many works, compared without taking as many of all
    noisier: float = 1.0  # factor of the spread of the absent artists' works
    distinct: float = 1.0  # factor of the styles of the tested artists
    # Not a difference in kind:
    styles: float = 1.0  # factor of all styles


EXCHANGEABLE = LeakWorld("nobody is shown")
LEVELS = (
    EXCHANGEABLE,
    replace(EXCHANGEABLE, label="nobody is shown, 39 absent artists", n_absent=39),
    replace(EXCHANGEABLE, label="nobody is shown, 5 works, 20 pictures", n_works=5, n_pictures=20),
    replace(EXCHANGEABLE, label="3 of 16 shown in 20 %", n_leaking=3),
    replace(EXCHANGEABLE, label="8 of 16 shown in 40 %", n_leaking=8, share=0.4),
    replace(
        EXCHANGEABLE, label="2 of 8 shown in 20 %, 199 absent artists", n_tested=8, n_absent=199, n_leaking=2
    ),
)
POWER = tuple(
    replace(EXCHANGEABLE, label=f"{share:.0%} at strength {strength:g}", n_leaking=1, share=share, strength=strength)
    for share in (0.05, 0.1, 0.3, 0.6, 1.0)
    for strength in (0.4, 0.8)
)  # fmt: skip
ASSUMPTION = (
    EXCHANGEABLE,
    replace(EXCHANGEABLE, label="tested artists nearer to pictures, 0.3", typical=0.3),
    replace(EXCHANGEABLE, label="tested artists nearer to pictures, 0.6", typical=0.6),
    replace(EXCHANGEABLE, label="absent works of another source, 0.3", source=0.3),
    replace(EXCHANGEABLE, label="absent works of another source, 1", source=1.0),
    replace(EXCHANGEABLE, label="absent artists with 4 works, all works used", fewer=4),
    replace(EXCHANGEABLE, label="absent artists' works vary 1.5 times as much", noisier=1.5),
    replace(EXCHANGEABLE, label="tested artists 1.3 times as distinct", distinct=1.3),
)


@dataclass(frozen=True)
class Drawn:
    """One draw of a world.

    Attributes
    ----------
    works : ndarray, shape (n_tested + n_absent, n_works, DIM)
    pictures : ndarray, shape (n_pictures, DIM)
    clean : ndarray, shape (n_pictures, DIM)
        Pictures of another release, which shows nobody.
    plain : ndarray, shape (n_pictures, DIM)
        The pictures without what was leaked into them.
    """

    works: np.ndarray
    pictures: np.ndarray
    clean: np.ndarray
    plain: np.ndarray


def draw(world: LeakWorld, rng: np.random.Generator) -> Drawn:
    """Draw one world."""

    def part(*shape: int, spectrum: np.ndarray = STYLE) -> np.ndarray:
        return rng.normal(size=(*shape, DIM)) * spectrum

    tested, n, m = world.n_tested, world.n_tested + world.n_absent, world.n_works
    n_schools = n // SCHOOL + 1
    styles = world.styles * (part(n) + 0.5 * part(n_schools)[rng.integers(n_schools, size=n)])
    mean, offset, source = np.zeros((3, DIM))
    mean[:8], offset[8:16] = 2 / np.sqrt(8), 1 / np.sqrt(8)
    styles[:tested] = world.distinct * styles[:tested] + world.typical * offset
    source = part()
    styles[tested:] += world.source * source / np.linalg.norm(source)
    spread = rng.uniform(0.7, 1.3, n)
    spread[tested:] *= world.noisier
    works = styles[:, None] + spread[:, None, None] * part(n, m, spectrum=NOISE)
    works += 0.5 * part(n, 2)[:, np.arange(m) * 2 // m]

    def made() -> np.ndarray:
        pictures = 0.8 * offset + 0.3 * part() + 0.5 * part(5)[np.arange(world.n_pictures) % 5]
        return pictures + part(world.n_pictures, spectrum=NOISE)

    plain, clean = made(), made()
    pictures = plain.copy()
    if world.n_leaking:
        shown = rng.random(world.n_pictures) < world.share
        pictures[shown] += world.strength * styles[rng.integers(world.n_leaking, size=int(shown.sum()))]

    def unit(values: np.ndarray) -> np.ndarray:
        return (mean + values) / np.linalg.norm(mean + values, axis=-1, keepdims=True)

    return Drawn(unit(works), unit(pictures), unit(clean), unit(plain))


def candidates(works: np.ndarray, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Return statistics that could be used, by artist; the first is the one in use."""
    n_artists, n_works, dim = works.shape
    artist = np.repeat(np.arange(n_artists), n_works)
    odds = fit(works.reshape(-1, dim), artist).score(pictures)
    linear = fit(works.reshape(-1, dim), artist, "linear").score(pictures)
    levels = _levels(works)
    n_top = max(1, round(TOP * len(odds)))
    top = np.sort(odds, axis=0)[-n_top:].mean(axis=0)
    p = np.array([1 - np.searchsorted(one, odds[:, k]) / (len(one) + 1) for k, one in enumerate(levels)])
    ordered, expected = np.sort(p, axis=1), np.arange(1, len(odds) + 1) / len(odds)
    higher = (expected - ordered) * np.sqrt(len(odds) / (ordered * (1 - ordered) + 1e-9))
    own = held_out_scores(works)
    scale = np.sqrt(np.maximum(np.median(own, axis=1) - np.median(odds, axis=0), own.std(axis=1)))
    return {
        "nearest tenth less median, in deviations": in_deviations(odds, own),
        "nearest twentieth less median, in deviations": upper_gap(odds, top=0.05) / scale,
        "nearest fifth less median, in deviations": upper_gap(odds, top=0.2) / scale,
        "nearest tenth less median": upper_gap(odds),
        "nearest tenth less median, share of the way to own works": upper_gap(odds) / scale**2,
        "nearest tenth less median, linear": upper_gap(linear),
        "mean log odds": odds.mean(axis=0),
        "mean of the nearest tenth": top,
        "mean posterior": (1 / (1 + np.exp(-odds))).mean(axis=0),
        "share above 95 % of other artists' works": (p <= 0.05).mean(axis=1) + 1e-6 * odds.mean(axis=0),
        "higher criticism": higher[:, : len(odds) // 2].max(axis=1),
    }


def _levels(works: np.ndarray) -> list[np.ndarray]:
    """Return the held-out log odds of the other artists' works for each artist, ascending."""
    n_artists, n_works, dim = works.shape
    table = np.empty((n_artists, n_works, n_artists))
    for fold in range(2):
        out = np.arange(n_works) % 2 == fold
        kept = works[:, ~out]
        artist = np.repeat(np.arange(n_artists), kept.shape[1])
        scorer = fit(kept.reshape(-1, dim), artist)
        table[:, out] = scorer.score(works[:, out].reshape(-1, dim)).reshape(n_artists, out.sum(), n_artists)
    return [np.sort(np.delete(table[:, :, k], k, axis=0).ravel()) for k in range(n_artists)]


def p_values(statistic: np.ndarray, n_tested: int) -> np.ndarray:
    """Rank each tested artist among the absent ones."""
    return np.array([rank_pvalue(float(one), statistic[n_tested:]) for one in statistic[:n_tested]])


def gaps(world: LeakWorld, works: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Return the statistic of `leakage`; with `fewer`, of all works, so that artists have different numbers."""
    if not world.fewer:
        return leakage(works, pictures, world.n_tested).statistic
    n, m, _ = works.shape
    kept = np.ones((n, m), bool)
    kept[world.n_tested :, world.fewer :] = False
    artist = np.repeat(np.arange(n), m).reshape(n, m)
    odds = fit(works[kept], artist[kept]).score(pictures)
    own = np.full((n, m), np.nan)
    for out in range(m):
        others = kept.copy()
        others[:, out] = False
        scored = fit(works[others], artist[others]).score(works[:, out])
        own[:, out] = np.where(kept[:, out], np.diagonal(scored), np.nan)
    return in_deviations(odds, own)


def in_deviations(odds: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the gap in standard deviations, given the held-out log odds of the artists' own works."""
    away = np.nanmedian(own, axis=1) - np.median(odds, axis=0)
    return upper_gap(odds) / np.sqrt(np.maximum(away, np.nanstd(own, axis=1)))


def measure(worlds: Sequence[LeakWorld], n_worlds: int, seed: int = 1) -> list[dict[str, float | str]]:
    """Return error rates and power, one row per world.

    Parameters
    ----------
    worlds : sequence of LeakWorld
    n_worlds : int
        Draws of each.
    seed : int

    Returns
    -------
    list of dict
        actual: share of artists that are not shown with p <= 5 %. found_bh, found_holm: share of shown artists found
        after correction. power: with p <= 5 %. actual_change, power_change: of the p-values of the change from a clean
        release. false_bh: mean share of false findings. any_holm: share of worlds with a false finding. alarm,
        alarm_clean: share of worlds in which `kinds_test` is at most 5 %, without and with a clean release.
    """
    rows: list[dict[str, float | str]] = []
    for world in worlds:
        rng = np.random.default_rng([seed, sum(map(ord, world.label))])
        rates: Mapping[str, list[float]] = defaultdict(list)
        for _ in range(n_worlds):
            drawn = draw(world, rng)
            gap, near = (gaps(world, drawn.works, one) for one in (drawn.pictures, drawn.clean))
            p, p_change = p_values(gap, world.n_tested), change_pvalues(gap, near, world.n_tested)
            shown = np.arange(world.n_tested) < world.n_leaking
            rates["actual"].append(float((p[~shown] <= LEVEL).mean()))
            rates["actual_change"].append(float((p_change[~shown] <= LEVEL).mean()))
            for method in ("bh", "holm"):
                found = called(adjust(p, method=method), level=LEVEL)
                if method == "bh":
                    rates["false_bh"].append(float((found & ~shown).sum() / max(1, found.sum())))
                else:
                    rates["any_holm"].append(float((found & ~shown).any()))
                if world.n_leaking:
                    rates[f"found_{method}"].append(float(found[shown].mean()))
            if world.n_leaking:
                rates["power"].append(float((p[shown] <= LEVEL).mean()))
                rates["power_change"].append(float((p_change[shown] <= LEVEL).mean()))
            alone = kinds_test(drawn.works, world.n_tested, n_resamples=199, rng=rng)
            clean = kinds_test(drawn.works, world.n_tested, nearness=near, n_resamples=199, rng=rng)
            rates["alarm"].append(float(alone.pvalue <= LEVEL))
            rates["alarm_clean"].append(float(clean.pvalue <= LEVEL))
        rows.append({"world": world.label, **{key: float(np.mean(one)) for key, one in rates.items()}})
        rows[-1]["error"] = float(np.std(rates["actual"], ddof=1) / np.sqrt(n_worlds))
    return rows


def statistics(n_worlds: int, seed: int = 1) -> list[dict[str, float | str]]:
    """Return the power of each statistic at 5 % in some worlds, and its level where tested artists are nearer."""
    shown = [
        replace(
            EXCHANGEABLE, label=f"{share:.0%} at {strength:g}", n_leaking=1, share=share, strength=strength
        )
        for share, strength in ((0.05, 1.2), (0.1, 0.8), (0.2, 0.6), (0.3, 0.4), (1.0, 0.3))
    ]
    shown.append(replace(shown[2], label="20% at 0.4, styles 2 times as distinct", strength=0.4, styles=2.0))
    null = [
        replace(EXCHANGEABLE, label="level"),
        replace(EXCHANGEABLE, label="level, tested nearer 0.3", typical=0.3),
    ]
    table: dict[str, dict[str, float | str]] = {}
    for world in [*shown, *null]:
        rng = np.random.default_rng([seed, 7, sum(map(ord, world.label))])
        rates: Mapping[str, list[float]] = defaultdict(list)
        for _ in range(n_worlds):
            drawn = draw(world, rng)
            for name, values in candidates(drawn.works, drawn.pictures).items():
                p = p_values(values, world.n_tested)
                rates[name].append(float((p[: world.n_leaking or None] <= LEVEL).mean()))
        for name, one in rates.items():
            table.setdefault(name, {"statistic": name})[world.label] = float(np.mean(one))
    return list(table.values())


def shares(n_worlds: int, seed: int = 1) -> list[dict[str, float | str]]:
    """Return how often the interval of the excess covers the share that leaked pictures add, and its mean."""
    rows: list[dict[str, float | str]] = []
    for share, strength in ((0.0, 0.8), (0.1, 0.8), (0.3, 0.8), (0.1, 1.2), (0.3, 1.2)):
        world = replace(
            EXCHANGEABLE,
            label=f"{share:.0%} at strength {strength:g}",
            n_leaking=1,
            share=share,
            strength=strength,
        )
        rng = np.random.default_rng([seed, 8, int(100 * share), int(10 * strength)])
        covered, excess, truth = [], [], []
        for _ in range(n_worlds):
            drawn = draw(replace(world, n_pictures=2000), rng)
            some = slice(0, world.n_pictures)
            result = leakage(drawn.works, drawn.pictures[some], world.n_tested)
            if np.isnan(result.excess[0]):
                continue
            scorer = fit(drawn.works.reshape(-1, DIM), np.repeat(np.arange(len(drawn.works)), world.n_works))
            above = [
                float((scorer.score(one)[:, 0] >= result.threshold[0]).mean())
                for one in (drawn.pictures, drawn.plain)
            ]
            truth.append(above[0] - above[1])
            ends = result.intervals[0]
            covered.append(ends.low <= truth[-1] <= ends.high)
            excess.append(float(result.excess[0]))
        rows.append(
            {
                "world": world.label,
                "added": float(np.mean(truth)),
                "estimated": float(np.mean(excess)),
                "covered": float(np.mean(covered)),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("level", "power", "assumption", "statistics", "share"))
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = {
        "level": lambda: measure(LEVELS, options.worlds, options.seed),
        "power": lambda: measure(POWER, options.worlds, options.seed),
        "assumption": lambda: measure(ASSUMPTION, options.worlds, options.seed),
        "statistics": lambda: statistics(options.worlds, options.seed),
        "share": lambda: shares(options.worlds, options.seed),
    }
    results = {name: part() for name, part in parts.items() if options.only in (None, name)}
    if options.json:
        print_json(results)
        return
    for name, rows in results.items():
        head = list(dict.fromkeys(key for row in rows for key in row))
        print(f"\n{name}\n")
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for row in rows:
            cells = [
                f"{row[key]:.3f}" if isinstance(row.get(key), float) else str(row.get(key, ""))
                for key in head
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
