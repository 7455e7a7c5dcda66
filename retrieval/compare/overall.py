"""Figures of the same artists under two releases -> what changed over all of them, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from imindex.retrieval.evidence.testing import ADJUSTMENTS, Testing
from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.stats.intervals import Interval, finish
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust_all, called
from imindex.stats.paired import paired_difference
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64

FEW_ARTISTS = 10
DEFAULTS = Testing()
FIGURES = ("auc", "accuracy")
NOT_KNOWN = float("nan")
Row = dict[str, Any]
Findings = Mapping[str, str]


def adjusted(rows: Sequence[Row]) -> list[Row]:
    """The artists' rows with `p_auc` and `p_accuracy` adjusted over all of them, by every method."""
    out = [dict(row) for row in rows]
    for figure in FIGURES:
        found = adjust_all([row[f"p_{figure}"] for row in rows])
        for place, row in enumerate(out):
            for method in ADJUSTMENTS:
                row[f"p_{figure}_{method}"] = float(getattr(found, method)[place])
    return out


def figures(rows: Sequence[Row], testing: Testing, alternative: str) -> dict[str, dict[str, Any]]:
    """Means over artists under both releases and their paired change; the artist is the unit.

    Parameters
    ----------
    rows : sequence of dict
        With `artist`, `auc_base`, `auc_new`, `accuracy_base` and `accuracy_new`; NaN where there is none.
    testing : Testing
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release has higher figures.

    Returns
    -------
    dict
        For `auc` and `accuracy`: base, base_low, base_high, new, new_low, new_high, change, low, high, p, n_artists.
        NaN where no artist has both figures.
    """
    by_name = sorted(rows, key=lambda row: str(row["artist"]))
    return {figure: _figure(by_name, figure, testing, alternative) for figure in FIGURES}


def _figure(rows: Sequence[Row], figure: str, testing: Testing, alternative: str) -> dict[str, Any]:
    table = np.array([[row[f"{figure}_{side}"] for side in ("base", "new")] for row in rows]).reshape(-1, 2)
    both = table[np.isfinite(table).all(axis=1)]
    if not len(both):
        names = ("base", "base_low", "base_high", "new", "new_low", "new_high", "change", "low", "high", "p")
        return {**dict.fromkeys(names, NOT_KNOWN), "n_artists": 0}
    how: dict[str, Any] = {"n_resamples": testing.n_resamples, "confidence_level": testing.confidence_level}
    change = generator(testing.seed, "mean change", figure)
    found = paired_difference(both[:, 0], both[:, 1], alternative=alternative, rng=change, **how)
    before, after = (
        _over_artists(both[:, side], testing, generator(testing.seed, "mean of a release", figure, name))
        for side, name in enumerate(("base", "new"))
    )
    return {
        "base": float(both[:, 0].mean()),
        "base_low": before.low,
        "base_high": before.high,
        "new": float(both[:, 1].mean()),
        "new_low": after.low,
        "new_high": after.high,
        "change": found.estimate,
        "low": found.interval.low,
        "high": found.interval.high,
        "p": found.pvalue,
        "n_artists": found.n_artists,
    }


def _over_artists(values: Float64, testing: Testing, random: np.random.Generator) -> Interval:
    """Interval of the mean over artists: they are drawn with replacement, each with its figure."""
    n, mean = len(values), float(values.mean())
    drawn = draw_weights(n, testing.n_resamples, random) @ values / n
    without = (values.sum() - values) / (n - 1) if n > 1 else np.empty(0)
    return finish(mean, drawn, (without,), 0.5, testing.confidence_level, True).percentile


def counts(rows: Sequence[Row], base: Findings, new: Findings) -> dict[str, Any]:
    """How many artists have which finding.

    Parameters
    ----------
    rows : sequence of dict
        Of the artists compared, with `finding_base` and `finding_new`.
    base, new : mapping of str to str
        The finding of every artist under either release, also of those not compared.

    Returns
    -------
    dict
        `significant` and `findings` over the artists compared, each for base and new; `changed`, those whose finding
        is another one; `not_compared`, those tested under the new release only; `all`, the same counts for each
        release over all artists that were tested there.
    """
    compared = {row["artist"] for row in rows}
    listed = {side: [row[f"finding_{side}"] for row in rows] for side in ("base", "new")}
    return {
        "significant": {side: _significant(found) for side, found in listed.items()},
        "findings": {side: dict(Counter(found)) for side, found in listed.items()},
        "changed": [
            {"artist": row["artist"], "from": row["finding_base"], "to": row["finding_new"]}
            for row in rows
            if row["finding_base"] != row["finding_new"]
        ],
        "not_compared": sorted(
            name for name, said in new.items() if said != Finding.NOT_TESTED and name not in compared
        ),
        "all": {
            side: {
                "n": len(found) - list(found.values()).count(Finding.NOT_TESTED),
                "significant": _significant(list(found.values())),
                "findings": dict(Counter(found.values())),
            }
            for side, found in (("base", base), ("new", new))
        },
    }


def _significant(found: Sequence[str]) -> int:
    return sum(one in SIGNIFICANT for one in found)


def shifts(rows: Sequence[Row], testing: Testing) -> dict[str, list[str]]:
    """The artists whose AUC has risen, and those whose AUC has fallen, at the level after correction.

    The direction is that of the score among the same other imitations, which is what the p-value is of.
    """
    passed = called([row[f"p_auc_{testing.adjust}"] for row in rows], level=testing.level)
    return {
        "risen": [
            r["artist"] for r, one in zip(rows, passed, strict=True) if one and r["auc_shared_change"] > 0
        ],
        "fallen": [
            r["artist"] for r, one in zip(rows, passed, strict=True) if one and r["auc_shared_change"] < 0
        ],
    }


def finding(findings: Findings, artist: str) -> str:
    """An artist's finding; `not tested` where there is none."""
    return findings.get(artist, Finding.NOT_TESTED)


def conclude(
    rows: Sequence[Row], *, base: Findings, new: Findings, testing: Testing, alternative: str
) -> dict[str, Any]:
    """What a comparison says over all artists: `n_artists`, `figures`, `counts`, `shifts`, `artists` and `testing`."""
    done = adjusted(rows)
    return {
        "n_artists": len(done),
        "figures": figures(done, testing, alternative),
        "counts": counts(done, base, new),
        "shifts": shifts(done, testing) if done else {"risen": [], "fallen": []},
        "artists": done,
        "testing": asdict(testing),
        "alternative": alternative,
    }


def common_notes(result: Mapping[str, Any]) -> list[str]:
    """What the overall figures rest on, in sentences."""
    n = result["figures"]["auc"]["n_artists"]
    notes = [
        "Over artists the unit is the artist: intervals and p are for artists such as these, asked in the same way."
    ]
    if n < FEW_ARTISTS:
        notes.append(f"With {n} artists the intervals over artists are too narrow.")
    if n and 2.0 ** (1 - n) > result["testing"]["level"]:
        notes.append(f"With {n} artists no two-sided p over artists can be below {2.0 ** (1 - n):.3g}.")
    more = result["counts"]["not_compared"]
    if more:
        notes.append(
            f"Tested in NEW and not compared: {', '.join(more)}. A gate on a count against a number counts them, one "
            "against base does not."
        )
    return notes
