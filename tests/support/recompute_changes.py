"""Comparisons of two releases, recomputed; see `recompute`."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.support.recompute_draws import (
    DRAWN,
    Array,
    Check,
    clopper_pearson,
    ends,
    p_window,
    share_ends,
    unit_counts,
    weighted_means,
    widened,
)
from tests.support.recompute_gate import name_test_calls
from tests.support.recompute_naming import accuracy_ends, label_scores
from tests.support.recompute_world import FEWEST_PROMPTS, METHODS, SIGNIFICANT, Row, Seen, read_export

Pair = tuple[Any, Any]


def check_comparisons(
    report: Mapping[str, Any],
    exports: Mapping[str, Path],
    models: Mapping[str, Path | None],
    placebos: Mapping[str, Sequence[str]],
) -> list[str]:
    """Recompute every figure of the comparisons; arguments as for `recompute.check`."""
    done, plan = Check(), report["plan"]
    for one in report["comparisons"]:
        read = read_export(exports[one["encoder"]])
        sides = [
            Side(Seen(read, one[side]["release"], placebos[one[side]["release"]], models[one["encoder"]],
                      plan, plan["label_templates"]))
            for side in ("base", "new")
        ]  # fmt: skip
        here = done.at(f"{one['new']['release']} against {one['base']['release']}/{one['encoder']}")
        findings = [
            next({row["artist"]: row["finding"] for row in r["artists"]}
                 for r in report["results"] if (r["release"], r["encoder"]) == (one[s]["release"], one["encoder"]))
            for s in ("base", "new")
        ]  # fmt: skip
        for s, side in zip(("base", "new"), sides, strict=True):
            found = one["counts"]["all"][s]
            fewest = next(
                r["summary"]["fewest_findable"] for r in report["results"]
                if (r["release"], r["encoder"]) == (one[s]["release"], one["encoder"])
            )  # fmt: skip
            here.same(f"counts.all.n_placebos.{s}", found["n_placebos"], len(side.seen.placebos))
            here.same(f"counts.all.fewest_findable.{s}", found["fewest_findable"], fewest)
            here.same(f"counts.all.finds_nobody.{s}", found["finds_nobody"], fewest is None)
            (result,) = (
                r for r in report["results"]
                if (r["release"], r["encoder"]) == (one[s]["release"], one["encoder"])
            )  # fmt: skip
            here.same(f"counts.all.name_test_calls.{s}", found["name_test_calls"], name_test_calls(result))
        _comparison(here, one, sides, findings, {**plan["tests"], "seed": plan["seed"]})
    return done.problems


class Side:
    """One release of a comparison, and whether each of its pictures is named correctly."""

    def __init__(self, seen: Seen):
        self.seen = seen
        scores, asked, labels, _ = label_scores(seen, set(seen.asked) - set(seen.placebos))
        self.scores, self.labels = scores, labels
        self.named = ~np.isin(seen.asked, seen.placebos)
        self.own = scores[np.arange(len(asked)), [labels.index(name) for name in asked]]
        self.candidates = {labels[c] for c in np.flatnonzero(np.isfinite(scores[0]))}

    def right(self, artist: str, common: set[str]) -> Array:
        """Whether each own imitation is named correctly among the labels that both releases have."""
        columns = [c for c, name in enumerate(self.labels) if name in common]
        right = (self.scores[:, columns] >= self.own[:, None]).sum(axis=1) == 1
        return right[self.seen.asked[self.named] == artist]


def _comparison(here: Check, said: Row, sides: Sequence[Side], findings: Sequence[Row], tests: Row) -> None:
    asked = [set(side.seen.asked) - set(side.seen.placebos) for side in sides]
    works = set(sides[0].seen.work_artist)
    names = sorted(asked[0] & asked[1] & works)
    here.same("artists", [row["artist"] for row in said["artists"]], names)
    here.same("left_out", sorted(one["artist"] for one in said["left_out"]),
              sorted((asked[0] | asked[1] | works) - set(names)))  # fmt: skip
    here.same("n_artists", said["n_artists"], len(names))
    common = sides[0].candidates & sides[1].candidates
    placebos = sorted(set(sides[0].seen.placebos) & set(sides[1].seen.placebos))
    changes, usable = _changes(here, said, sides, names, placebos, tests)
    for row in said["artists"]:
        _artist(here.at(row["artist"]), row, sides, common, findings, tests)
        here.at(row["artist"]).same("p_accuracy", row["p_accuracy"], None)
    tested = [row for row in said["artists"] if row["p_auc"] is not None]
    for method, name in METHODS.items():
        corrected = multipletests([row["p_auc"] for row in tested], method=name)[1] if tested else []
        for row, p in zip(tested, corrected, strict=True):
            here.at(row["artist"]).same(f"p_auc_{method}", row[f"p_auc_{method}"], p)
    for figure in ("auc", "accuracy"):
        table = np.array([[row[f"{figure}_{s}"] for s in ("base", "new")] for row in said["artists"]])
        if figure == "accuracy" and sides[0].seen.model is None:
            nothing = {key: value for key, value in said["figures"][figure].items() if value not in (None, 0)}
            here.same(f"figures.{figure}", nothing, {})
            continue
        _overall(here.at(f"figures.{figure}"), said["figures"][figure], table, tests)
    _beyond(here.at("figures.auc"), said["figures"]["auc"], changes, usable, sides, tests)
    for key in ("p", "placebo_change", "beyond", "beyond_low", "beyond_high"):
        here.at("figures.accuracy").same(key, said["figures"]["accuracy"][key], None)
    for key in ("n_beyond", "n_placebos"):
        here.at("figures.accuracy").same(key, said["figures"]["accuracy"][key], 0)
    resolutions = [1 / (1 + len(some)) for some in usable.values() if some]
    here.same("shifts.n_tested", said["shifts"]["n_tested"], len(resolutions))
    fewest = next(
        (
            k for k in range(1, len(resolutions) + 1)
            if (multipletests([*sorted(resolutions)[:k], *[1.0] * (len(resolutions) - k)],
                              method=METHODS[tests["adjust"]])[1] <= tests["level"] * (1 + 1e-12)).sum() >= k
        ),
        None,
    )  # fmt: skip
    here.same("shifts.fewest_findable", said["shifts"]["fewest_findable"], fewest)
    for way, sign in (("risen", 1), ("fallen", -1)):
        called = [row["artist"] for row in said["artists"] if row["p_auc"] is not None and row["auc_beyond"] * sign > 0
                  and row[f"p_auc_{tests['adjust']}"] <= tests["level"] * (1 + 1e-12)]  # fmt: skip
        here.same(f"shifts.{way}", said["shifts"][way], called)
    counts = said["counts"]
    for side, found in zip(("base", "new"), findings, strict=True):
        compared, everybody = [found[name] for name in names], counts["all"][side]
        for key, listed in (("", compared), ("all.", list(found.values()))):
            one = everybody if key else {what: counts[what][side] for what in ("significant", "findings")}
            here.same(
                f"counts.{key}significant.{side}", one["significant"], sum(f in SIGNIFICANT for f in listed)
            )
            here.same(f"counts.{key}findings.{side}", one["findings"], dict(Counter(listed)))
        n_tested = sum(finding != "not tested" for finding in found.values())
        here.same(f"counts.all.n.{side}", counts["all"][side]["n"], n_tested)
    changed = [{"artist": n, "from": findings[0][n], "to": findings[1][n]} for n in names
               if findings[0][n] != findings[1][n]]  # fmt: skip
    here.same("counts.changed", counts["changed"], changed)
    only_new = sorted(n for n, finding in findings[1].items() if n not in names and finding != "not tested")
    here.same("counts.not_compared", counts["not_compared"], only_new)


# One artist


class Design:
    """The exchange and resampling that prompts and seeds of two sets allow, in the order of both."""

    def __init__(self, prompts: Pair, seeds: Pair):
        self.order = [
            sorted(range(len(p)), key=lambda k: (p[k], s[k])) for p, s in zip(prompts, seeds, strict=True)
        ]
        self.prompts = [[p[k] for k in order] for p, order in zip(prompts, self.order, strict=True)]
        ordered = [[s[k] for k in order] for s, order in zip(seeds, self.order, strict=True)]
        kinds = [sorted(set(p)) for p in self.prompts]
        sizes = [len(p) for p in self.prompts]
        repeated = any(len(k) < n for k, n in zip(kinds, sizes, strict=True))
        enough = min(map(len, kinds)) >= FEWEST_PROMPTS
        keys = list(zip(self.prompts[0], ordered[0], strict=True))
        matched = ordered[0] == ordered[1] and min(ordered[0]) >= 0 and len(set(keys)) == len(keys)
        self.held_fixed, self.approximate = repeated and not enough, False
        by_prompt = [[k.index(one) for one in p] for k, p in zip(kinds, self.prompts, strict=True)]
        by_picture = [list(range(n)) for n in sizes]
        if self.prompts[0] == self.prompts[1] and (not repeated or matched):
            self.name, self.joint = "pairs", True
            self.units = by_prompt if repeated and enough else by_picture
        elif kinds[0] == kinds[1]:
            self.name, self.joint = "pictures within prompts", enough
            self.units = by_prompt if enough else by_picture
        else:
            self.name, self.joint = "prompts" if repeated else "pictures", False
            self.units = by_prompt if enough else by_picture
            times = {n for p in self.prompts for n in Counter(p).values()}
            self.approximate = repeated and len(times) > 1
        self.n_units = [len(set(units)) for units in self.units]

    def p(self, base: Array, new: Array, n_resamples: int) -> Any:
        """Two-sided p of the exchange: a number if all exchanges can be enumerated, otherwise a window."""
        if self.name == "pairs":
            return _flips(new - base, n_resamples)
        strata = [np.unique(p, return_inverse=True)[1] for p in self.prompts]
        if self.name == "prompts":
            base, new = (
                np.array([values[s == k].mean() for k in range(s.max() + 1)])
                for values, s in zip((base, new), strata, strict=True)
            )
        if self.name != "pictures within prompts" or strata[0].max() == 0:
            strata = [np.zeros(len(base), int), np.zeros(len(new), int)]
        return _exchanged(base, new, strata, n_resamples, exact=self.name != "pictures within prompts"
                          or len(set(self.prompts[0])) == 1)  # fmt: skip


def _flips(differences: Array, n_resamples: int) -> Any:
    """Enumerate both signs of every difference; count means as large as the true one, or larger."""
    n, observed = len(differences), abs(differences.mean())
    tie = 1e-13 * np.abs(differences).mean()
    if 2**n <= n_resamples + 1:
        signs = np.array(list(itertools.product((1, -1), repeat=n)))
        return float((np.abs(signs @ differences / n) >= observed - tie).mean())
    drawn = np.random.default_rng(8).choice((-1, 1), (20_000, n)) @ differences / n
    return p_window(float((np.abs(drawn) >= observed - tie).mean()), len(drawn), n_resamples)


def _exchanged(base: Array, new: Array, strata: Sequence[Array], n_resamples: int, *, exact: bool) -> Any:
    """Exchange labels within strata; twice the smaller tail."""
    values, where = np.concatenate([base, new]), np.concatenate(strata)
    is_new = np.arange(len(values)) >= len(base)
    observed = new.mean() - base.mean()
    tie = 1e-13 * max(1e-300, np.abs(values).max())
    if exact and math.comb(len(values), len(new)) <= n_resamples + 1:
        labels = [
            np.isin(np.arange(len(values)), c) for c in itertools.combinations(range(len(values)), len(new))
        ]
    else:
        random, n_drawn = np.random.default_rng(9), 20_000
        labels = np.empty((n_drawn, len(values)), bool)
        for stratum in np.unique(where):
            mine = np.flatnonzero(where == stratum)
            labels[:, mine] = random.permuted(np.repeat(is_new[mine][None], n_drawn, axis=0), axis=1)
        exact = False
    labels = np.array(labels, float)
    null = labels @ values / len(new) - (1 - labels) @ values / len(base)
    smaller = min((null >= observed - tie).mean(), (null <= observed + tie).mean())
    if exact:
        return min(1.0, 2 * float(smaller))
    low, high = p_window(float(smaller), len(null), n_resamples)
    return min(1.0, 2 * low), min(1.0, 2 * high)


def _artist(
    here: Check, row: Row, sides: Sequence[Side], common: set[str], findings: Sequence[Row], tests: Row
) -> None:
    name = row["artist"]
    owns = [side.seen.made[side.seen.asked == name] for side in sides]
    cells = [side.seen.cell(name) for side in sides]
    seeds = [side.seen.export.columns["seed"][rows].tolist() for side, rows in zip(sides, owns, strict=True)]
    design = Design(
        tuple(side.seen.prompts(rows) for side, rows in zip(sides, owns, strict=True)), tuple(seeds)
    )
    cells = [cell[:, order] for cell, order in zip(cells, design.order, strict=True)]
    shared = [values[order] for values, order in zip(_shared(sides, name), design.order, strict=True)]
    right = [
        side.right(name, common)[order].astype(float) for side, order in zip(sides, design.order, strict=True)
    ]
    auc, share = [cell.mean() for cell in cells], [values.mean() for values in right]
    for key, wanted in (
        ("n_works", len(cells[0])), ("n_base", cells[0].shape[1]), ("n_new", cells[1].shape[1]),
        ("auc_base", auc[0]), ("auc_new", auc[1]), ("auc_change", auc[1] - auc[0]),
        ("auc_shared_change", shared[1].mean() - shared[0].mean()),
        ("finding_base", findings[0][name]), ("finding_new", findings[1][name]), ("design", design.name),
        ("prompts_held_fixed", design.held_fixed), ("approximate", design.approximate),
    ):  # fmt: skip
        here.same(key, row[key], wanted)
    here.within(
        "p_auc_if_exchangeable", row["p_auc_if_exchangeable"], design.p(*shared, tests["n_resamples"])
    )
    ends_of = {"auc": _auc_ends(cells, design, tests)}
    if sides[0].seen.model is None:  # no artist is named
        for key in ("base", "new", "change", "low", "high"):
            here.same(f"accuracy_{key}", row[f"accuracy_{key}"], None)
        here.same("p_accuracy_if_exchangeable", row["p_accuracy_if_exchangeable"], None)
    else:
        ends_of["accuracy"] = _share_ends(right, design, tests)
        for key, value in (("base", share[0]), ("new", share[1]), ("change", share[1] - share[0])):
            here.same(f"accuracy_{key}", row[f"accuracy_{key}"], value)
        p = design.p(*right, tests["n_resamples"])
        here.within("p_accuracy_if_exchangeable", row["p_accuracy_if_exchangeable"], p)
    for figure, (low, high) in ends_of.items():
        here.within(f"{figure}_low", row[f"{figure}_low"], low)
        here.within(f"{figure}_high", row[f"{figure}_high"], high)


def _shared(sides: Sequence[Side], name: str) -> list[Array]:
    """Scores of the own imitations among both releases' imitations of other names, averaged over works."""
    tables = [side.seen.similarity[side.seen.work_artist == name] for side in sides]
    own = [side.seen.asked == name for side in sides]
    others = np.concatenate([table[:, ~mine] for table, mine in zip(tables, own, strict=True)], axis=1)[
        :, None, :
    ]
    mine = [table[:, some][:, :, None] for table, some in zip(tables, own, strict=True)]
    return [((m > others).mean(axis=2) + (m == others).mean(axis=2) / 2).mean(axis=0) for m in mine]


def _auc_ends(cells: Sequence[Array], design: Design, tests: Row) -> Pair:
    """Draw works once for both releases, and common prompts or pairs too."""
    n_works, least = len(cells[0]), min(design.n_units)
    if min(n_works, least) < 2:
        return math.nan, math.nan
    many = DRAWN * tests["n_resamples"]
    rows, first = unit_counts(n_works, many), unit_counts(design.n_units[0], many)
    second = first if design.joint else unit_counts(design.n_units[1], many)
    drawn = [
        weighted_means(cell, rows, counts[:, units])
        for cell, counts, units in zip(cells, (first, second), design.units, strict=True)
    ]
    tail = widened(tests, min(n_works, least))
    if min(np.ptp(one) for one in drawn) > 1e-12:
        return ends(drawn[1] - drawn[0], tail, tests["n_resamples"])
    own = [
        ends(one, tail, tests["n_resamples"]) if np.ptp(one) > 1e-12
        else clopper_pearson(cell.mean() * min(n_works, n), min(n_works, n), tests["confidence_level"])
        for one, cell, n in zip(drawn, cells, design.n_units, strict=True)
    ]  # fmt: skip
    return squares([cell.mean() for cell in cells], own, 0.0)


def _share_ends(right: Sequence[Array], design: Design, tests: Row) -> Pair:
    """Square and add of the releases' own intervals (Newcombe 1998), with the correlation of paired units."""
    own = []
    for values, units, n in zip(right, design.units, design.n_units, strict=True):
        if n == len(values):
            own.append(clopper_pearson(values.sum(), n, tests["confidence_level"]))
        elif n == 1:
            return math.nan, math.nan
        else:
            own.append(accuracy_ends(values, list(units), tests["confidence_level"]))
    phi = 0.0
    if design.joint:
        a, b = (np.bincount(u, v) / np.bincount(u) for v, u in zip(right, design.units, strict=True))
        spread = a.std() * b.std()
        if spread > 1e-12:
            covariance = np.cov(a, b, bias=True)[0, 1]
            covariance = max(0.0, covariance - 1 / (2 * len(a))) if covariance > 0 else covariance
            phi = float(np.clip(covariance / spread, -1, 1))
    return squares([values.mean() for values in right], own, phi)


def squares(estimates: Sequence[float], own: Sequence[Pair], phi: float) -> Pair:
    """Newcombe's interval of a difference; a window if an end of the two intervals is one."""

    def each(end: Any) -> tuple[float, ...]:
        return end if isinstance(end, tuple) else (end,)

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a + b * b - 2 * phi * a * b))

    change = estimates[1] - estimates[0]
    (base_low, base_high), (new_low, new_high) = own
    low = [change - reach(estimates[1] - n, b - estimates[0]) for n in each(new_low) for b in each(base_high)]
    high = [
        change + reach(n - estimates[1], estimates[0] - b) for n in each(new_high) for b in each(base_low)
    ]
    return (max(-1.0, min(low)), max(-1.0, max(low))), (min(1.0, min(high)), min(1.0, max(high)))


# Over artists


def _overall(here: Check, said: Row, table: Array, tests: Row) -> None:
    """Means over artists, without draws."""
    base, new = table.T
    change, n = new - base, len(table)
    for key, wanted in (
        ("base", base.mean()), ("new", new.mean()), ("change", change.mean()), ("n_artists", n),
    ):  # fmt: skip
        here.same(key, said[key], wanted)
    for side, values in (("base", base), ("new", new)):
        part = (values.var(ddof=1) / n if n > 1 else 0.0, n - 1)
        low, high = share_ends(values.mean(), [part], n, tests["confidence_level"])
        here.same(f"{side}_low", said[f"{side}_low"], low)
        here.same(f"{side}_high", said[f"{side}_high"], high)
    low, high = _mean_ends(change, tests["confidence_level"])
    here.same("low", said["low"], low)
    here.same("high", said["high"], high)


def _mean_ends(values: Array, level: float) -> Pair:
    """Student's t; if most values are equal, Clopper-Pearson of what is above and below them, by square and add."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return math.nan, math.nan
    mode, tied = Counter(np.round(values, 9).tolist()).most_common(1)[0]
    if tied >= 2 and 2 * tied >= n and n - tied < 10:
        up, down = np.clip(values - mode, 0, 1), np.clip(mode - values, 0, 1)
        up_ends, down_ends = (clopper_pearson(part.sum(), n, level) for part in (up, down))
        low, high = squares([down.mean(), up.mean()], [down_ends, up_ends], 0.0)
        return max(-1.0, low[0] + mode), min(1.0, high[1] + mode)
    half = float(stats.sem(values) * stats.t.ppf((1 + level) / 2, n - 1))
    return max(-1.0, mean - half), min(1.0, mean + half)


# Changes beyond placebo names


def _changes(
    here: Check, said: Row, sides: Sequence[Side], names: Sequence[str], placebos: Sequence[str], tests: Row
) -> tuple[dict[tuple[str, str], float], dict[str, list[str]]]:
    """Every name's change of the AUC for every artist's works, by counting; and each artist's rank among placebos."""
    here.same("placebos", said["placebos"], placebos)
    changes = {
        (artist, name): _set_auc(sides[1], artist, name) - _set_auc(sides[0], artist, name)
        for artist in names
        for name in {artist, *names, *placebos}
    }
    designs = {
        name: ([_design(side, name) for side in sides], _paired(sides, name)) for name in (*names, *placebos)
    }
    usables: dict[str, list[str]] = {}
    for row in said["artists"]:
        artist, at = row["artist"], here.at(row["artist"])
        usable = usables[artist] = [name for name in placebos if designs[name] == designs[artist]]
        own = changes[artist, artist]
        others = np.array([changes[artist, name] for name in usable])
        at.same("n_placebos", row["n_placebos"], len(usable))
        at.same("auc_placebo_change", row["auc_placebo_change"], np.median(others) if usable else None)
        at.same("auc_beyond", row["auc_beyond"], own - np.median(others) if usable else None)
        p = None
        if usable:
            middle = np.median([own, *others])
            reached = sum(abs(other - middle) >= abs(own - middle) - 1e-9 for other in others)
            p = (1 + reached) / (1 + len(others))
            _inverted(at, row, own, others, tests["confidence_level"])
        else:
            for end in ("low", "high"):
                at.same(f"auc_beyond_{end}", row[f"auc_beyond_{end}"], None)
        at.same("p_auc", row["p_auc"], p)
        for key in ("p_accuracy", *(f"p_accuracy_{method}" for method in METHODS)):
            at.same(key, row[key], None)
        for method in METHODS if p is None else ():
            at.same(f"p_auc_{method}", row[f"p_auc_{method}"], None)
    return changes, usables


def _inverted(here: Check, row: Row, own: float, others: Array, level: float) -> None:
    """Just inside both ends of the interval a shifted own change is not rejected, just outside it is."""

    def p(value: float) -> float:
        middle = np.median([value, *others])
        return float((1 + (np.abs(others - middle) >= abs(value - middle) - 1e-12).sum()) / (1 + len(others)))

    if int((1 - level) * (len(others) + 1) + 1e-9) < 1:
        here.same("auc_beyond_low", row["auc_beyond_low"], None)
        return
    for end, outside in (("auc_beyond_low", -1e-7), ("auc_beyond_high", 1e-7)):
        inside = p(own - row[end] + outside), p(own - row[end] - outside)
        here.same(end, [one > 1 - level + 1e-12 for one in inside], [True, False])


def _design(side: Side, name: str) -> list[tuple[str, int]]:
    rows = side.seen.made[side.seen.asked == name]
    texts = side.seen.export.columns["prompt"][rows].tolist()
    return sorted(Counter(text.replace(name, "{artist}") for text in texts).items())


def _paired(sides: Sequence[Side], name: str) -> int:
    """How many pictures of a name the releases made with the same prompt and seed."""
    keys = []
    for side in sides:
        rows, columns = side.seen.made[side.seen.asked == name], side.seen.export.columns
        seeds = [-1 if columns["seed"][row] is None else columns["seed"][row] for row in rows]
        keys.append(
            Counter(
                (columns["prompt"][row], seed) for row, seed in zip(rows, seeds, strict=True) if seed >= 0
            )
        )
    return (keys[0] & keys[1]).total()


def _set_auc(side: Side, artist: str, name: str) -> float:
    seen = side.seen
    table = seen.similarity[seen.work_artist == artist]
    own, others = table[:, seen.asked == name][:, :, None], table[:, None, seen.asked != name]
    return float((own > others).mean() + (own == others).mean() / 2)


def _beyond(
    here: Check,
    said: Row,
    changes: Mapping[tuple[str, str], float],
    usable: Mapping[str, Sequence[str]],
    sides: Sequence[Side],
    tests: Row,
) -> None:
    """The mean beyond placebo names, its interval by components of variance, and its p by our own draws."""
    artists = [artist for artist, some in usable.items() if some]
    used = sorted({name for some in usable.values() for name in some})
    here.same("n_beyond", said["n_beyond"], len(artists))
    here.same("n_placebos", said["n_placebos"], len(used))
    if not artists:
        for key in ("p", "placebo_change", "beyond", "beyond_low", "beyond_high"):
            here.same(key, said[key], None)
        return

    def each(place: Mapping[str, str]) -> Array:
        own = np.array([changes[a, place[a]] for a in artists])
        return own - [np.mean([changes[a, place[s]] for s in usable[a]]) for a in artists]

    true = {name: name for name in (*artists, *used)}
    beyond = float(each(true).mean())
    here.same("beyond", said["beyond"], beyond)
    references = np.array([np.mean([changes[a, s] for s in usable[a]]) for a in artists])
    here.same("placebo_change", said["placebo_change"], references.mean())
    groups: list[set[str]] = []
    for artist in artists:
        joined = {artist, *usable[artist]}
        for group in [group for group in groups if group & joined]:
            groups.remove(group)
            joined |= group
        groups.append(joined)
    random, null = np.random.default_rng(11), []
    for _ in range(8_000):
        place = dict(true)
        for group in groups:
            names = sorted(group)
            place.update(zip(names, random.permutation(names).tolist(), strict=True))
        null.append(abs(each(place).mean()))
    here.within(
        "p", said["p"],
        p_window(float((np.array(null) >= abs(beyond) - 1e-9).mean()), len(null), tests["n_resamples"]),
    )  # fmt: skip
    n, many = len(artists), len(used)
    if n < 2 or many < 2:
        for key in ("beyond_low", "beyond_high"):
            here.same(key, said[key], None)
        return
    shares = np.array([
        sum((changes[a, s] - r) / len(usable[a]) for a, r in zip(artists, references, strict=True) if s in usable[a])
        for s in used
    ]) * many / n  # fmt: skip
    parts, dfs = [each(true).var(ddof=1) / n, shares.var(ddof=1) / many, 0.0], [n - 1.0, many - 1.0, math.inf]
    explained = _explained(sides, artists, [*artists, *used])
    if explained is not None:
        own = np.array([[one[a, a] for a in artists] for one in explained])
        placebo = np.array([[np.mean([one[a, s] for s in usable[a]]) for a in artists] for one in explained])
        by_name = np.array([
            [sum(one[a, s] / len(usable[a]) for a in artists if s in usable[a]) * many / n for s in used]
            for one in explained
        ])  # fmt: skip
        whole, n_labels = (own - placebo).mean(axis=1), len(explained)
        extra = (whole**2).sum() - (own - placebo).var(axis=1, ddof=1).sum() / n
        extra -= by_name.var(axis=1, ddof=1).sum() / many
        parts[2], dfs[2] = max(0.0, extra * n_labels / (n_labels - 1)), n_labels - 1.0
    total = sum(parts)
    df = max(min(dfs), total**2 / sum(part**2 / df for part, df in zip(parts, dfs, strict=True)))
    if min(dfs) < 4:  # fewer than five artists, names or prompts: the smallest degrees of freedom
        df = min(dfs)
    half = stats.t.ppf((1 + tests["confidence_level"]) / 2, df) * math.sqrt(total)
    here.same("beyond_low", said["beyond_low"], max(-1.0, beyond - half))
    here.same("beyond_high", said["beyond_high"], min(1.0, beyond + half))


def _explained(
    sides: Sequence[Side], artists: Sequence[str], names: Sequence[str]
) -> list[dict[tuple[str, str], float]] | None:
    """What the pictures of each shared prompt (with few prompts: prompt and seed) contribute to each change."""
    rows = []
    for number, side in enumerate(sides):
        columns = side.seen.export.columns
        for place, row in enumerate(side.seen.made.tolist()):
            name, seed = side.seen.asked[place], columns["seed"][row]
            if name in names:
                text = columns["prompt"][row].replace(name, "{artist}")
                rows.append((number, place, name, text, -1 if seed is None else int(seed)))
    if len({text for *_, text, _ in rows} - {""}) >= FEWEST_PROMPTS:
        rows = [(*row[:4], 0) for row in rows]
    known = [row for row in rows if row[3] and row[4] >= 0]
    times = Counter(row[3:] for row in known)
    labels = sorted(label for label, n in times.items() if n > 1)
    if len(labels) < 2:
        return None
    out = [dict.fromkeys(itertools.product(artists, names), 0.0) for _ in labels]
    for artist in artists:
        for number, side in enumerate(sides):
            seen = side.seen
            table = seen.similarity[seen.work_artist == artist]
            score = (stats.rankdata(table, axis=1)).mean(axis=0)
            for name in names:
                own = seen.asked == name
                values = (score - score[own].mean()) / ((len(own) - own.sum()) * own.sum())
                for which, place, other, text, seed in known:
                    if which == number and other == name and (text, seed) in labels:
                        sign = 1 if number else -1
                        out[labels.index((text, seed))][artist, name] += sign * values[place]
    return out
