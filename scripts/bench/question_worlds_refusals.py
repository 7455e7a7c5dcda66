"""How refusals bear on the tests: worlds with filters of several kinds, level and power side by side.

    python scripts/bench/question_worlds_refusals.py --worlds 4000
    python scripts/bench/question_worlds_refusals.py --worlds 4000 --json

A world has one artist and 39 invented names, with 12 pictures asked of each. The score of a picture for the artist is
a part of its name (standard deviation 0.5), and one of its own (1); an imitated artist's pictures score 1 more. A
filter then withholds pictures. The table shows how often each p-value is at or below 5 %, where the artist is not
imitated and
where the artist is:

- main: the set's mean among those of invented names, by equally many pictures that were made (`p_as_answered`);
- unequal: the same by all pictures that were made, whatever their number, which no test of imindex does;
- like invented names, worst case: with the withheld pictures filled in (`p_as_references`, `p_high`);
- withheld: the rank of the share withheld (`withheld_test`); Fisher: all pictures pooled, for comparison.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import numpy as np
import scipy

from imindex.stats.keyed import generator
from imindex.stats.refusals import withheld_bounds, withheld_test

NAMES, PICTURES, LEVEL = 39, 12, 0.05
Filter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Takes scores, names x pictures with the artist first, and returns which pictures are withheld."""


def none(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(scores.shape, bool)


def any_name(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.random(scores.shape) < 0.2


def some_names(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A filter of prompts: 15 % of all names are refused always, whoever they are."""
    return np.repeat(rng.random(len(scores)) < 0.15, PICTURES).reshape(scores.shape)


def artist_often(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The artist's name is refused in half of the cases, whatever the picture; others in 5 %."""
    rate = np.where(np.arange(len(scores)) == 0, 0.5, 0.05)[:, None]
    return rng.random(scores.shape) < rate


def artist_always(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    held = np.zeros(scores.shape, bool)
    held[0] = True
    return held


def nearest(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A filter of pictures, whatever the name: those nearest to the works are blocked."""
    return scores > 1.0


def artist_nearest(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same for the artist's name only: half of the pictures, the nearest ones."""
    held = np.zeros(scores.shape, bool)
    held[0] = scores[0] > np.median(scores[0])
    return held


def artist_furthest(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The opposite: for the artist's name, the half that is furthest from the works is blocked."""
    held = np.zeros(scores.shape, bool)
    held[0] = scores[0] < np.median(scores[0])
    return held


FILTERS: dict[str, Filter] = {
    "none": none,
    "20 % of all pictures": any_name,
    "15 % of all names, always": some_names,
    "the artist 50 %, others 5 %": artist_often,
    "the artist, always": artist_always,
    "pictures nearest to the works": nearest,
    "the artist's nearest half": artist_nearest,
    "the artist's furthest half": artist_furthest,
}
COLUMNS = ("main", "unequal", "like invented names", "worst case", "withheld", "Fisher")


def p_values(rng: np.random.Generator, effect: float, filter_: Filter) -> list[float]:
    scores = rng.normal(0, 0.5, (NAMES + 1, 1)) + rng.normal(size=(NAMES + 1, PICTURES))
    scores[0] += effect
    held = filter_(scores, rng)
    kept = [row[~mask] for row, mask in zip(scores, held, strict=True)]
    k = held.sum(axis=1)
    bounds = withheld_bounds(kept[0], int(k[0]), kept[1:], k[1:])
    n = [PICTURES] * NAMES
    ranked = withheld_test([PICTURES], k[:1], n, k[1:]).pvalue[0]
    table = [[k[0], PICTURES - k[0]], [k[1:].sum(), NAMES * PICTURES - k[1:].sum()]]
    pooled = float(scipy.stats.fisher_exact(table, alternative="greater").pvalue)
    means = [row.mean() for row in kept[1:] if len(row)]
    unequal = (
        (1 + sum(mean >= kept[0].mean() for mean in means)) / (1 + len(means)) if len(kept[0]) else np.nan
    )
    return [bounds.p_as_answered, unequal, bounds.p_as_references, bounds.p_high, ranked, pooled]


def rates(name: str, effect: float, worlds: int, seed: int) -> dict[str, float]:
    rng = generator(seed, "worlds of refusals", name, str(effect))
    p = np.array([p_values(rng, effect, FILTERS[name]) for _ in range(worlds)])
    return dict(zip(COLUMNS, (p <= LEVEL * (1 + 1e-12)).mean(axis=0).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {
        name: {
            "not imitated": rates(name, 0.0, options.worlds, options.seed),
            "imitated": rates(name, 1.0, options.worlds, options.seed),
        }
        for name in FILTERS
    }
    if options.json:
        print(json.dumps(found, indent=2))
        return
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / options.worlds)
    print(f"{options.worlds} worlds each; p at or below 5 %, in percent: not imitated / imitated")
    print(f"standard error of 5 %: {error:.1f} percentage points")
    print(f"{'withheld':31}" + "".join(f"{column:>22}" for column in COLUMNS))
    for name, worlds in found.items():
        cells = [
            f"{100 * worlds['not imitated'][column]:5.1f} / {100 * worlds['imitated'][column]:5.1f}"
            for column in COLUMNS
        ]
        print(f"{name:31}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
