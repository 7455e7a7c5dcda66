"""Matching, recomputed: nearness, tests of sets, validity of the encoder, findings; see `recompute`."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from tests.support.recompute_draws import (
    Check,
    assignment,
    clopper_pearson,
    ends,
    jackknife,
    keyed,
    mean_of_artists,
    same_units,
    share_ends,
)
from tests.support.recompute_world import METHODS, Array, Export, Row, Seen, prompt_clusters

GAP_RESAMPLES = 1000  # a default of imindex.stats.validity.gap_bootstrap
FEWEST_WORKS = GAP_RIVALS = 5
FOLDS = 10
TOLD = 0.05  # level at which works of an artist are told from those of others


def matching(
    here: Check, seen: Seen, gaps: Gaps, result: Row, rows: Mapping[str, Row]
) -> tuple[Sets, dict[str, Row]]:
    """Check the nearness of the imitations: AUC, tests of sets, validity of the encoder, findings.

    Returns the sets, and the recomputed figures of each artist.
    """
    summary, tests = result["summary"], seen.plan["tests"]
    here.same("summary.n_works", summary["n_works"], len(seen.works))
    here.same("summary.n_ranked", summary["n_ranked"], len(seen.made))
    here.same("summary.n_repeated", summary["n_repeated"], seen.repeated)
    without = sum(prompt.startswith("\0") for prompt in seen.prompts(seen.made))
    here.same("n_without_prompt", result.get("n_without_prompt", 0), without)
    sets, told = Sets(seen), told_apart(gaps)
    found: dict[str, Row] = {}
    cells: dict[str, Array] = {}
    for name, row in rows.items():
        cell, own = seen.cell(name), seen.asked == name
        auc = [roc_auc_score(own, line) for line in seen.similarity[seen.work_artist == name]]
        clusters, fixed = prompt_clusters(seen.prompts(seen.made[own]))
        tested = found[name] = {**sets.test(name), **gaps.of(name), **told[name]}
        tested |= {
            "n_works": len(cell), "n_imitations": int(own.sum()), "status": "ok", "auc": np.mean(auc),
            "prompts_held_fixed": fixed, "placebo_reference": None,
            "floor_placebo": sets.floor(name), "floor_control": _control(seen, name),
        }  # fmt: skip
        cells[name] = cell
        units = [gaps.series(seen.works[seen.work_artist == name]), clusters or range(cell.shape[1])]
        tested["n_distinct_works"] = len(set(units[0]))
        low, high = _auc_ends(cell, units, tests["confidence_level"])
        here.same(f"{name}.auc_low", row["auc_low"], low)
        here.same(f"{name}.auc_high", row["auc_high"], high)
        here.within(
            f"{name}.p_differs",
            row["p_differs"],
            _differs(seen, name, tests["n_resamples"], seen.plan["seed"]),
        )
        low, high = gaps.ends(name, tests["confidence_level"], seen.plan["seed"])
        here.within(f"{name}.gap_low", row["gap_low"], low)
        here.within(f"{name}.gap_high", row["gap_high"], high)
        tested["gap_class"] = (
            "too few works" if tested["n_distinct_works"] < FEWEST_WORKS
            else "robust positive" if row["gap_low"] > 0
            else "robust negative" if row["gap_high"] < 0 else "ambiguous"
        )  # fmt: skip
    fewest = _findings(found, tests, bool(len(seen.placebos)), sets.nearest)
    for name, wanted in found.items():
        for key, value in wanted.items():
            here.same(f"{name}.{key}", rows[name][key], value)
    family = sum(one["p_adjusted"] is not None for one in found.values())
    counted = Counter(one["finding"] for one in found.values())
    aucs = np.array([one["auc"] for one in found.values()])
    for key, wanted in (
        ("n_artists", len(rows)), ("n_tested", family), ("family", family), ("auc", aucs.mean()),
        ("n_placebo_names", len(seen.placebos)), ("level", tests["level"]), ("adjust", tests["adjust"]),
        ("confidence_level", tests["confidence_level"]), ("statistic", "lda"), ("fewest_findable", fewest),
        ("references_needed", math.ceil(max(1, family) / tests["level"] - 1e-9) - 1),
    ):  # fmt: skip
        here.same(f"summary.{key}", summary[key], wanted)
    here.within("summary.detectable_auc", summary["detectable_auc"], sets.detectable(found, tests))
    for label, n in summary["findings"].items():
        here.same(f"summary.findings.{label}", n, counted.pop(label, 0))
    here.same("summary.findings, others", dict(counted), {})
    low, high = mean_of_artists(
        {name: cell.mean(axis=0) for name, cell in cells.items()},
        {name: seen.shared(seen.made[seen.asked == name]) for name in cells},
        tests["confidence_level"],
    )
    here.same("summary.auc_low", summary["auc_low"], low)
    here.same("summary.auc_high", summary["auc_high"], high)
    here.within("summary.p_auc", summary["p_auc"], assignment(sets.table(list(rows)), tests["n_resamples"]))
    return sets, found


def _auc_ends(cell: Array, units: Sequence[Sequence[Any]], level: float) -> tuple[float, float]:
    """The interval of an AUC: works and imitations, or their clusters, are left out in turn."""
    parts = []
    for axis, labels in enumerate(units):
        names = sorted(set(labels))
        if len(names) < 2:
            return math.nan, math.nan
        member = np.array([[label == name for label in labels] for name in names], float)
        means = cell.mean(axis=1 - axis)
        parts.append(jackknife(means.sum(), len(means), member @ means, member.sum(axis=1)))
    return share_ends(float(cell.mean()), parts, min(df for _, df in parts) + 1, level)


class Sets:
    """The mean rank percentile of each name's set for each tested artist's works, and sets as references."""

    def __init__(self, seen: Seen):
        self.seen, self.sizes = seen, Counter(seen.asked.tolist())
        self.nearest: dict[str, float] = {}
        rows = seen.export.where("works", "background")
        self.discriminant = Discriminant(seen.export.vectors[rows], seen.export.columns["artist"][rows])
        self.odds = self.discriminant.odds(seen.export.vectors[seen.made])
        self.sums: dict[tuple[str, str], int] = {}
        self.n_works = Counter(seen.work_artist.tolist())
        ordered = sorted(self.sizes.values())
        self.size = ordered[math.floor(0.1 * len(ordered) + 1e-9)]  # what nine of ten sets have
        self.design = {name: seen.design(name) for name in self.sizes}

    def sum(self, artist: str, name: str) -> int:
        """Twice the midranks, summed over works and imitations."""
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
        """p of the name and of the rivals. Sets larger than the common size are subsampled, so p is unknown here."""
        if self.sizes[artist] != self.size:
            raise ValueError(f"{artist}: a set of another size than most is compared at random.")
        fits = [s for s, n in self.sizes.items() if s != artist and n >= self.size
                and self.design[s] == self.design[artist]]  # fmt: skip
        if any(self.sizes[s] > self.size for s in fits):
            raise ValueError("A set that is larger than most is drawn from at random.")
        invented = [s for s in fits if s in self.seen.placebos]
        rivals = [s for s in fits if s not in self.seen.placebos]
        score = {s: self.odds[artist][self.seen.asked == s].mean() for s in [artist, *invented, *rivals]}
        room = 1e-9 * max(1, abs(score[artist]))
        at_least = sum(score[s] >= score[artist] - room for s in invented)
        nearer = sum(score[s] >= score[artist] - room for s in rivals)
        top = max(score[s] for s in [artist, *rivals])
        best = sum(score[s] >= top - 1e-9 * max(1, abs(top)) for s in invented)
        self.nearest[artist] = (1 + best) / (1 + len(invented))
        p_name = (1 + at_least) / (1 + len(invented)) if invented else None
        p_rival = (1 + nearer) / (1 + len(rivals)) if rivals else None
        return {
            "p_name": p_name, "p_rival": p_rival, "p": p_name if len(self.seen.placebos) else p_rival,
            "n_name_references": len(invented), "n_rival_references": len(rivals),
            "resolution_name": 1 / (1 + len(invented)) if invented else None,
            "resolution_rival": 1 / (1 + len(rivals)) if rivals else None,
        }  # fmt: skip

    def detectable(self, found: Mapping[str, Row], tests: Row) -> Any:
        """The AUC found with 80 % power: placebo sets are moved towards the mean work; a window, as it is bisected."""
        family = [name for name, one in found.items() if one["p_adjusted"] is not None]
        if not family or not len(self.seen.placebos):
            return None
        left = [name for name in family if found[name]["p_adjusted"] > tests["level"] * (1 + 1e-12)]
        n, k = len(family), min(len(family), len(family) - len(left) + 1)
        level = tests["level"] * {"holm": 1 / (n - k + 1), "bh": k / n,
                                  "by": k / n / sum(1 / i for i in range(1, n + 1))}[tests["adjust"]]  # fmt: skip
        each = [self._detectable(name, level) for name in left or family]
        known = [ends for ends in each if ends]
        if 2 * len(known) <= len(each):
            return None
        return tuple(float(np.median(side)) for side in zip(*known, strict=True))

    def _detectable(self, artist: str, level: float) -> tuple[float, float] | None:
        seen = self.seen
        invented = [s for s in self.sizes if s in seen.placebos and self.design[s] == self.design[artist]]
        most = math.floor(level * (len(invented) + 1) + 1e-9) - 1
        if len(invented) < 5 or most < 0:
            return None
        works = seen.export.vectors[seen.works[seen.work_artist == artist]]
        towards = works.mean(axis=0) / np.linalg.norm(works.mean(axis=0))
        sets = [seen.export.vectors[seen.made[seen.asked == s]] for s in invented]
        bar = sorted(self.odds[artist][seen.asked == s].mean() for s in invented)[-1 - most]
        others = works @ seen.export.vectors[seen.made[seen.asked != artist]].T

        def moved(step: float) -> list[Array]:
            shifted = [pictures + step * towards for pictures in sets]
            return [pictures / np.linalg.norm(pictures, axis=1)[:, None] for pictures in shifted]

        def low_fifth(step: float) -> float:
            means = sorted(self.discriminant.odds(pictures)[artist].mean() for pictures in moved(step))
            place = 0.2 * (len(means) + 1) - 1  # Weibull's plotting position
            k = min(max(math.floor(place), 0), len(means) - 2)
            return float(means[k] + (min(max(place, 0), len(means) - 1) - k) * (means[k + 1] - means[k]))

        low, high = 0.0, 64.0
        if low_fifth(high) <= bar:
            return None
        if low_fifth(low) > bar:
            high = 0.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if low_fifth(middle) > bar else (middle, high)

        def auc(step: float) -> float:
            shares = []
            for pictures in moved(max(step, 0.0)):
                nearer = (others[:, :, None] < (works @ pictures.T)[:, None, :]).mean(axis=1)
                shares.append(nearer.mean())
            least = 1 / (2 * len(seen.made))
            return float(norm.cdf(norm.ppf(np.clip(shares, least, 1 - least)).mean()))

        room = 2e-3 * max(1.0, high)
        return auc(high - room) - 1e-9, auc(high + room) + 1e-9

    def floor(self, artist: str) -> float | None:
        """The mean rank percentile of the pictures of all placebo names."""
        sizes = {s: self.sizes[s] for s in self.seen.placebos}
        if not sizes:
            return None
        return sum(n * self.near(artist, s) for s, n in sizes.items()) / sum(sizes.values())


class Gaps:
    """How well the encoder distinguishes each artist's works from those of others."""

    def __init__(self, export: Export):
        rows = export.where("works", "background")
        self.vectors = export.vectors[rows]
        self.table = self.vectors @ self.vectors.T
        self.maker = export.columns["artist"][rows]
        self.artists = sorted(set(self.maker))
        self.drawn: dict[str, Array] = {}
        self.rows, self.cluster = rows.tolist(), self._clusters()

    def _clusters(self) -> Array:
        """Works by one artist that are nearly the same picture: single linkage above a cosine (stats/METHODS.md)."""
        same = self.maker[:, None] == self.maker
        others = np.where(same, -np.inf, self.table).max(axis=1)
        within = []
        for artist in self.artists:
            own = np.flatnonzero(self.maker == artist)
            if len(own) > 1:
                within.append(np.median(self.table[np.ix_(own, own)][np.triu_indices(len(own), 1)]))
        near = 1 - 0.1 * (1 - np.median(within)) if within else 1.0
        if np.isfinite(others).all() and within:
            near = max(near, np.quantile(others, 0.99))
        linked, cluster = same & (self.table > near), np.arange(len(self.maker))
        while True:
            lowest = np.where(linked | np.eye(len(cluster), dtype=bool), cluster, len(cluster)).min(axis=1)
            if (lowest == cluster).all():
                return cluster
            cluster = lowest

    def series(self, rows: Array) -> list[int]:
        """The cluster of each of these works, by their rows in the export."""
        return [int(self.cluster[self.rows.index(row)]) for row in rows.tolist()]

    def _pairs(self, rows: Array, others: Array | None = None) -> float:
        """Median cosine between two groups; within one group, over pairs of different works."""
        if others is not None:
            return float(np.median(self.table[np.ix_(rows, others)]))
        i, j = np.triu_indices(len(rows), 1)
        i, j = rows[i], rows[j]
        apart = self.cluster[i] != self.cluster[j]
        return float(np.median(self.table[i[apart], j[apart]])) if apart.any() else math.nan

    def of(self, artist: str) -> Row:
        own = np.flatnonzero(self.maker == artist)
        across = max(self._pairs(own, np.flatnonzero(self.maker == b)) for b in self.artists if b != artist)
        mine = self.maker == artist
        apart = [self.cluster != self.cluster[w] for w in own]
        auc = [roc_auc_score(mine[kept], self.table[w][kept]) for w, kept in zip(own, apart, strict=True)]
        return {"gap": self._pairs(own) - across, "ceiling_auc": np.mean(auc)}

    def ends(self, artist: str, confidence_level: float, seed: int) -> tuple[Any, Any]:
        """The percentile interval, from the report's own draws of the works of the artist and of each of five rivals.

        With more than 10 works, only the first draws are computed, because it is slow; the ends are then windows.
        """
        if artist not in self.drawn:
            groups = {b: np.flatnonzero(self.maker == b) for b in self.artists}
            own = groups.pop(artist)
            if len(set(self.cluster)) < len(self.cluster):
                raise ValueError("Series of works are drawn as one: not repeated here.")
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
    """The ranks that the release's control pictures would have among its imitations."""
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
    """p of the kernel two-sample test (Gretton et al. 2012), with a Gaussian kernel of the median distance."""
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


def _findings(
    found: dict[str, Row], tests: Row, with_placebos: bool, nearest: Mapping[str, float]
) -> int | None:
    """Adjust in two steps, derive the finding of each artist, and count the fewest that could be found."""
    level = tests["level"] * (1 + 1e-12)
    for one in found.values():
        one["p_adjusted"] = one["p_rival_selected"] = None
        one["specificity_testable"] = None
    judged = {
        name: one
        for name, one in found.items()
        if one["p_told"] is not None and one["p_told"] <= TOLD and one["n_distinct_works"] >= FEWEST_WORKS
    }
    family = [one for one in judged.values() if one["p"] is not None]
    for one, value in zip(family, _adjusted([one["p"] for one in family], tests), strict=True):
        one["p_adjusted"] = value
    called = [one for one in family if one["p_adjusted"] <= level]
    largest = max((one["p"] for one in called), default=0)
    risk = [
        one for name, one in judged.items()
        if with_placebos and one["p"] is not None and one["p_rival"] is not None
        and (one["p_adjusted"] <= level or nearest[name] <= largest)
    ]  # fmt: skip
    passed = [one["p_adjusted"] <= level for one in risk]
    p = [one["p_rival"] if ok else 1.0 for one, ok in zip(risk, passed, strict=True)]
    corrected = _second(p, [one["p_rival"] for one in risk], tests)
    floors = [one["resolution_rival"] if ok else 1.0 for one, ok in zip(risk, passed, strict=True)]
    most = [one["resolution_rival" if ok else "p_rival"] for one, ok in zip(risk, passed, strict=True)]
    best = _second(floors, most, tests)
    for one in found.values():
        if with_placebos:
            one["specificity_testable"] = (
                one["resolution_rival"] is not None and one["resolution_rival"] <= level
            )
    for one, ok, value, least in zip(risk, passed, corrected, best, strict=True):
        if ok:
            one["p_rival_selected"], one["specificity_testable"] = value, least <= level
    for one in found.values():
        if one["n_distinct_works"] >= FEWEST_WORKS and one["p_told"] is not None and one["p_told"] > TOLD:
            one["finding"] = "this encoder cannot tell"
        elif one["p_adjusted"] is None:
            one["finding"] = "not tested"
        elif one["p_adjusted"] > level:
            one["finding"] = "not shown"
        elif not with_placebos:
            one["finding"] = "nearer than other artists"
        elif one["p_rival_selected"] is not None and one["p_rival_selected"] <= level:
            one["finding"] = "imitated"
        else:
            one["finding"] = (
                f"name effect; specificity not {'shown' if one['specificity_testable'] else 'testable'}"
            )
    which = "resolution_name" if with_placebos else "resolution_rival"
    floors = sorted(one[which] for one in judged.values() if one[which] is not None)
    for k in range(1, len(floors) + 1):
        if max(_adjusted([*floors[:k], *[1.0] * (len(floors) - k)], tests)[:k]) <= level:
            return k
    return None


def _second(p: Sequence[float], basis: Sequence[float], tests: Row) -> list[float]:
    """Correct the second step; with bh, the share of true nulls is estimated from `basis`."""
    values = _adjusted(p, tests)
    if tests["adjust"] != "bh" or not p:
        return values
    level = tests["level"] * (1 + 1e-12)
    nulls = min(1.0, (1 + sum(value > level for value in basis)) / (len(p) * (1 - tests["level"])))
    return [max(one, value * nulls) for one, value in zip(p, values, strict=True)]


def _adjusted(p: Sequence[float], tests: Row) -> list[float]:
    return list(map(float, multipletests(p, method=METHODS[tests["adjust"]])[1])) if p else []


class Discriminant:
    """Fisher's linear discriminant between artists, with equal priors and a shrunken covariance."""

    def __init__(self, vectors: Array, maker: Array):
        self.artists = sorted(set(maker))
        self.means = np.array([vectors[maker == a].mean(axis=0) for a in self.artists])
        residuals = vectors - self.means[[self.artists.index(a) for a in maker]]
        n, d = residuals.shape
        free = max(1, n - len(self.artists))
        sample = sum(np.outer(r, r) for r in residuals) / free
        target = np.eye(d) * np.trace(sample) / d
        lengths = (residuals**2).sum(axis=1) * n / free
        error = ((lengths**2).mean() - (sample**2).sum()) / free
        weight = min(1.0, max(1e-3, error / ((sample - target) ** 2).sum()))
        self.inverse = np.linalg.inv((1 - weight) * sample + weight * target)

    def odds(self, pictures: Array) -> dict[str, Array]:
        """Log odds of each artist against all others."""
        linear = np.array(
            [pictures @ self.inverse @ mean - mean @ self.inverse @ mean / 2 for mean in self.means]
        )
        return {
            artist: linear[k] - logsumexp(np.delete(linear, k, axis=0), axis=0)
            for k, artist in enumerate(self.artists)
        }


def told_apart(gaps: Gaps) -> dict[str, Row]:
    """Whether held-out works of each artist score higher for the artist than works of others do."""
    vectors, maker, cluster = gaps.vectors, gaps.maker, gaps.cluster
    _, first = np.unique(  # the same picture twice is one
        np.array([f"{a}:{v.tobytes().hex()}" for a, v in zip(maker, vectors, strict=True)]), return_index=True
    )
    first.sort()
    vectors, maker, cluster = vectors[first], maker[first], cluster[first]
    seen: dict[str, list[int]] = {}
    place = []
    for a, c in zip(maker, cluster.tolist(), strict=True):
        own = seen.setdefault(a, [])
        own += [] if c in own else [c]
        place.append(own.index(c))
    fold = np.array(
        [
            k % FOLDS if len(seen[a]) >= FOLDS else k * FOLDS // len(seen[a])
            for a, k in zip(maker, place, strict=True)
        ]
    )
    held_out: dict[str, Array] = {a: np.full(len(maker), np.nan) for a in set(maker)}
    for f in set(fold.tolist()):
        kept = fold != f
        if len(set(maker[kept])) > 1:
            for artist, odds in Discriminant(vectors[kept], maker[kept]).odds(vectors[~kept]).items():
                held_out[artist][~kept] = odds
    told: dict[str, Row] = {}
    for artist, odds in held_out.items():
        mine, n = maker == artist, len(seen[artist])
        other = ~mine & ~np.isnan(odds)
        told[artist] = {"told_auc": None, "told_low": None, "told_high": None, "p_told": None}
        if n > 1 and other.any() and not np.isnan(odds[mine]).any():
            share = np.zeros(len(maker))
            for w in np.flatnonzero(mine):
                beside = other & (fold == fold[w])
                others = odds[beside if beside.sum() >= 20 else other]
                share[w] = ((odds[w] > others).mean() + (odds[w] >= others).mean()) / 2
            auc = float(share[mine].mean())
            low, high = clopper_pearson(auc * n, n, 0.95)
            groups = [share[mine & (cluster == c)].mean() for c in seen[artist]]
            p = float(norm.sf((sum(groups) - n / 2) / math.sqrt(n / 6)))
            told[artist] = {"told_auc": auc, "told_low": low, "told_high": high, "p_told": p}
    return told
