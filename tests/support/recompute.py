"""The figures of an audit's report, recomputed by other means: NumPy, SciPy, scikit-learn, statsmodels, Pillow.

Nothing here imports `retrieval` or `stats`. The inputs are available to every user: report.json, the folder that
`imindex export` writes, the pictures, and the encoder's folder, from which open_clip encodes texts. Definitions follow
stats/METHODS.md and the docstrings. Figures that depend on random draws are drawn again and must lie where such draws
fall; all others must be equal to 1e-9. `check` returns the differences, each with its location in the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from statsmodels.stats.multitest import multipletests

from tests.support.recompute_combined import ByEncoder, combined_findings
from tests.support.recompute_copies import near_copies
from tests.support.recompute_draws import Check
from tests.support.recompute_matching import Gaps, matching
from tests.support.recompute_naming import classification
from tests.support.recompute_world import METHODS, Export, Row, Seen, read_export


def check(
    report: Mapping[str, Any],
    exports: Mapping[str, Path],
    models: Mapping[str, Path | None],
    tested: Sequence[str],
    placebos: Mapping[str, Sequence[str]],
) -> list[str]:
    """Recompute every figure of the results; return the differences.

    Parameters
    ----------
    report : mapping
        report.json.
    exports, models : mapping of encoder to Path
        The folder of `imindex export`; the folder that open_clip loads, or None for an encoder without a text side.
    tested : sequence of str
    placebos : mapping of release to names
    """
    done, plan = Check(), report["plan"]
    done.same("plan.artists", plan["artists"], list(tested))
    read = {name: read_export(folder) for name, folder in exports.items()}
    gaps = {name: Gaps(export) for name, export in read.items()}
    parts: dict[str, list[ByEncoder]] = {}
    for result in report["results"]:
        release, encoder = result["release"], result["encoder"]
        seen = Seen(read[encoder], release, placebos[release], models[encoder], plan,
                    plan["label_templates"])  # fmt: skip
        here = done.at(f"{release}/{encoder}")
        rows = {row["artist"]: row for row in result["artists"]}
        here.same("artists", list(rows), list(tested))
        classification(here, seen, result, rows)
        sets, found = matching(here, seen, gaps[encoder], result, rows)
        parts.setdefault(release, []).append(ByEncoder(encoder, sets, found))
        galleries(here, seen, rows)
        near_copies(here, seen, result, rows, len(report["results"]))
    for one in report["releases"]:
        _release(done.at(f"releases.{one['name']}"), one, next(iter(read.values())), placebos[one["name"]])
    for release, text in zip(report["releases"], report["answer"], strict=True):
        first = next(r for r in report["results"] if r["release"] == release["name"])
        share = (first["by_works"] if first.get("by_works") else first["summary"])["accuracy"]
        for figure in (f"{100 * share:.1f} %", f"{first['summary']['auc']:.2f}"):
            done.same(f"answer.{release['name']}: {figure}", figure in text, True)
    combined_findings(done, report, {r["name"]: parts[r["name"]] for r in report["releases"]})
    _agreement(done.at("agreement"), report)
    _report_wide(done, report)
    return done.problems


# Galleries


def galleries(here: Check, seen: Seen, rows: Mapping[str, Row]) -> None:
    """Check histograms of ranks, and works with their nearest own imitation."""
    paths, prompts, seeds = (seen.export.columns[key] for key in ("path", "prompt", "seed"))
    for name, row in rows.items():
        mine, own = np.flatnonzero(seen.work_artist == name), seen.asked == name
        table = seen.similarity[mine]
        nearer = 1 - seen.cell(name)
        n = int((~own).sum())
        bins = np.minimum(np.rint(nearer * 2 * n).astype(int) * 20 // (2 * n), 19)
        here.same(
            f"{name}.rank_histogram", row["rank_histogram"], np.bincount(bins.ravel(), minlength=20).tolist()
        )
        best = np.where(own, table, -np.inf).argmax(axis=1)
        cosine = table[np.arange(len(mine)), best]
        rank = (table[:, ~own] >= cosine[:, None]).sum(axis=1) + 1
        order = sorted(range(len(mine)), key=lambda w: (rank[w], -cosine[w], w))
        some = min(6, len(order))
        chosen = [order[round(k * (len(order) - 1) / max(1, some - 1))] for k in range(some)]
        here.same(f"{name}.neighbours, number", len(row["neighbours"]), some)
        for place, (said, work) in enumerate(zip(row["neighbours"], chosen, strict=False)):
            made = seen.made[best[work]]
            wanted = {
                "work": paths[seen.works[mine[work]]], "imitation": paths[made], "prompt": prompts[made],
                "seed": str(int(seeds[made])), "rank": int(rank[work]), "cosine": min(float(cosine[work]), 1.0),
            }  # fmt: skip
            for key, value in wanted.items():
                here.same(f"{name}.neighbours.{place}.{key}", said[key], value)


def _release(here: Check, said: Row, export: Export, placebos: Sequence[str]) -> None:
    made = export.where("imitations", collection=said["name"])
    asked = export.columns["artist"][made]
    for key, wanted in (
        ("n_imitations", len(made)), ("n_placebo_names", len(placebos)),
        ("n_placebo_pictures", int(np.isin(asked, placebos).sum())),
        ("n_controls", len(export.where("control", collection=said["name"]))),
    ):  # fmt: skip
        here.same(key, said[key], wanted)


def _report_wide(done: Check, report: Mapping[str, Any]) -> None:
    """Adjust the p-values over all results together."""
    rows = [(f"{r['release']}/{r['encoder']}", row) for r in report["results"] for row in r["artists"]]
    family = [(place, row) for place, row in rows if row["p_adjusted"] is not None]
    adjusted = dict.fromkeys(range(len(rows)))
    if len(report["results"]) > 1 and family:
        method = METHODS[report["plan"]["tests"]["adjust"]]
        adjusted = dict(enumerate(multipletests([row["p"] for _, row in family], method=method)[1].tolist()))
    for number, (place, row) in enumerate(family):
        done.at(place).same(f"{row['artist']}.p_adjusted_report", row["p_adjusted_report"], adjusted[number])
    for place, row in rows:
        if row["p_adjusted"] is None:
            done.at(place).same(f"{row['artist']}.p_adjusted_report", row["p_adjusted_report"], None)


def _agreement(here: Check, report: Mapping[str, Any]) -> None:
    """Count how many artists that every encoder can judge have the same finding."""
    encoders = [one["name"] for one in report["encoders"]]
    if len(encoders) < 2:
        here.same("", report["agreement"], None)
        return
    here.same(
        "releases", [a["release"] for a in report["agreement"]], [r["name"] for r in report["releases"]]
    )
    for said in report["agreement"]:
        own = [r for r in report["results"] if r["release"] == said["release"]]
        found = list(zip(*([row["finding"] for row in r["artists"]] for r in own), strict=True))
        judged = [not {"this encoder cannot tell", "not tested"} & set(one) for one in found]
        agree = [len(set(one)) == 1 for one in found]
        n, same = sum(judged), sum(j and a for j, a in zip(judged, agree, strict=True))
        for key, wanted in (
            ("encoders", encoders), ("n_judged", n), ("n_agree", same), ("share", same / n if n else None),
        ):  # fmt: skip
            here.same(f"{said['release']}.{key}", said[key], wanted)
        for one, findings, j, a in zip(said["artists"], found, judged, agree, strict=True):
            here.same(f"{said['release']}.{one['artist']}", [one["findings"], one["agree"]],
                      [list(findings), a if j else None])  # fmt: skip
