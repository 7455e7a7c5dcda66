"""The findings by all encoders together, recomputed set by set; see `recompute`."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from tests.support.recompute_draws import Check
from tests.support.recompute_matching import FEWEST_WORKS, TOLD, Sets, _adjusted, _findings
from tests.support.recompute_world import SIGNIFICANT, Array, Row

STEPS = 17


@dataclass(frozen=True)
class ByEncoder:
    """What one encoder gave for a release: its sets, and the figures of each artist that `matching` recomputed."""

    encoder: str
    sets: Sets
    found: Mapping[str, Row]

    def tells(self, artist: str) -> bool | None:
        row = self.found[artist]
        if row["n_distinct_works"] < FEWEST_WORKS or row["p_told"] is None:
            return None
        return bool(row["p_told"] <= TOLD)

    def score(self, artist: str, name: str) -> float:
        return float(self.sets.odds[artist][self.sets.seen.asked == name].mean())

    def fits(self, artist: str) -> set[str]:
        """Names whose sets have the design of the artist's, without the artist."""
        sets = self.sets
        return {
            s for s, n in sets.sizes.items()
            if s != artist and n >= sets.size and sets.design[s] == sets.design[artist]
        }  # fmt: skip


def combined_findings(
    done: Check, report: Mapping[str, Any], parts: Mapping[str, Sequence[ByEncoder]]
) -> None:
    """Check the findings by all encoders together, of every release."""
    if len(report["encoders"]) < 2:
        done.same("combined", "combined" in report, False)
        return
    done.same("combined, releases", [c["release"] for c in report["combined"]], list(parts))
    tests, family = report["plan"]["tests"], []
    for said in report["combined"]:
        here = done.at(f"combined.{said['release']}")
        encoders = parts[said["release"]]
        found = _release(here, said, encoders, tests)
        family += [(here, row, found[row["artist"]]) for row in said["artists"]]
    judged = [(here, row) for here, row, one in family if one["p_adjusted"] is not None]
    wide = _adjusted([row["p"] for _, row in judged], tests) if len(parts) > 1 else [None] * len(judged)
    for (here, row), value in zip(judged, wide, strict=True):
        here.same(f"{row['artist']}.p_adjusted_report", row["p_adjusted_report"], value)
    for here, row, one in family:
        if one["p_adjusted"] is None:
            here.same(f"{row['artist']}.p_adjusted_report", row["p_adjusted_report"], None)


def _release(here: Check, said: Row, encoders: Sequence[ByEncoder], tests: Row) -> dict[str, Row]:
    names = list(encoders[0].found)
    placebos = set(encoders[0].sets.seen.placebos)
    here.same("artists", [row["artist"] for row in said["artists"]], names)
    found: dict[str, Row] = {}
    nearest: dict[str, float] = {}
    closed: dict[str, dict[str, tuple[float, float]]] = {}
    for artist in names:
        found[artist], nearest[artist], closed[artist] = _artist(artist, encoders, placebos)
    fewest = _findings(found, tests, bool(placebos), nearest)
    called = [one for one in found.values() if one["finding"] in SIGNIFICANT]
    family = sum(one["p_adjusted"] is not None for one in found.values())
    level = _encoder_level(len(called), family, tests)
    counted = Counter(one["finding"] for one in found.values())
    for key, wanted in (
        ("encoders", [one.encoder for one in encoders]), ("statistics", ["lda"] * len(encoders)),
        ("combination", "normal-tail sum"), ("level", tests["level"]), ("adjust", tests["adjust"]),
        ("n_artists", len(names)), ("n_placebo_names", len(placebos)), ("family", family),
        ("fewest_findable", fewest), ("encoder_level", level),
    ):  # fmt: skip
        here.same(key, said[key], wanted)
    for label, n in said["findings"].items():
        here.same(f"findings.{label}", n, counted.pop(label, 0))
    here.same("findings, others", dict(counted), {})
    shared = set.intersection(*(set(by.sets.sizes) for by in encoders))
    for row in said["artists"]:
        artist, one = row["artist"], found[row["artist"]]
        for key in ("finding", "p_name", "p_rival", "p", "p_adjusted", "p_rival_selected", "specificity_testable",
                    "n_name_references", "n_rival_references", "resolution_name", "resolution_rival"):  # fmt: skip
            here.same(f"{artist}.{key}", row[key], one[key])
        here.same(f"{artist}.placebo_reference", row["placebo_reference"], None)
        here.same(
            f"{artist}.encoders", [p["encoder"] for p in row["encoders"]], [e.encoder for e in encoders]
        )
        for part, by in zip(row["encoders"], encoders, strict=True):
            p, p_closed = closed[artist].get(by.encoder, (None, None))
            stated = one["finding"] in SIGNIFICANT and p_closed is not None
            for key, wanted in (
                ("weight", 1.0 if by.tells(artist) and artist in shared else 0.0),
                ("finding", by.found[artist]["finding"]),
                ("auc", by.found[artist]["auc"]), ("p", p), ("p_closed", p_closed),
                ("alone", p_closed <= level * (1 + 1e-12) if stated and p_closed is not None else None),
            ):  # fmt: skip
                here.same(f"{artist}.{by.encoder}.{key}", part[key], wanted)
    here.within(
        "detectable_auc", said["detectable_auc"], _detectable(encoders, found, placebos, len(called), tests)
    )
    return found


def _artist(
    artist: str, encoders: Sequence[ByEncoder], placebos: set[str]
) -> tuple[Row, float, dict[str, tuple[float, float]]]:
    """The tests of one artist, the name p that the nearest real set would have, and p of each encoder and closed p."""
    lacking = any(artist not in one.sets.sizes for one in encoders)
    telling = [one for one in encoders if one.tells(artist) and not lacking]
    cannot = not lacking and not telling and any(one.tells(artist) is False for one in encoders)
    one: Row = {
        "n_distinct_works": FEWEST_WORKS, "p_told": 0.0 if telling else 1.0 if cannot else None,
        **dict.fromkeys(("p", "p_name", "p_rival", "resolution_name", "resolution_rival")),
        "n_name_references": 0, "n_rival_references": 0,
    }  # fmt: skip
    if not telling:
        return one, math.nan, {}
    fits = set.intersection(*(each.fits(artist) for each in telling))
    score = {s: [each.score(artist, s) for each in telling] for s in [artist, *fits]}
    invented, rivals = sorted(fits & placebos), sorted(fits - placebos)
    one |= _tests("name", score[artist], [score[s] for s in invented])
    one |= _tests("rival", score[artist], [score[s] for s in rivals])
    one["p"] = one["p_name"] if placebos else one["p_rival"]
    near = min(
        (p_value(score[s], [score[i] for i in invented]) for s in [artist, *rivals] if invented),
        default=math.nan,
    )
    references = [score[s] for s in (invented if placebos else rivals)]
    by_subset = {
        subset: p_value([score[artist][e] for e in subset], [[r[e] for e in subset] for r in references])
        for size in range(1, len(telling) + 1)
        for subset in itertools.combinations(range(len(telling)), size)
    }
    closed = {
        each.encoder: (by_subset[(e,)], max(p for subset, p in by_subset.items() if e in subset))
        for e, each in enumerate(telling)
    }
    return one, near, closed if references else {}


def _tests(kind: str, own: Sequence[float], references: Sequence[Sequence[float]]) -> Row:
    n = len(references)
    return {
        f"p_{kind}": p_value(own, references) if n else None, f"n_{kind}_references": n,
        f"resolution_{kind}": 1 / (1 + n) if n else None,
    }  # fmt: skip


def p_value(own: Sequence[float], references: Sequence[Sequence[float]]) -> float:
    """The share of the own set and the references whose sum of -log normal tails is at least the own set's."""
    if not references:
        return math.nan
    table = np.array([own, *references])  # sets x encoders
    if table.shape[1] == 1:
        total = table[:, 0]
    else:
        total = sum(-norm.logsf((column - column.mean()) / column.std()) for column in table.T)
    return float((total >= total[0] - 1e-9 * max(1.0, abs(total[0]))).mean())


def _encoder_level(n_called: int, family: int, tests: Row) -> float:
    if not n_called:
        return 0.0
    harmonic = sum(1 / k for k in range(1, family + 1))
    return float(
        tests["level"] / family * {"holm": 1, "bh": n_called, "by": n_called / harmonic}[tests["adjust"]]
    )


def _detectable(
    encoders: Sequence[ByEncoder], found: Mapping[str, Row], placebos: set[str], n_called: int, tests: Row
) -> Any:
    """The AUC by every encoder found with 80 % power. A window: the report interpolates between steps."""
    family = [name for name, one in found.items() if one["p_adjusted"] is not None]
    if not family or not placebos:
        return None
    left = [name for name in family if found[name]["finding"] not in SIGNIFICANT] or family
    n, k = len(family), min(len(family), n_called + 1)
    level = tests["level"] * {"holm": 1 / (n - k + 1), "bh": k / n,
                              "by": k / n / sum(1 / i for i in range(1, n + 1))}[tests["adjust"]]  # fmt: skip
    each = [
        _detectable_of(name, [one for one in encoders if one.tells(name)], placebos, level) for name in left
    ]
    known = [value for value in each if value is not None]
    if 2 * len(known) <= len(each):
        return None
    middle = float(np.median(known))
    return middle - 0.03, middle + 0.03


def _detectable_of(
    artist: str, telling: Sequence[ByEncoder], placebos: set[str], level: float
) -> float | None:
    fits = sorted(set.intersection(*(one.fits(artist) for one in telling)) & placebos)
    most = math.floor(level * (len(fits) + 1) + 1e-9) - 1
    if len(fits) < 5 or most < 0:
        return None
    references = [[one.score(artist, s) for one in telling] for s in fits]

    def at(auc: float) -> list[list[float]]:
        moved = [_moved(artist, one, fits, auc) for one in telling]
        return [list(scores) for scores in zip(*moved, strict=True)]

    def found_at(auc: float) -> bool:
        p = np.array([p_value(own, references) for own in at(auc)])
        return bool((p <= (1 + most) / (1 + len(fits)) + 1e-9).mean() >= 0.8)

    low, high = 0.5, 0.995
    if not found_at(high):
        return None
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (low, middle) if found_at(middle) else (middle, high)
    return high


def _moved(artist: str, one: ByEncoder, names: Sequence[str], wanted: float) -> Array:
    """Scores of the placebo sets, moved towards the artist's mean work until their mean AUC is as wanted."""
    seen, sets = one.sets.seen, one.sets
    works = seen.export.vectors[seen.works[seen.work_artist == artist]]
    towards = works.mean(axis=0) / np.linalg.norm(works.mean(axis=0))
    pictures = [seen.export.vectors[seen.made[seen.asked == s]] for s in names]
    others = np.sort(works @ seen.export.vectors[seen.made[seen.asked != artist]].T, axis=1)

    def moved(step: float) -> list[Array]:
        shifted = [each + step * towards for each in pictures]
        return [each / np.linalg.norm(each, axis=1)[:, None] for each in shifted]

    def auc(step: float) -> float:
        pairs = list(zip(others, works, strict=True))
        shares = [
            np.mean([np.searchsorted(row, each @ work).mean() / len(row) for row, work in pairs])
            for each in moved(step)
        ]
        least = 1 / (2 * len(seen.made))
        return float(norm.cdf(norm.ppf(np.clip(shares, least, 1 - least)).mean()))

    low, high = 0.0, 16.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if auc(middle) >= wanted else (middle, high)
    return np.array([sets.discriminant.odds(each)[artist].mean() for each in moved((low + high) / 2)])
