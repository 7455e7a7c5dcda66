"""Worlds of two names in one prompt in which it is known who is in the pictures, and what is found there.

Vectors have 64 dimensions. A work is its artist's style, a series within the artist and noise. A picture is the sum of
the manners of its two names, a prompt and seed that all names share, noise, and what the world says that it shows.
Artists are in pairs, each in one. Thresholds are set at 5 % per artist: by pairs of placebo names alone, and by these
and pictures of one other artist.

    python scripts/bench/question_worlds_together.py --worlds 100
    python scripts/bench/question_worlds_together.py --drawn FOLDER [--figure FILE.svg]

prints, for each world, how often the first and the second name of a pair have p <= 5 %, how often both do, the share of
a name's own part that remains and how often its interval covers the true share, and for single pictures and sets of 8:
recall, false inclusion, and answers that are exactly right, by both thresholds. The second command audits pictures that
the demo's artists draw, half by half, in a folder of its own (tests/support/paired_world.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, called
from imindex.stats.named_sets import compare_names
from imindex.stats.set_statistics import Statistic, fit
from imindex.stats.together import (
    both_present,
    company_thresholds,
    in_sets,
    inclusion_thresholds,
    kept_share,
    set_answers,
)

DIM, LEVEL = 64, 0.05


@dataclass(frozen=True)
class PairWorld:
    """Parameters of a world; lengths are in units of the noise of one picture.

    Attributes
    ----------
    first, second : float
        Share of each artist's style in the pictures of the pair.
    other_for_first : float
        Where the first name makes no difference towards the artist but another one: a style that nobody has as works
        enters, and the second artist's share falls by as much.
    alone : float
        Share in pictures of a name alone.
    push : float
        Of every picture that names two artists, towards works in general.
    push_by_one : bool
        Whether one artist's name beside a placebo name pushes as much.
    louder : float
        Factor of the noise of pictures that name a tested artist.
    """

    label: str
    first: float = 0.0
    second: float = 0.0
    other_for_first: float = 0.0
    alone: float = 1.0
    push: float = 0.0
    push_by_one: bool = False
    louder: float = 1.0
    n_pairs: int = 4
    n_others: int = 8
    n_works: int = 10
    n_cells: int = 8
    n_placebos: int = 39
    n_calibrating: int = 19
    style: float = 1.6
    manner: float = 0.3
    statistic: Statistic = "linear"


BASE = PairWorld("nothing appears")
WORLDS = (
    BASE,
    replace(BASE, label="both appear, half each", first=0.5, second=0.5),
    replace(BASE, label="both appear, half each, by lda", first=0.5, second=0.5, statistic="lda"),
    replace(BASE, label="both appear, a quarter each", first=0.25, second=0.25),
    replace(BASE, label="both appear weakly, a tenth each", first=0.1, second=0.1),
    replace(BASE, label="both appear weakly, a twentieth each", first=0.05, second=0.05),
    replace(BASE, label="only the first appears", first=1.0),
    replace(BASE, label="both appear, a quarter each, by lda", first=0.25, second=0.25, statistic="lda"),
    replace(BASE, label="only the first appears, by lda", first=1.0, statistic="lda"),
    replace(BASE, label="only the second appears", second=1.0),
    replace(BASE, label="a blend that is neither: the first name brings a style without works, the second fades",
            second=1.0, other_for_first=0.6),
    replace(BASE, label="the same, by lda", second=1.0, other_for_first=0.6, statistic="lda"),
    replace(BASE, label="the other name pushes pictures towards all works", push=0.8, push_by_one=True),
    replace(BASE, label="each real name pushes pictures towards all works (assumption fails)", push=0.8),
    replace(BASE, label="real names' pictures vary 1.5 times as much (assumption fails)", louder=1.5),
    replace(BASE, label="both appear, half each, 19 placebo names", first=0.5, second=0.5, n_placebos=19),
    replace(BASE, label="both appear, half each, 4 pictures", first=0.5, second=0.5, n_cells=4),
)  # fmt: skip


class Draw:
    """One draw of a world: works, styles, and pictures on request."""

    def __init__(self, world: PairWorld, rng: np.random.Generator):
        self.world, self.rng = world, rng
        n = 2 * world.n_pairs + world.n_others
        self.styles = world.style * rng.normal(size=(n, DIM)) / np.sqrt(DIM) * 2
        series = 0.5 * rng.normal(size=(n, 2, DIM)) / np.sqrt(DIM)
        works = self.styles[:, None] + np.repeat(series, world.n_works // 2, axis=1)
        works = works + rng.normal(size=works.shape) / np.sqrt(DIM)
        self.middle = self.styles.mean(axis=0)
        self.scorer = fit(works.reshape(-1, DIM), np.repeat(np.arange(n), world.n_works), world.statistic)
        self.cells = 0.5 * rng.normal(size=(world.n_cells, DIM)) / np.sqrt(DIM)
        self.manners = (
            world.manner
            * rng.normal(size=(n + 2 * world.n_calibrating + world.n_placebos, DIM))
            / np.sqrt(DIM)
        )
        self.elsewhere = self.styles.std() * rng.normal(size=(n, DIM))

    def scores(self, first: np.ndarray, second: np.ndarray, shown: np.ndarray, *, real: bool) -> np.ndarray:
        """Return the scores of the pictures of R pairs of names for all artists, shape (R, cells, artists)."""
        world = self.world
        noise = (
            self.rng.normal(size=(len(first), *self.cells.shape))
            / np.sqrt(DIM)
            * (world.louder if real else 1.0)
        )
        pictures = (self.manners[first] + self.manners[second] + shown)[:, None] + self.cells + noise
        if real and world.push:
            pictures = pictures + world.push * self.middle / np.linalg.norm(self.middle) * world.style
        return np.asarray(self.scorer.score(pictures.reshape(-1, DIM))).reshape(*pictures.shape[:2], -1)

    def shown(self, first: int | None, second: int | None) -> np.ndarray:
        """Return what the pictures of two artists show; None stands for a placebo name."""
        world = self.world
        shown = np.zeros(DIM)
        if first is not None:
            shown = shown + world.first * self.styles[first] + world.other_for_first * self.elsewhere[first]
        if second is not None:
            faded = world.other_for_first if first is not None else 0.0
            shown = shown + (world.second - faded * world.second) * self.styles[second]
        return shown


def measure(world: PairWorld, n_worlds: int = 200, seed: int = 1) -> dict[str, float]:
    """Measure level, power and coverage in a world.

    Parameters
    ----------
    world : PairWorld
    n_worlds : int
        Draws.
    seed : int

    Returns
    -------
    dict of str to float
        Rates over draws, pairs and names; NaN where a figure does not apply.
    """
    seen: dict[str, list[float]] = defaultdict(list)
    n = 2 * world.n_pairs + world.n_others
    for number in range(n_worlds):
        draw = Draw(world, generator(seed, world.label, number))
        placebos = np.arange(n, n + world.n_placebos)
        nothing = np.zeros(DIM)
        own, pictures = [], []
        beside = [np.empty(0)] * (2 * world.n_pairs)
        for pair in range(world.n_pairs):
            a, b = 2 * pair, 2 * pair + 1
            both = draw.scores(np.array([a]), np.array([b]), draw.shown(a, b), real=True)[0]
            pictures.append(both)
            for artist, other in ((a, b), (b, a)):
                shown = draw.shown(None, b) if artist == a else draw.shown(a, None)
                company = draw.scores(
                    placebos, np.full_like(placebos, other), shown, real=not world.push or world.push_by_one
                )
                references = company[:, :, artist]
                beside[other] = company.reshape(-1, n)
                found = compare_names(both[:, artist], references)
                own.append(found.pvalue)
                which = "first" if artist == a else "second"
                seen[f"{which} p <= 5 %"].append(found.pvalue <= LEVEL)
                share = world.first if artist == a else world.second
                if share and artist == a and world.alone:
                    same = np.array([a])
                    alone = draw.scores(same, same, world.alone * draw.styles[a], real=True)[0, :, a]
                    single = draw.scores(placebos, placebos, nothing, real=True)[:, :, a]
                    kept = kept_share((alone, single), (both[:, artist], references))
                    seen["share kept"].append(kept.share)
                    # Manners of the names are part of what they add, so the true share is close to this, not equal.
                    seen["share covered"].append(
                        kept.interval.low <= share / world.alone <= kept.interval.high
                    )
        p = np.array(own)
        larger = both_present(p.reshape(-1, 2))
        seen["both p <= 5 %"] += list(larger <= LEVEL)
        seen["found by BH"] += list(called(adjust(p, method="bh"), level=LEVEL))
        first = n + world.n_placebos + 2 * np.arange(world.n_calibrating)
        calibrating = list(draw.scores(first, first + 1, nothing, real=False))
        named = np.zeros((world.n_pairs, n), bool)
        named[np.repeat(np.arange(world.n_pairs), 2), np.arange(2 * world.n_pairs)] = True
        for size in (1, world.n_cells):
            scores, group = _in_sets(calibrating, size)
            placebo = inclusion_thresholds(scores, group, rate=0.05)
            company, artist = _in_sets(beside, size)
            both = np.array(
                [
                    np.maximum(
                        placebo, company_thresholds(company, artist, rate=0.05, without=[2 * p, 2 * p + 1])
                    )
                    for p in range(world.n_pairs)
                ]
            )
            scores, pair = _in_sets(pictures, size)
            for how, thresholds in (("placebo names", placebo), ("both", both[pair])):
                result = set_answers(scores > thresholds, pair, named)
                seen[f"recall of {size}, by {how}"].append(result.recall)
                seen[f"false of {size}, by {how}"].append(result.false_inclusion)
                seen[f"exact of {size}, by {how}"].append(result.exact)
    return {name: float(np.nanmean(np.array(values, np.float64))) for name, values in seen.items()}


def _in_sets(tables: list[np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    return in_sets(np.concatenate(tables), np.repeat(np.arange(len(tables)), len(tables[0])), size)


def drawn(folder: Path, figure: Path | None) -> None:
    """Audit pictures whose halves are drawn by two artists, of whom the release has learned three of four."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from question_demo import standalone

    from imindex.retrieval.report.questions.catalogue import answered
    from tests.support.paired_world import UNKNOWN, run_world, write_world

    plan = folder / "plan.toml"
    questions = run_world(plan if plan.exists() else write_world(folder)).report.questions
    ((_, _, section),) = answered(questions or ())[0].sections
    print(section.statement)
    print(f"The release has not learned {UNKNOWN}.")
    for table in section.tables:
        print(f"\n{table.title}\n" + "\n".join(" | ".join(row) for row in (table.head, *table.rows)))
    if figure is not None:
        figure.write_text(standalone(section.figures[0]), encoding="utf-8")


def main() -> None:
    """Print the figures of all worlds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=200, help="draws of each world")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only worlds whose label has this text")
    parser.add_argument("--json", action="store_true", help="one JSON object per world")
    parser.add_argument("--drawn", type=Path, metavar="FOLDER", help="audit drawn pictures in this folder")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write the figure of that audit")
    options = parser.parse_args()
    if options.drawn:
        drawn(options.drawn, options.figure)
        return
    for world in WORLDS:
        if options.only not in world.label:
            continue
        figures = measure(world, options.worlds, options.seed)
        if options.json:
            print(json.dumps({"world": world.label, **figures}), flush=True)
        else:
            text = ", ".join(f"{name} {100 * value:.1f} %" for name, value in figures.items())
            print(f"{world.label}: {text}", flush=True)
    print(f"{options.worlds} draws of each world, seed {options.seed}.", file=sys.stderr)


if __name__ == "__main__":
    main()
