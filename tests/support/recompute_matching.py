"""Matching, computed again: nearness, tests against sets, what an encoder can tell, findings; see `recompute`."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from tests.support.recompute_draws import (
    DRAWN,
    SHRINKAGE,
    Check,
    assignment,
    clopper_pearson,
    crossed,
    ends,
    keyed,
    same_units,
    shrunk,
    widened,
)
from tests.support.recompute_world import METHODS, Array, Export, Row, Seen, prompt_clusters

GAP_RESAMPLES = 1000  # a default of imindex.stats.validity.gap_bootstrap
FEWEST_WORKS = GAP_RIVALS = 5


def matching(here: Check, seen: Seen, gaps: Gaps, result: Row, rows: Mapping[str, Row]) -> None:
    """How near the imitations come: AUC, tests against sets, what this encoder can tell, findings."""
    summary, tests = result["summary"], seen.plan["tests"]
    here.same("summary.n_works", summary["n_works"], len(seen.works))
    here.same("summary.n_ranked", summary["n_ranked"], len(seen.made))
    here.same("summary.n_repeated", summary["n_repeated"], seen.repeated)
    without = sum(prompt.startswith("\0") for prompt in seen.prompts(seen.made))
    here.same("n_without_prompt", result.get("n_without_prompt", 0), without)
    sets = Sets(seen)
    found: dict[str, Row] = {}
    drawn: dict[str, Array] = {}
    for name, row in rows.items():
        cell, own = seen.cell(name), seen.asked == name
        auc = [roc_auc_score(own, line) for line in seen.similarity[seen.work_artist == name]]
        clusters, fixed = prompt_clusters(seen.prompts(seen.made[own]))
        tested = found[name] = {**sets.test(name), **gaps.of(name)}
        tested |= {
            "n_works": len(cell), "n_imitations": int(own.sum()), "status": "ok", "auc": np.mean(auc),
            "prompts_held_fixed": fixed, "floor_placebo": sets.floor(name), "floor_control": _control(seen, name),
            "placebo_reference": None,  # nothing is chosen of pictures made elsewhere
        }  # fmt: skip
        drawn[name] = crossed(cell, clusters, DRAWN * tests["n_resamples"])
        units = min(len(cell), len(set(clusters)) if clusters else cell.shape[1])
        if np.ptp(drawn[name]) < 1e-12:
            low, high = clopper_pearson(cell.mean() * units, units, tests["confidence_level"])
        else:
            low, high = ends(drawn[name], widened(tests, units), tests["n_resamples"])
        here.within(f"{name}.auc_low", row["auc_low"], low)
        here.within(f"{name}.auc_high", row["auc_high"], high)
        here.within(
            f"{name}.p_differs",
            row["p_differs"],
            _differs(seen, name, tests["n_resamples"], seen.plan["seed"]),
        )
        low, high = gaps.ends(name, tests["confidence_level"], seen.plan["seed"])
        here.within(f"{name}.gap_low", row["gap_low"], low)
        here.within(f"{name}.gap_high", row["gap_high"], high)
        tested["gap_class"] = (
            "too few works" if len(cell) < FEWEST_WORKS
            else "robust positive" if row["gap_low"] > 0
            else "robust negative" if row["gap_high"] < 0 else "ambiguous"
        )  # fmt: skip
    _findings(found, tests, bool(len(seen.placebos)))
    for name, wanted in found.items():
        for key, value in wanted.items():
            here.same(f"{name}.{key}", rows[name][key], value)
    family = max(
        sum(one[key] is not None for one in found.values()) for key in ("p_adjusted", "p_name_adjusted")
    )
    counted = Counter(one["finding"] for one in found.values())
    aucs = np.array([one["auc"] for one in found.values()])
    for key, wanted in (
        ("n_artists", len(rows)), ("n_tested", family), ("family", family), ("auc", aucs.mean()),
        ("n_placebo_names", len(seen.placebos)), ("level", tests["level"]), ("adjust", tests["adjust"]),
        ("confidence_level", tests["confidence_level"]),
        ("references_needed", math.ceil(max(1, family) / tests["level"] - 1e-9) - 1),
    ):  # fmt: skip
        here.same(f"summary.{key}", summary[key], wanted)
    for label, n in summary["findings"].items():
        here.same(f"summary.findings.{label}", n, counted.pop(label, 0))
    here.same("summary.findings, others", dict(counted), {})
    means = shrunk(aucs, np.array(list(drawn.values())))
    low, high = ends(means, widened(tests, len(aucs)), tests["n_resamples"], SHRINKAGE)
    here.within("summary.auc_low", summary["auc_low"], low)
    here.within("summary.auc_high", summary["auc_high"], high)
    here.within("summary.p_auc", summary["p_auc"], assignment(sets.table(list(rows)), tests["n_resamples"]))


class Sets:
    """The mean rank percentile of each name's set to each tested artist's works, and sets as references."""

    def __init__(self, seen: Seen):
        self.seen, self.sizes = seen, Counter(seen.asked.tolist())
        self.sums: dict[tuple[str, str], int] = {}
        self.n_works = Counter(seen.work_artist.tolist())
        ordered = sorted(self.sizes.values())
        self.size = ordered[math.floor(0.1 * len(ordered) + 1e-9)]  # what nine of ten sets have
        self.design = {name: self._design(name) for name in self.sizes}

    def _design(self, name: str) -> tuple[list[int], list[tuple[str, int]]]:
        """How many pictures there are of each prompt, and of each template: the prompt without the name."""
        prompts = self.seen.prompts(self.seen.made[self.seen.asked == name])
        templates = ["" if prompt.startswith("\0") else prompt.replace(name, "NAME") for prompt in prompts]
        return sorted(Counter(prompts).values()), sorted(Counter(templates).items())

    def sum(self, artist: str, name: str) -> int:
        """Twice the midranks, summed up over works and imitations."""
        if (artist, name) not in self.sums:
            cell = self.seen.twice[np.ix_(self.seen.work_artist == artist, self.seen.asked == name)]
            self.sums[artist, name] = int(cell.sum())
        return self.sums[artist, name]

    def near(self, artist: str, name: str) -> float:
        pairs = self.n_works[artist] * self.sizes[name]
        return (self.sum(artist, name) / pairs - 1) / (2 * len(self.seen.made))

    def table(self, artists: Sequence[str]) -> Array:
        return np.array([[self.near(a, s) for s in artists] for a in artists])

    def test(self, artist: str) -> Row:
        """p of the name and of the rivals. Sets larger than the common size are drawn from, and not known here."""
        if self.sizes[artist] != self.size:
            raise ValueError(f"{artist}: a set of another size than most is compared at random.")
        fits = [s for s, n in self.sizes.items() if s != artist and n >= self.size
                and self.design[s] == self.design[artist]]  # fmt: skip
        if any(self.sizes[s] > self.size for s in fits):
            raise ValueError("A set that is larger than most is drawn from at random.")
        invented = [s for s in fits if s in self.seen.placebos]
        rivals = [s for s in fits if s not in self.seen.placebos]
        own = self.sum(artist, artist)
        at_least = sum(self.sum(artist, s) >= own for s in invented)
        centred = {s: self.near(artist, s) - self._centre(artist, s) for s in [artist, *rivals]}
        nearer = sum(centred[s] >= centred[artist] - 1e-9 for s in rivals)
        p_name = (1 + at_least) / (1 + len(invented)) if invented else None
        p_rival = (1 + nearer) / (1 + len(rivals)) if rivals else None
        both = None if None in (p_name, p_rival) else max(p_name, p_rival)  # type: ignore[type-var]
        return {
            "p_name": p_name, "p_rival": p_rival, "p": both if len(self.seen.placebos) else p_rival,
            "n_name_references": len(invented), "n_rival_references": len(rivals),
            "resolution_name": 1 / (1 + len(invented)) if invented else None,
            "resolution_rival": 1 / (1 + len(rivals)) if rivals else None,
        }  # fmt: skip

    def _centre(self, artist: str, name: str) -> float:
        """What the set has for everybody's works: mean over artists other than these two; 0 without any."""
        others = sorted(set(self.n_works) - {artist, name})
        return float(np.mean([self.near(one, name) for one in others])) if others else 0.0

    def floor(self, artist: str) -> float | None:
        """The mean rank percentile of all placebo names' pictures."""
        sizes = {s: self.sizes[s] for s in self.seen.placebos}
        if not sizes:
            return None
        return sum(n * self.near(artist, s) for s, n in sizes.items()) / sum(sizes.values())


class Gaps:
    """How well this encoder tells each artist's works from those of others."""

    def __init__(self, export: Export):
        rows = export.where("works", "background")
        self.table = export.vectors[rows] @ export.vectors[rows].T
        self.maker = export.columns["artist"][rows]
        self.artists = sorted(set(self.maker))
        self.drawn: dict[str, Array] = {}

    def _pairs(self, rows: Array, others: Array | None = None) -> float:
        """Median cosine of two groups; within one, of pairs of different works."""
        if others is not None:
            return float(np.median(self.table[np.ix_(rows, others)]))
        i, j = np.triu_indices(len(rows), 1)
        i, j = rows[i], rows[j]
        return float(np.median(self.table[i[i != j], j[i != j]])) if (i != j).any() else math.nan

    def of(self, artist: str) -> Row:
        own = np.flatnonzero(self.maker == artist)
        across = max(self._pairs(own, np.flatnonzero(self.maker == b)) for b in self.artists if b != artist)
        mine = self.maker == artist
        auc = [roc_auc_score(np.delete(mine, w), np.delete(self.table[w], w)) for w in own]
        return {"gap": self._pairs(own) - across, "ceiling_auc": np.mean(auc)}

    def ends(self, artist: str, confidence_level: float, seed: int) -> tuple[Any, Any]:
        """The percentile interval, by the report's own draws of the artist's works and of five rivals' each.

        Of more than 10 works only the first draws are gone through, which takes long: then where the ends lie.
        """
        if artist not in self.drawn:
            groups = {b: np.flatnonzero(self.maker == b) for b in self.artists}
            own = groups.pop(artist)
            nearest = sorted(groups, key=lambda b: -self._pairs(own, groups[b]))[:GAP_RIVALS]
            n = GAP_RESAMPLES if len(own) <= 10 else 300

            def drawn(name: str, rows: Array) -> Array:
                return rows[same_units(keyed(seed, "gap", name), len(rows), GAP_RESAMPLES)[:n]]

            mine = drawn(artist, own)
            rivals = [drawn(b, groups[b]) for b in nearest]
            i, j = np.triu_indices(len(own), 1)
            i, j = mine[:, i], mine[:, j]
            ordered = np.sort(np.where(i == j, np.inf, self.table[i, j]), axis=1)
            known = (i != j).sum(axis=1)[:, None]
            middle = [np.take_along_axis(ordered, (known - up) // 2, axis=1)[:, 0] for up in (1, 0)]
            across = [
                [np.median(self.table[np.ix_(a, b)]) for a, b in zip(mine, rows, strict=True)] if len(own) > 10
                else np.median(self.table[mine[:, :, None], rows[:, None, :]].reshape(n, -1), axis=1)
                for rows in rivals
            ]  # fmt: skip
            gaps = (middle[0] + middle[1]) / 2 - np.max(across, axis=0)
            self.drawn[artist] = gaps[known[:, 0] > 0]
        gaps = self.drawn[artist]
        tail = (1 - confidence_level) / 2
        if (self.maker == artist).sum() <= 10:
            room = 1e-6  # the report takes gaps from similarities in float32
            return tuple(
                (float(end) - room, float(end) + room) for end in np.quantile(gaps, [tail, 1 - tail])
            )
        return ends(gaps, tail, GAP_RESAMPLES)


def _control(seen: Seen, artist: str) -> float | None:
    """Where the control pictures of the release would stand among its imitations."""
    rows = seen.export.where("control", collection=seen.release)
    if not len(rows):
        return None
    own = seen.work_artist == artist
    asked = seen.export.vectors[seen.works[own]] @ seen.export.vectors[rows].T
    among = seen.similarity[own][:, None, :]
    return float(
        ((among < asked[:, :, None]).mean(axis=2) + (among == asked[:, :, None]).mean(axis=2) / 2).mean()
    )


def _differs(seen: Seen, artist: str, n_resamples: int, seed: int) -> Any:
    """p of the kernel two-sample test (Gretton et al. 2012), Gaussian kernel of the median distance."""
    own = [seen.works[seen.work_artist == artist], seen.made[seen.asked == artist]]
    if min(map(len, own)) < 2:
        return math.nan
    vectors = seen.export.vectors[np.concatenate(own)]
    squared = np.maximum(2 - 2 * vectors @ vectors.T, 0)
    kernel = np.exp(-squared / (2 * np.median(np.sqrt(squared[np.triu_indices(len(squared), 1)])) ** 2))
    np.fill_diagonal(kernel, 0)
    n, m = map(len, own)

    def statistic(x: Array) -> Array:
        y = 1 - x
        within = [np.einsum("bi,ij,bj->b", z, kernel, z, optimize=True) for z in (x, y)]
        between = np.einsum("bi,ij,bj->b", x, kernel, y, optimize=True)
        return within[0] / (n * (n - 1)) + within[1] / (m * (m - 1)) - 2 * between / (n * m)

    true = (np.arange(n + m) < n)[None].astype(float)
    many = min(n_resamples, 999)
    if math.comb(n + m, n) <= many:
        chosen = np.array(list(itertools.combinations(range(n + m), n)))
        every = np.zeros((len(chosen), n + m))
        np.put_along_axis(every, chosen, 1.0, axis=1)
        return float((statistic(every) >= statistic(true) - 1e-12).mean())
    random = keyed(seed, "MMD", artist)
    drawn = statistic(random.permuted(np.repeat(true.astype(np.int8), many, axis=0), axis=1).astype(float))
    return float((1 + (drawn >= statistic(true)[0] - 1e-12).sum()) / (1 + many))


def _findings(found: dict[str, Row], tests: Row, with_placebos: bool) -> None:
    """Adjust over the artists that are tested and told apart, and say what is found of each."""
    for key, adjusted in (("p", "p_adjusted"), ("p_name", "p_name_adjusted")):
        family = [
            name
            for name, one in found.items()
            if one["gap_class"] == "robust positive" and one[key] is not None
        ]
        values = (
            multipletests([found[n][key] for n in family], method=METHODS[tests["adjust"]])[1]
            if family
            else []
        )
        for one in found.values():
            one[adjusted] = None
        for name, value in zip(family, values, strict=True):
            found[name][adjusted] = value
    level = tests["level"] * (1 + 1e-12)
    for one in found.values():
        p, p_name = one["p_adjusted"], one["p_name_adjusted"]
        if one["gap_class"] in ("ambiguous", "robust negative"):
            one["finding"] = "this encoder cannot tell"
        elif p is None and not (with_placebos and p_name is not None):
            one["finding"] = "not tested"
        elif p is not None and p <= level:
            one["finding"] = "imitated" if with_placebos else "nearer than other artists"
        else:
            one["finding"] = "the name matters" if with_placebos and p_name <= level else "not shown"
