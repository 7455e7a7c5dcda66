"""Worlds with known likelihood ratios, and worlds of training counts: what the two questions say there.

The tables of docs/howto:

    scripts/bench/questions --only likelihood-ratio
    scripts/bench/questions --only training-counts

The score of a picture for an artist is a normal variable with unit variance: its mean is 0 if another name was asked
for, and `mean` if the artist's own name was. So the true likelihood ratio of each score is known.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from imindex.stats.exposure import association, threshold
from imindex.stats.likelihood_ratio import (
    Calibration,
    Trials,
    cllr,
    cross_calibrated,
    likelihood_ratio,
    trials,
    validate,
)

FRESH = 2000
"""Trials of new artists under each proposition on which likelihood ratios are compared with the true ones."""


@dataclass(frozen=True)
class LrWorld:
    """Parameters of a world of likelihood ratios.

    Attributes
    ----------
    n_artists, n_placebos, n_pictures : int
        Artists with own pictures, invented names, and pictures (or groups of pictures) of each name.
    mean : float
        Mean score of the pictures of an imitated artist's own name.
    imitated : float
        Share of artists that are imitated. The own pictures of the others score as those of other names.
    artist, name : float
        Standard deviation of an effect of each artist's works, and of each name that is asked for, on all scores.
    heavy : bool
        Scores have Student's t distribution with 3 degrees of freedom.
    questioned_mean : float or None
        Mean of own pictures where the likelihood ratios are used, if it is another: another release.
    questioned_shift : float
        Added to all scores where they are used: another template.
    """

    label: str
    n_artists: int = 24
    n_placebos: int = 20
    n_pictures: int = 2
    mean: float = 2.5
    imitated: float = 1.0
    artist: float = 0.0
    name: float = 0.0
    heavy: bool = False
    questioned_mean: float | None = None
    questioned_shift: float = 0.0


BASE = LrWorld("24 artists")
LR_WORLDS = (
    BASE,
    replace(BASE, label="8 artists", n_artists=8),
    replace(BASE, label="70 artists, 99 invented names", n_artists=70, n_placebos=99, n_pictures=1),
    replace(BASE, label="weak: mean 1", mean=1.0),
    replace(BASE, label="strong: mean 5", mean=5.0),
    replace(BASE, label="no information", mean=0.0),
    replace(BASE, label="no information, artists and names differ", mean=0.0, artist=0.7, name=0.7),
    replace(BASE, label="artists differ", artist=0.7),
    replace(BASE, label="artists and names differ", artist=0.7, name=0.7),
    replace(BASE, label="heavy tails", heavy=True),
    replace(BASE, label="half of the artists imitated", imitated=0.5),
    replace(BASE, label="another release: imitates less", questioned_mean=1.0),
    replace(BASE, label="another release: imitates nobody", questioned_mean=0.0),
    replace(BASE, label="another template: all scores higher by 1", questioned_shift=1.0),
)


def _noise(world: LrWorld, rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.standard_t(3, size) / math.sqrt(3) if world.heavy else rng.normal(size=size)


def known_trials(world: LrWorld, rng: np.random.Generator) -> Trials:
    """Draw the pictures of a release, each scored for all artists."""
    n, names = world.n_artists, world.n_artists + world.n_placebos
    artist, source, _ = np.meshgrid(
        np.arange(n), np.arange(names), np.arange(world.n_pictures), indexing="ij"
    )
    score = _noise(world, rng, artist.shape)
    own = world.mean * (rng.random(n) < world.imitated)
    score += (artist == source) * own[:, None, None] + world.artist * rng.normal(size=(n, 1, 1))
    score += world.name * rng.normal(size=(1, names, 1))
    return trials(score.ravel(), artist.ravel(), source.ravel())


def log10_truth(world: LrWorld, score: np.ndarray) -> np.ndarray:
    """Return the true log10 likelihood ratio of scores of an artist who is like those of the release."""
    variance = 1 + world.artist**2 + world.name**2
    if world.heavy:
        one, two = (-2 * np.log1p((score - m) ** 2) for m in (world.mean, 0.0))
        ratio = one - two
    else:
        ratio = (world.mean * score - world.mean**2 / 2) / variance
    if world.imitated < 1:
        ratio = np.logaddexp(math.log(world.imitated) + ratio, math.log1p(-world.imitated))
    return np.asarray(ratio / math.log(10))


def questioned(world: LrWorld, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw scores of new artists, one of each: under H1, under H2, and whether the former are imitated."""
    effect = math.sqrt(world.artist**2 + world.name**2) * rng.normal(size=(2, FRESH))
    one, two = _noise(world, rng, (2, FRESH)) + effect + world.questioned_shift
    imitated = rng.random(FRESH) < world.imitated
    mean = world.mean if world.questioned_mean is None else world.questioned_mean
    return one + mean * imitated, two, imitated


def measure(worlds: Sequence[LrWorld], rng: np.random.Generator, *, repeats: int = 200) -> list[dict]:
    """Measure how far likelihood ratios are from the truth in each world.

    Returns
    -------
    list of dict
        One row per world. "true", "ours": cost (Cllr) of the true and of the reported likelihood ratios, on new artists
        where they are used. "validated": the cost that the validation states. "interval": share of intervals of that
        cost that hold its mean. "informative": share of validations with the whole interval below 1. "error": mean
        absolute error of log10 LR. "beyond 10": share of likelihood ratios that overstate the evidence by more than a
        factor of 10. "H2 above 10": share of pictures of other names with LR > 10, at most 1 in 10 if calibrated.
        "LR interval": share of intervals of a likelihood ratio, of a score between the means, that hold the true one.
        "bound": median upper bound of LR. "not imitated, H1 below 1": share of own pictures of artists that are not
        imitated with a likelihood ratio below 1.
    """
    rows = []
    for world in worlds:
        found: dict[str, list[float]] = {}

        def note(found: dict[str, list[float]] = found, **values: float) -> None:
            for key, value in values.items():
                found.setdefault(key.replace("_", " "), []).append(value)

        for _ in range(repeats):
            known = known_trials(world, rng)
            result = cross_calibrated(known)
            validation = validate(result.trials, result.log10_lr)
            at = float(rng.uniform(0, max(world.mean, 1.0)))
            (ratio,), learned = likelihood_ratio([at], known)
            _compare(world, learned, rng, note)
            truth = float(np.clip(log10_truth(world, np.array([at]))[0], learned.low, learned.high))
            note(
                validated=validation.cllr.value,
                low=validation.cllr.low,
                high=validation.cllr.high,
                informative=validation.informative,
                LR_interval=ratio.low - 1e-9 <= truth <= ratio.high + 1e-9,
                bound=10**learned.high,
                RMEH1=validation.misleading_same.value,
                RMEH2=validation.misleading_different.value,
            )
        mean = np.mean(found["validated"])
        row: dict = {"world": world.label, "repeats": repeats}
        row["interval"] = float(np.mean((np.array(found["low"]) <= mean) & (mean <= np.array(found["high"]))))
        for key, values in found.items():
            if key not in ("low", "high"):
                row[key] = float(np.median(values) if key == "bound" else np.nanmean(values))
        rows.append(row)
        print(f"{world.label}: done", file=sys.stderr, flush=True)
    return rows


def _compare(world: LrWorld, learned: Calibration, rng: np.random.Generator, note) -> None:
    """Compare likelihood ratios with the true ones on new artists, where they are used."""
    one, two, imitated = questioned(world, rng)
    used = world if world.questioned_mean is None else replace(world, mean=world.questioned_mean)
    true = [log10_truth(used, score - world.questioned_shift) for score in (one, two)]
    ours = [learned.log10_lr(score) for score in (one, two)]
    error = np.concatenate(ours) - np.concatenate(true)
    signed = np.sign(np.concatenate(ours)) * error
    note(
        true=cllr(*true),
        ours=cllr(*ours),
        error=float(np.abs(error).mean()),
        beyond_10=float((signed > 1).mean()),
        H2_above_10=float((ours[1] > 1).mean()),
        not_imitated=float((ours[0][~imitated] < 0).mean()) if not imitated.all() else math.nan,
    )


@dataclass(frozen=True)
class CountWorld:
    """Parameters of a world of training counts.

    Attributes
    ----------
    n_artists : int
        Their counts are spread evenly over the logarithm, from 1 to 1024.
    shape : str
        How the value depends on the count: "none", "step" (at 100), "hinge" (from 30 on) or "line" in the logarithm.
    effect : float
        Rise of the value from the smallest to the largest count, in standard deviations of an artist's value.
    error : float
        Standard deviation of the logarithm (base e) of the measured over the true count.
    fame : float
        Weight of an artist's fame in the value, and in the logarithm of the count.
    grows : float
        Factor of the standard deviation above the step.
    """

    label: str
    n_artists: int = 24
    shape: str = "none"
    effect: float = 3.0
    error: float = 0.0
    fame: float = 0.0
    grows: float = 1.0


STEP = CountWorld("step at 100", shape="step")
COUNT_WORLDS = (
    CountWorld("no relation", shape="none"),
    CountWorld("no relation, 12 artists", n_artists=12),
    STEP,
    replace(STEP, label="step at 100, 12 artists", n_artists=12),
    replace(STEP, label="step at 100, 70 artists", n_artists=70),
    replace(STEP, label="step at 100, weak (1.5)", effect=1.5),
    replace(STEP, label="step at 100, spread doubles above", grows=2.0),
    replace(STEP, label="step at 100, counts within a factor of 3", error=math.log(3)),
    replace(STEP, label="step at 100, counts within a factor of 10", error=math.log(10)),
    CountWorld("gradual, no threshold", shape="line"),
    CountWorld("hinge from 30 on", shape="hinge", effect=4.0),
    CountWorld("fame moves both, counts do nothing", fame=0.7),
)
STEP_AT, HINGE_AT, LARGEST = 100.0, 30.0, 1024.0


def draw_counts(world: CountWorld, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw counts as measured, and values."""
    n = world.n_artists
    fame = rng.normal(size=n)
    share = rng.uniform(size=n)
    if world.fame:
        order = np.argsort(np.argsort(world.fame * fame + math.sqrt(1 - world.fame**2) * rng.normal(size=n)))
        share = (order + rng.uniform(size=n)) / n
    true = np.exp(share * math.log(LARGEST))
    rise = {
        "none": np.zeros(n),
        "step": (true > STEP_AT).astype(float),
        "line": share,
        "hinge": np.maximum(np.log(true / HINGE_AT), 0) / math.log(LARGEST / HINGE_AT),
    }[world.shape]
    noise = rng.normal(size=n) * np.where(rise > 0, world.grows, 1.0)
    noise = world.fame * fame + math.sqrt(1 - world.fame**2) * noise
    counts = np.maximum(np.round(true * np.exp(world.error * rng.normal(size=n))), 0)
    return counts, world.effect * rise + noise


def measure_counts(
    worlds: Sequence[CountWorld], rng: np.random.Generator, *, repeats: int = 400
) -> list[dict]:
    """Measure what is found about counts in each world.

    Returns
    -------
    list of dict
        One row per world. "rho": mean rank correlation. "related": share with p at most 5 %. "step located", "hinge
        located": share in which a threshold is located. "step interval", "hinge interval": of these, the share whose
        interval holds the true threshold. "width": median of the ends' ratio of located steps.
    """
    rows = []
    for world in worlds:
        rho, related, width = [], [], []
        located: dict[str, list[bool]] = {"step": [], "hinge": []}
        held: dict[str, list[bool]] = {"step": [], "hinge": []}
        for _ in range(repeats):
            counts, values = draw_counts(world, rng)
            one = association(counts, values, n_resamples=199, rng=rng)
            rho.append(one.rho)
            related.append(one.pvalue <= 0.05)
            for shape, place in (("step", STEP_AT), ("hinge", HINGE_AT)):
                result = threshold(counts, values, shape=shape, n_resamples=199, rng=rng)  # type: ignore[arg-type]
                located[shape].append(result.located)
                if result.located:
                    low = 0 if result.open_low else result.low
                    high = math.inf if result.open_high else result.high
                    held[shape].append(low <= place <= high)
                    if shape == "step":
                        width.append((1 + result.high) / (1 + result.low))
        row: dict = {"world": world.label, "repeats": repeats, "rho": float(np.mean(rho))}
        row |= {"related": float(np.mean(related)), "width": float(np.median(width)) if width else math.nan}
        for shape in located:
            row[f"{shape} located"] = float(np.mean(located[shape]))
            fits = world.shape == shape and held[shape]
            row[f"{shape} interval"] = float(np.mean(held[shape])) if fits else math.nan
        rows.append(row)
        print(f"{world.label}: done", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, help="worlds; by default 60, and 400 of counts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("likelihood-ratio", "training-counts"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    tables = {}
    if options.only != "training-counts":
        rng = np.random.default_rng([options.seed, 1])
        tables["likelihood ratios"] = measure(LR_WORLDS, rng, repeats=options.repeats or 60)
    if options.only != "likelihood-ratio":
        rng = np.random.default_rng([options.seed, 2])
        tables["training counts"] = measure_counts(COUNT_WORLDS, rng, repeats=options.repeats or 400)
    if options.json:
        print(json.dumps(tables, indent=1))
        return
    for title, rows in tables.items():
        columns = list(rows[0])
        print(f"\n{title}\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for row in rows:
            cells = ["" if value != value else f"{value:.3g}" if isinstance(value, float) else str(value)
                     for value in row.values()]  # fmt: skip
            print(f"| {' | '.join(cells)} |")
    print(f"\nSimulated in {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
