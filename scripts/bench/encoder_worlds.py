"""Worlds in which several encoders score the same sets, and what each way of combining encoders finds there.

The score of a set for an artist's works is a normal variable by each encoder. Those of two encoders have the
stated correlation, because they look at the same pictures. A fifth of the variance belongs to the set, whatever the
artist. Sets of imitated artists are shifted for their own works by the encoder's effect, in standard deviations, times
a factor of 0.5 to 1.5 that the encoders share. `scripts/bench/calibration --only encoders` prints the results.
"""

from __future__ import annotations

import functools
import sys
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from imindex.stats.combination import (
    cauchy_combination,
    combined_test,
    encoder_level,
    harmonic_mean_pvalue,
    nearest_combined,
)
from imindex.stats.hierarchical import TwoSteps, two_steps
from imindex.stats.multiple import adjust, called

LEVEL = 0.05
FROM_SETS = 0.2
"""Share of the variance that belongs to the set."""


@dataclass(frozen=True)
class EncoderWorld:
    """Parameters of a world.

    Attributes
    ----------
    effects : tuple of float
        Effect of imitation by each encoder.
    correlation : float
        Between encoders; 1 for identical encoders.
    weights : tuple of float
        0 for an encoder that does not tell the artists' works.
    leak : tuple of float
        Shift of the sets of all real names by each encoder, for an origin that it sees in names.
    heavy : bool
        Scores of the second encoder have Student's t distribution with 2 degrees of freedom.
    """

    label: str
    effects: tuple[float, ...] = (2.5, 2.5)
    correlation: float = 0.5
    weights: tuple[float, ...] = (1, 1, 1)
    leak: tuple[float, ...] = (0, 0, 0)
    n_artists: int = 48
    n_imitated: int = 24
    n_placebos: int = 99
    heavy: bool = False


BASE = EncoderWorld("two encoders, correlation 0.5")
ENCODER_WORLDS = (
    replace(BASE, label="two encoders, independent", correlation=0.0),
    BASE,
    replace(BASE, label="two encoders, correlation 0.9", correlation=0.9),
    replace(BASE, label="two identical encoders", correlation=1.0),
    replace(BASE, label="three encoders, correlation 0.5", effects=(2.5, 2.5, 2.5)),
    replace(BASE, label="the second sees half the effect", effects=(2.5, 1.25)),
    replace(BASE, label="the second sees nothing, and tells works", effects=(2.5, 0.0)),
    replace(
        BASE, label="the second sees nothing, and does not tell works", effects=(2.5, 0.0), weights=(1, 0)
    ),
    replace(BASE, label="the second has heavy tails", heavy=True),
    replace(BASE, label="strong effects", effects=(4.0, 4.0)),
    replace(BASE, label="nobody imitated", n_imitated=0),
    replace(BASE, label="19 placebo names", n_placebos=19),
    replace(BASE, label="199 placebo names", n_placebos=199),
    replace(BASE, label="the second sees the origin of names (biased)", leak=(0, 1.0)),
    replace(BASE, label="the same, and nobody imitated", leak=(0, 1.0), n_imitated=0),
)
METHODS = ("first alone", "second alone", "combined", "harmonic mean", "Cauchy", "Bonferroni", "any", "all")
"""`combined` is `imindex.stats.combination`; `any` is the smallest p, uncorrected, and `all` is the largest."""


def draw_scores(world: EncoderWorld, rng: np.random.Generator) -> np.ndarray:
    """Draw scores, shape (encoders, artists, sets): the sets of the artists, then those of the placebo names."""
    n_encoders, n = len(world.effects), world.n_artists
    n_sets = n + world.n_placebos

    def part(*shape: int) -> np.ndarray:
        common = rng.normal(size=shape)
        own = rng.normal(size=(n_encoders, *shape))
        return np.sqrt(world.correlation) * common + np.sqrt(1 - world.correlation) * own

    scores = np.sqrt(FROM_SETS) * part(1, n_sets) + np.sqrt(1 - FROM_SETS) * part(n, n_sets)
    if world.heavy:
        scores[1] /= np.sqrt(rng.chisquare(2, size=scores.shape[1:]) / 2)
    factor = rng.uniform(0.5, 1.5, world.n_imitated)
    own = np.arange(world.n_imitated)
    for encoder, effect in enumerate(world.effects):
        scores[encoder, own, own] += effect * factor
        scores[encoder, :, :n] += world.leak[encoder]
    return scores


@functools.lru_cache(maxsize=2**17)
def _harmonic(p: tuple[float, ...]) -> float:
    return harmonic_mean_pvalue(p)


def _steps(world: EncoderWorld, scores: np.ndarray, weights: np.ndarray) -> tuple[TwoSteps, np.ndarray]:
    """Both steps of the findings, and the name p-values."""
    n, n_sets = scores.shape[1:]
    placebo = np.arange(n_sets) >= n
    name = combined_test(list(scores), np.tile(placebo, (n, 1)), np.tile(weights, (n, 1)))
    rival = combined_test(list(scores), np.tile(~placebo, (n, 1)), np.tile(weights, (n, 1)))
    nearest = [nearest_combined(scores[:, a, ~placebo], scores[:, a, placebo], weights) for a in range(n)]
    steps = two_steps(name.pvalue, rival.pvalue, rival.resolution, p_nearest=nearest, level=LEVEL)
    return steps, name.pvalue


def rates(world: EncoderWorld, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Draw a world once; what each method calls."""
    scores, k = draw_scores(world, rng), world.n_imitated
    n, n_sets = scores.shape[1:]
    weights = np.array(world.weights[: len(scores)], float)
    usable = np.tile(np.arange(n_sets) >= n, (n, 1))
    found = combined_test(list(scores), usable, np.tile(weights, (n, 1)))
    alone = np.array([combined_test([one], usable).pvalue for one in scores])
    kept = alone[weights > 0]  # the others may choose by works, too
    p = {
        "first alone": alone[0],
        "second alone": alone[1],
        "combined": found.pvalue,
        "harmonic mean": np.array([_harmonic(tuple(sorted(column))) for column in kept.T.tolist()]),
        "Cauchy": np.array([cauchy_combination(column) for column in kept.T]),
        "Bonferroni": np.minimum(1.0, len(kept) * kept.min(axis=0)),
        "any": kept.min(axis=0),
        "all": kept.max(axis=0),
    }
    out: dict[str, dict[str, float]] = {}
    for method, values in p.items():
        calls = called(adjust(values, method="bh"), level=LEVEL)
        row = out[method] = {"level": (values[k:] <= LEVEL + 1e-9).mean()}
        row["name false"] = calls[k:].sum() / max(1, calls.sum())
        if k:
            row["name found"] = calls[:k].mean()
    for method, part in (
        ("first alone", slice(0, 1)),
        ("second alone", slice(1, 2)),
        ("combined", slice(None)),
    ):
        steps, _ = _steps(world, scores[part], weights if method == "combined" else np.ones(1))
        calls = steps.name_called & steps.rival_called
        out[method]["imitated false"] = calls[k:].sum() / max(1, calls.sum())
        if k:
            out[method]["imitated found"] = calls[:k].mean()
    # Statements "also by this encoder alone" about encoders that see nothing.
    blind = np.array([not effect for effect in world.effects]) & (weights > 0)
    calls = called(adjust(found.pvalue, method="bh"), level=LEVEL)
    if k and blind.any() and calls.any():
        level = encoder_level(int(calls.sum()), n, level=LEVEL)
        stated = (found.closed[:, blind] <= level * (1 + 1e-9)).any(axis=1) & calls
        out["combined"]["false alone"] = stated.sum() / calls.sum()
    return out


def encoders(n_worlds: int, seed: int, only: str | None) -> list[dict]:
    """Level and power of each method in every world, or in the worlds whose label contains `only`."""
    rows = []
    for number, world in enumerate(ENCODER_WORLDS):
        if only and only not in world.label:
            continue
        rng = np.random.default_rng([seed, 700, number])
        drawn: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for _ in range(n_worlds):
            for method, row in rates(world, rng).items():
                for key, value in row.items():
                    drawn[method][key].append(value)
        for method in METHODS:
            row = {"world": world.label, "method": method, "error": {}}
            for key, values in drawn[method].items():
                row[key] = float(np.mean(values))
                row["error"][key] = float(np.std(values, ddof=1) / np.sqrt(len(values)))
            rows.append(row)
        print(f"{world.label}: done", file=sys.stderr, flush=True)
    return rows
