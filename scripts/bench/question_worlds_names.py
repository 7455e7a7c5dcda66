"""Simulated worlds for the questions name_adds, prompt_classes and erasure, and what is measured in them.

A score of a picture is the sum of an effect of its name, an effect of its seed, which all names share, and noise.
"Nothing" means that the artist's name is drawn like the placebo names. In the worlds in which the assumption fails it
is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from imindex.stats.equivalence import tost
from imindex.stats.erasure import gone, gone_among_references, kept
from imindex.stats.multiple import adjust, called
from imindex.stats.name_change import movement
from imindex.stats.named_sets import change_of_auc, compare_names, rank_pvalue

LEVEL = 0.05
MANY = 499
"""Placebo names, where p-values are corrected over many tests: with few, no corrected p-value could be small."""
Row = dict[str, object]


@dataclass(frozen=True)
class Names:
    """A world of scores.

    Attributes
    ----------
    n_cells, n_placebos : int
    between : float
        Standard deviation of the effects of placebo names, in units of the noise.
    seed : float
        Standard deviation of the effects of seeds.
    own : float
        What the artist's name adds to the mean of the placebo names.
    own_between : float
        Standard deviation of the effect of the artist's name; by default like the placebo names.
    heavy : bool
        Whether the noise is Student's t with 3 degrees of freedom.
    """

    n_cells: int = 8
    n_placebos: int = 39
    between: float = 0.3
    seed: float = 0.5
    own: float = 0.0
    own_between: float | None = None
    heavy: bool = False

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the scores of the own name, of the placebo names, and the true difference of the own name."""
        own, placebos, effects = self.several(rng, 1)
        return own[0], placebos, float(effects[0])

    def several(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the same of several names, which have the seeds and the placebo names in common."""
        seeds = rng.normal(0, self.seed, self.n_cells)
        spread = self.between if self.own_between is None else self.own_between
        effects = self.own + rng.normal(0, spread, n)
        names = rng.normal(0, self.between, self.n_placebos)

        def noise(*shape: int) -> np.ndarray:
            return rng.standard_t(3, shape) / np.sqrt(3) if self.heavy else rng.standard_normal(shape)

        return (
            effects[:, None] + seeds + noise(n, self.n_cells),
            names[:, None] + seeds + noise(self.n_placebos, self.n_cells),
            effects,
        )

    def auc(self, effect: float) -> float:
        """Return the AUC of a name of this effect against all placebo names, over seeds."""
        return float(norm.cdf(effect / np.sqrt(2 + self.between**2 + 2 * self.seed**2)))

    def effect_of(self, auc: float) -> float:
        """Return the effect of a name that has an AUC."""
        return float(norm.ppf(auc) * np.sqrt(2 + self.between**2 + 2 * self.seed**2))


WORLDS: dict[str, Names] = {
    "nothing": Names(),
    "nothing, names hardly differ": Names(between=0.0),
    "nothing, names differ much": Names(between=1.5),
    "nothing, 4 pictures": Names(n_cells=4),
    "nothing, heavy tails": Names(heavy=True),
    "the name adds 0.5": Names(own=0.5),
    "the name adds 1": Names(own=1.0),
    "the name adds 2": Names(own=2.0),
    "fails: real names spread 1.5 times as much": Names(between=1.0, own_between=1.5),
    "fails: real names look like art (0.25 spreads)": Names(between=1.0, own=0.25),
    "fails: real names look like art (0.5 spreads)": Names(between=1.0, own=0.5),
}


def name_adds(n: int, rng: np.random.Generator) -> Iterator[Row]:
    """Level and power of the test of a name's own part, and coverage of its interval."""
    for label, world in WORLDS.items():
        hits, covered = [], []
        for _ in range(5 * n):
            own, placebos, effect = world.draw(rng)
            found = compare_names(own, placebos)
            hits.append(found.pvalue <= LEVEL)
            covered.append(found.interval.low <= effect <= found.interval.high)
        yield {
            "question": "name_adds",
            "world": label,
            "p <= 5 %": np.mean(hits),
            "covered, of 95 %": np.mean(covered),
        }


@dataclass(frozen=True)
class Moved:
    """A world of vectors: names move pictures along a common direction, and some along one of their own.

    `own` is the length of the artist's own movement, and `between` that of each placebo name's.
    """

    common: float = 1.0
    own: float = 0.0
    between: float = 0.2
    n_cells: int = 12
    n_placebos: int = 39
    dim: int = 64
    noise: float = 1.0

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Return vectors of the own name, of the placebo names, and without a name, and the true shared part."""
        direction = rng.standard_normal(self.dim)
        direction *= self.common / np.linalg.norm(direction)
        nameless = rng.standard_normal((self.n_cells, self.dim))
        effects = rng.standard_normal((1 + self.n_placebos, self.dim)) * self.between / np.sqrt(self.dim)
        other = rng.standard_normal(self.dim)
        effects[0] += self.own * other / np.linalg.norm(other)
        noise = (
            self.noise
            * rng.standard_normal((1 + self.n_placebos, self.n_cells, self.dim))
            / np.sqrt(self.dim)
        )
        moved = nameless + direction + effects[:, None] + noise
        whole = direction + effects[0]
        truth = float((whole @ direction) ** 2 / ((whole @ whole) * (direction @ direction)))
        return moved[0], moved[1:], nameless, truth


MOVED = {
    "shared movement only": Moved(),
    "own movement 0.5": Moved(own=0.5),
    "own movement 1": Moved(own=1.0),
    "own movement 2": Moved(own=2.0),
    "names differ much": Moved(between=1.0),
    "fails: names differ by kind (own names 1.5 times)": Moved(between=1.0, own=1.1),
}


def movements(n: int, rng: np.random.Generator) -> Iterator[Row]:
    """Level and power of the test of the part of a movement that is not shared, and coverage of the shared part."""
    for label, world in MOVED.items():
        hits, covered, shares, truths = [], [], [], []
        for _ in range(n):
            own, placebos, nameless, truth = world.draw(rng)
            found = movement(own, placebos, nameless)
            hits.append(found.pvalue <= LEVEL)
            covered.append(found.interval.low <= truth <= found.interval.high)
            shares.append(found.shared)
            truths.append(truth)
        yield {
            "question": "name_adds, movement", "world": label, "p <= 5 %": np.mean(hits),
            "covered, of 95 %": np.mean(covered), "shared": np.nanmean(shares), "true": np.mean(truths),
        }  # fmt: skip


def erasure(n: int, rng: np.random.Generator) -> Iterator[Row]:
    """How often a name is said to be gone or to remain, by what is left of it and by the number of pictures."""
    margin = 0.1
    for n_cells in (8, 20, 50, 200):
        for label, left in (("nothing", 0.5), ("as much as the margin", 0.5 + margin), ("AUC 0.75", 0.75)):
            world = Names(n_cells=n_cells, between=0.0, seed=0.3)
            effect = world.effect_of(left)
            said, placebos_gone = [], []
            for number in range(n):
                own, placebos, drawn = Names(n_cells=n_cells, between=0.1, seed=0.3, own_between=0.0).draw(
                    rng
                )
                own = own - drawn + effect
                found = compare_names(own, placebos, confidence_level=1 - 2 * LEVEL)
                said.append(gone(found, margin=margin))
                if number < n // 20:
                    placebos_gone.append(gone_among_references(placebos, margin=margin, confidence_level=0.9))
            yield {
                "question": "erasure, gone", "world": f"{n_cells} pictures, left: {label}",
                "gone": np.mean([one == "gone" for one in said]),
                "remains": np.mean([one == "remains" for one in said]),
                "placebos gone": np.mean(placebos_gone) if placebos_gone else np.nan,
            }  # fmt: skip


def keeping(n: int, rng: np.random.Generator) -> Iterator[Row]:
    """How often a name is said to be kept or lost, by what is lost, and the same of the mean over 20 artists."""
    margin = 0.1
    for n_cells in (8, 20, 50):
        for label, loss in (("nothing", 0.0), ("as much as the margin", margin), ("0.3", 0.3)):
            world = Names(n_cells=n_cells, between=0.1, seed=0.3, own_between=0.0)
            before, after = world.effect_of(0.9), world.effect_of(0.9 - loss)
            said, mean_said = [], []
            for _ in range(max(1, n // 2)):
                changes = []
                for _ in range(20):
                    (own, names, _), (new, same, _) = world.draw(rng), world.draw(rng)
                    change = change_of_auc((own + before, names), (new + after, same), confidence_level=0.9)
                    changes.append(change.change)
                    said.append(kept(change, margin=margin))
                mean_said.append(tost(changes, margin=margin).within)
            yield {
                "question": "erasure, kept", "world": f"{n_cells} pictures, lost: {label}",
                "kept": np.mean([one == "kept" for one in said]),
                "lost": np.mean([one == "lost" for one in said]),
                "mean within the margin": np.mean(mean_said),
            }  # fmt: skip


def _pvalues(owns: np.ndarray, placebos: np.ndarray) -> list[float]:
    """Return the p-value of each name, (n, cells), among placebo names, (R, cells), as `compare_names` does."""
    means = placebos.mean(axis=1)
    return [rank_pvalue(own.mean(), means) for own in owns]


def families(n: int, rng: np.random.Generator) -> Iterator[Row]:
    """Probability of any false finding, if nobody is imitated, by how many questions are asked and how p is corrected.

    24 artists; five questions with independent pictures, each corrected over the artists by itself.
    """
    world, n_artists = Names(n_placebos=MANY), 24
    for method in ("holm", "bh"):
        any_false = {1: [], 2: [], 5: []}
        for _ in range(n):
            false = []
            for _ in range(5):
                owns, placebos, _ = world.several(rng, n_artists)
                p = _pvalues(owns, placebos)
                false.append(bool(called(adjust(p, method=method), level=LEVEL).any()))
            for asked, hits in any_false.items():
                hits.append(any(false[:asked]))
        for asked, hits in any_false.items():
            yield {
                "question": "corrections",
                "world": f"nothing, {asked} question{'s' * (asked > 1)} asked, {method} within each",
                "any false finding": np.mean(hits),
            }  # fmt: skip


def classes(n: int, rng: np.random.Generator) -> Iterator[Row]:
    """Four classes of prompts, 24 artists of whom 12 are imitated: within classes, and over all classes together."""
    strengths = {"simple": 2.0, "reworded": 1.0, "surname": 0.0, "other language": 0.5}
    n_artists, n_imitated = 24, 12
    for method in ("bh", "holm"):
        rows = {name: ([], [], [], []) for name in strengths}
        for _ in range(n):
            every = []
            for strength in strengths.values():
                world = Names(n_placebos=MANY)
                owns, placebos, _ = world.several(rng, n_artists)
                owns[:n_imitated] += strength
                p = _pvalues(owns, placebos)
                every.append(p)
            overall = adjust(np.ravel(every), method=method).reshape(len(strengths), n_artists)
            for (name, lists), p, together in zip(rows.items(), every, overall, strict=True):
                within = called(adjust(p, method=method), level=LEVEL)
                over = called(together, level=LEVEL)
                real = np.arange(n_artists) < n_imitated
                if not strengths[name]:
                    real[:] = False
                for found, (right, false) in ((within, lists[:2]), (over, lists[2:])):
                    right.append(found[real].mean() if real.any() else np.nan)
                    false.append(found[~real].sum() / max(1, found.sum()))
        for name, lists in rows.items():
            right, false, right_over, false_over = (
                [v for v in one if not np.isnan(v)] or [np.nan] for one in lists
            )
            yield {
                "question": "prompt_classes", "world": f"{name}: the name adds {strengths[name]:g}, {method}",
                "found, of imitated": np.mean(right), "false, of found": np.mean(false),
                "found, all classes": np.mean(right_over), "false, all classes": np.mean(false_over),
            }  # fmt: skip


MEASURES: dict[str, tuple[Callable[[int, np.random.Generator], Iterator[Row]], ...]] = {
    "name_adds": (name_adds, movements),
    "prompt_classes": (classes,),
    "erasure": (erasure, keeping),
    "corrections": (families,),
}


def measure(worlds: int, rng: np.random.Generator, only: str = "") -> Iterator[Row]:
    """Yield the rows of the tables: nominal 5 % and 95 % beside what is measured."""
    for key, functions in MEASURES.items():
        if only in ("", key):
            for function in functions:
                yield from function(worlds, rng)
