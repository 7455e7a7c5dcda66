"""Worlds of attributes in which it is known what is imitated, and what `imindex.stats.attributes` finds there.

Twelve attributes, three each of palette, line, texture and composition. A work is its artist's style, a series and
noise; composition has no style in any artist. A picture is its name's manner, a prompt and noise, and, if its artist is
imitated, a share of the artist's style in some groups. An encoder sees the distance to the works' value in all
attributes, and further style that no attribute measures.

    python scripts/bench/question_worlds_attributes.py --worlds 200
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from imindex.stats.attributes import attribute_test, call_attributes, carried, distinctive, known_probes

LEVEL = 0.05
GROUPS = ("palette", "line", "texture", "composition")
GROUP = np.repeat(np.arange(4), 3)
K = len(GROUP)
HIDDEN = 3
"""Dimensions of style that no attribute measures."""


@dataclass(frozen=True)
class AttributeWorld:
    """Parameters of a world; lengths are in units of the noise of one picture.

    Attributes
    ----------
    imitated : tuple of str
        Groups in which the pictures of the first half of the artists come near to the works.
    hidden : float
        Share of the hidden style that these pictures have.
    correlation : float
        Between each attribute of palette and one of texture, in style, manner and noise.
    shared_palette : bool
        All names that are not imitated have the same palette.
    shift : float
        Of the palette of all real names, which placebo names lack: then they are no valid reference.
    bare : tuple of str
        Groups in which no artist has a style.
    heavy : bool
        Manners by Student's t with 3 degrees of freedom.
    series : float
        Two series of works per artist, which are not given as clusters.
    curved : bool
        The encoder sees squared distances.
    """

    label: str
    imitated: tuple[str, ...] = ()
    strength: float = 0.8
    hidden: float = 0.0
    correlation: float = 0.0
    shared_palette: bool = False
    shift: float = 0.0
    heavy: bool = False
    series: float = 0.0
    curved: bool = False
    n_artists: int = 12
    n_placebos: int = 39
    n_works: int = 10
    n_templates: int = 3
    n_each: int = 4
    style: float = 1.5
    bare: tuple[str, ...] = ("composition",)
    manner: float = 0.4


BASE = AttributeWorld("nothing is imitated")
WORLDS = (
    BASE,
    replace(BASE, label="only palette", imitated=("palette",)),
    replace(BASE, label="only texture", imitated=("texture",)),
    replace(BASE, label="only style that no attribute measures", hidden=0.8),
    replace(BASE, label="palette, line, texture and hidden style", imitated=GROUPS[:3], hidden=0.8),
    replace(BASE, label="only palette, correlated with texture at 0.8", imitated=("palette",), correlation=0.8),
    replace(BASE, label="nothing, palette and texture correlated at 0.8", correlation=0.8),
    replace(BASE, label="names that are not imitated share a palette", imitated=("texture",), shared_palette=True),
    replace(BASE, label="all artists and names share a palette", imitated=GROUPS[:3], shared_palette=True,
            bare=("palette", "composition")),
    replace(BASE, label="real names differ in palette from placebo names (assumption fails)", shift=1.0),
    replace(BASE, label="manners with heavy tails, only palette", imitated=("palette",), heavy=True),
    replace(BASE, label="works in two series that are not known (assumption fails)", series=1.0),
    replace(BASE, label="only palette, and an encoder of squared distances", imitated=("palette",), curved=True),
    replace(BASE, label="only palette, 19 placebo names", imitated=("palette",), n_placebos=19),
    replace(BASE, label="only palette, 99 placebo names", imitated=("palette",), n_placebos=99),
    replace(BASE, label="only palette, 399 placebo names", imitated=("palette",), n_placebos=399),
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """One draw of a world.

    Attributes
    ----------
    works : ndarray, shape (W, K)
    work_artist : ndarray, shape (W,)
    pictures : ndarray, shape (P, K)
    hidden : ndarray, shape (P, HIDDEN)
    style : ndarray, shape (A, K + HIDDEN)
    name, template : ndarray, shape (P,)
    """

    works: np.ndarray
    work_artist: np.ndarray
    pictures: np.ndarray
    hidden: np.ndarray
    style: np.ndarray
    name: np.ndarray
    template: np.ndarray


def in_groups(groups: tuple[str, ...]) -> np.ndarray:
    """Return which attributes are of some groups, shape (K,)."""
    return np.isin(GROUP, [GROUPS.index(group) for group in groups])


def _normal(world: AttributeWorld, rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw attributes and hidden dimensions; texture is correlated with palette."""
    out = rng.normal(size=(n, K + HIDDEN))
    palette, texture = np.flatnonzero(GROUP == 0), np.flatnonzero(GROUP == 2)
    r = world.correlation
    out[:, texture] = r * out[:, palette] + np.sqrt(1 - r * r) * out[:, texture]
    return out


def draw(world: AttributeWorld, rng: np.random.Generator) -> Drawn:
    """Draw works and pictures. Names are the artists, then the placebo names."""
    n_names, n_pictures = world.n_artists + world.n_placebos, world.n_templates * world.n_each
    style = world.style * _normal(world, rng, world.n_artists)
    style[:, :K][:, in_groups(world.bare)] = 0
    work_artist = np.repeat(np.arange(world.n_artists), world.n_works)
    works = style[work_artist] + _normal(world, rng, len(work_artist))
    if world.series:
        offsets = world.series * rng.normal(size=(2 * world.n_artists, K + HIDDEN))
        works += offsets[2 * work_artist + np.arange(len(work_artist)) % 2]
    manner = _normal(world, rng, n_names)
    if world.heavy:
        manner /= np.sqrt(rng.chisquare(3, size=(n_names, 1)) / 3)
    manner *= world.manner
    if world.shared_palette:
        manner[:, :K][:, GROUP == 0] *= 0.05
    manner[: world.n_artists, :K] += world.shift * (GROUP == 0)
    for a in range(world.n_artists // 2):
        near = np.concatenate([in_groups(world.imitated) * world.strength,
                               np.full(HIDDEN, world.hidden)])  # fmt: skip
        manner[a] += near * (style[a] - manner[a])
    name = np.repeat(np.arange(n_names), n_pictures)
    template = np.tile(np.repeat(np.arange(world.n_templates), world.n_each), n_names)
    prompt = 0.5 * rng.normal(size=(world.n_templates, K + HIDDEN))
    pictures = manner[name] + prompt[template] + _normal(world, rng, len(name))
    return Drawn(works[:, :K], work_artist, pictures[:, :K], pictures[:, K:], style, name, template)


def rates(world: AttributeWorld, rng: np.random.Generator) -> dict[str, float]:
    """Draw a world once, and return what is found."""
    drawn = draw(world, rng)
    n, half = world.n_artists, world.n_artists // 2
    told = distinctive(drawn.works, drawn.work_artist, n)
    out: dict[str, float] = {
        "distinctive, no style": (told.pvalue[:, in_groups(world.bare)] <= LEVEL).mean(),
        "distinctive, style": (told.pvalue[:, ~in_groups(world.bare)] <= LEVEL).mean(),
    }
    artists, placebos = np.arange(n), np.arange(n, n + world.n_placebos)
    true = np.zeros((n, K), bool)
    true[:half] = in_groups(world.imitated) & ~in_groups(world.bare)
    for label, within, tested in (
        ("max", "max", None),
        ("Holm", "holm", None),
        ("max, distinctive", "max", told.pvalue <= LEVEL),
    ):
        result = attribute_test(
            told.mean, drawn.pictures, drawn.name, artists=artists, placebos=placebos, template=drawn.template,
            tested=tested, within=within, rng=rng,
        )  # fmt: skip
        calls = result.adjusted <= LEVEL
        both = call_attributes(result.adjusted, level=LEVEL)
        out[f"{label}: any false in an artist"] = (calls & ~true).any(axis=1).mean()
        out[f"{label}: artists with a false call, of those selected"] = (both.called & ~true).any(
            axis=1
        ).sum() / max(1, both.selected.sum())
        if true.any():
            out[f"{label}: found"] = calls[true].mean()
            out[f"{label}: found over artists"] = both.called[true].mean()
        if label == "max":
            out["raw p <= 5 %, not imitated"] = (result.pvalue[~true] <= LEVEL).mean()
            if true.any():
                out["raw p <= 5 %, imitated"] = (result.pvalue[true] <= LEVEL).mean()
    if world.imitated or world.hidden:
        out |= shares(world, drawn, told.mean, rng)
    return out


def shares(
    world: AttributeWorld, drawn: Drawn, mean: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """Compare the shares of the match with the truth, over the artists that are imitated."""
    n, half = world.n_artists, world.n_artists // 2
    placebos = np.arange(n, n + world.n_placebos)
    found: dict[str, list[float]] = defaultdict(list)
    for a in range(half):
        distance = np.abs(drawn.pictures - mean[a])
        seen = distance**2 / 3 if world.curved else distance
        hidden = np.abs(drawn.hidden - drawn.style[a, K:])
        score = -seen.sum(axis=1) - hidden.sum(axis=1) + rng.normal(size=len(seen))
        result = carried(
            score, distance, GROUP, drawn.name, artist=a, placebos=placebos, template=drawn.template, rng=rng
        )
        own, others = drawn.name == a, drawn.name >= n
        nearer = seen[others].mean(axis=0) - seen[own].mean(axis=0)
        parts = np.bincount(GROUP, nearer)
        found["match found"].append(result.pvalue <= LEVEL)
        truth = [*(parts / result.excess), parts.sum() / result.excess]
        for g, group in ((0, "palette"), (1, "line"), (2, "texture"), (4, "all")):
            found[f"{group}: stated"].append(np.isfinite(result.share[g]))
            if not np.isfinite(result.share[g]):
                continue
            found[f"{group}: true share"].append(truth[g])
            found[f"{group}: share alone"].append(result.share[g])
            if g < 4:
                found[f"{group}: share last"].append(result.last[g] / result.excess)
            covers = result.share_low[g] <= truth[g] <= result.share_high[g]
            found[f"{group}: interval covers"].append(covers)
    return {f"carried, {key}": float(np.mean(values)) for key, values in found.items()}


def probe_rates(rng: np.random.Generator, *, loading: float, mixed: float = 0.0) -> dict[str, float]:
    """Draw works by 12 artists and probes that load on the measured attribute, or on one mixed with it.

    Words that mean nothing load on the axes along which the encoder's vectors vary most, as those of a probe do.
    """
    artist = np.repeat(np.arange(12), 10)
    style = rng.normal(size=(12, 8))
    axes = 1.5 * style[artist] + rng.normal(size=(120, 8))
    measured = mixed * axes[:, 1] + np.sqrt(1 - mixed**2) * axes[:, 0]
    nonsense = np.einsum(
        "wa,nra->wnr", axes, 0.5 * rng.normal(size=(39, 1, 8)) + 0.5 * rng.normal(size=(39, 3, 8))
    )
    probe = np.einsum("wa,ra->wr", axes, 0.5 * rng.normal(size=(1, 8)) + 0.5 * rng.normal(size=(3, 8)))
    probe += loading * axes[:, :1]
    result = known_probes(probe[:, None], measured[:, None], nonsense)
    return {"known": float(result.known[0])}


PROBES = (
    ("words mean nothing", {"loading": 0.0}),
    ("words mean the attribute", {"loading": 1.5}),
    ("words mean it well", {"loading": 4.0}),
    ("words mean another attribute, which the works mix with it at 0.7", {"loading": 4.0, "mixed": 0.7}),
)


def measure(n_worlds: int, seed: int, only: str | None = None) -> list[dict]:
    """Return level and power in every world, or in those whose label contains `only`, with standard errors."""
    rows = []
    for number, world in enumerate(WORLDS):
        if only and only not in world.label:
            continue
        rows.append(measure_world(world, n_worlds, [seed, 900, number]))
    for number, (label, options) in enumerate(PROBES):
        if only and only not in label:
            continue
        rng = np.random.default_rng([seed, 901, number])
        rows.append(_row(label, [probe_rates(rng, **options) for _ in range(n_worlds)]))
    return rows


def measure_world(world: AttributeWorld, n_worlds: int, seed: int | list[int]) -> dict:
    """Return level and power in one world, with standard errors."""
    rng = np.random.default_rng(seed)
    return _row(world.label, [rates(world, rng) for _ in range(n_worlds)])


def _row(label: str, drawn: list[dict[str, float]]) -> dict:
    values: dict[str, list[float]] = defaultdict(list)
    for one in drawn:
        for key, value in one.items():
            values[key].append(float(value))
    print(f"{label}: done", file=sys.stderr, flush=True)
    return {
        "world": label,
        "rates": {key: float(np.mean(each)) for key, each in values.items()},
        "error": {key: float(np.std(each) / np.sqrt(len(each))) for key, each in values.items()},
    }


def main() -> None:
    """Print the rates of each world."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="worlds whose label contains this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.worlds, options.seed, options.only)
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(f"\n{row['world']}")
        for key, value in row["rates"].items():
            print(f"  {key:<55} {100 * value:6.1f} % +- {100 * row['error'][key]:.1f}")


if __name__ == "__main__":
    main()
