"""Classification, recomputed: the names of the imitations and their uncertainty; see `recompute`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from scipy import stats
from sklearn.metrics import confusion_matrix
from statsmodels.stats.multitest import multipletests

from tests.support.recompute_draws import (
    Check,
    assignment,
    clopper_pearson,
    jackknife,
    mean_of_artists,
    share_ends,
)
from tests.support.recompute_whitening import half_terms
from tests.support.recompute_world import METHODS, Array, Row, Seen, prompt_clusters, text_vectors

NAMED_SUMMARY = (
    "accuracy", "accuracy_low", "accuracy_high", "accuracy_chance", "accuracy_top5", "accuracy_top5_chance",
    "generic_share", "p_accuracy",
)  # fmt: skip
NAMED_ROW = (
    "top1", "top1_low", "top1_high", "top5", "p_named", "p_named_adjusted", "placebo_share", "p_chance_if_independent",
    "p_generic_if_independent", "confused_with",
)  # fmt: skip
"""Figures by name, which an encoder without a text side has none of."""


def label_scores(
    seen: Seen, names_asked: Collection[str]
) -> tuple[Array, Array, list[str], dict[str, Array]]:
    """Scores of the pictures of these names, the names, the labels, and the scores with each template alone.

    Candidates are all artists with works, and all names in the prompts of the release except placebo names. Without a
    text side, pictures are scored by works, the labels are the artists, and candidates are those with works.
    """
    if seen.model is None:
        return works_scores(seen, names_asked)
    made = seen.made[np.isin(seen.asked, list(names_asked))]
    export, generic = seen.export, list(seen.plan["labels"])
    stored = export.vectors if export.stored is None else export.stored
    asked, names = export.columns["artist"][made], export.names
    texts = [template.replace("{artist}", name) for template in seen.templates for name in names]
    vectors = text_vectors(seen.model, (*texts, *generic))
    parts = vectors[: len(texts)].reshape(len(seen.templates), len(names), -1)
    mean = parts[0]
    if len(parts) > 1:
        mean = parts.sum(axis=0)
        mean = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float16).astype(np.float64)
    with_works = set(export.columns["artist"][export.where("works", "background")])
    candidate = [name in (with_works | set(seen.asked)) - set(seen.placebos) for name in names]
    candidate += [True] * len(generic)

    def scored(by_name: Array) -> Array:
        table = stored[made] @ np.concatenate([by_name, vectors[len(texts) :]]).T
        return np.where(candidate, table, -np.inf)

    alone = {template: scored(part) for template, part in zip(seen.templates, parts, strict=True)}
    return scored(mean), asked, [*names, *generic], alone


def classification(here: Check, seen: Seen, result: Row, rows: Mapping[str, Row]) -> None:
    """Check the names of the imitations and their uncertainty; without a text side, the artists of nearest works."""
    names = sorted(rows, key=seen.export.names.index)
    by_works = prototypes(seen, names)
    here.same("summary.accuracy_by_works", result["summary"]["accuracy_by_works"], by_works.mean())
    for name, row in rows.items():
        here.same(f"{name}.top1_by_works", row["top1_by_works"], by_works[names.index(name)])
    if seen.model is not None:
        here.same("by_works", result.get("by_works"), None)
        _classified(here, seen, result, result["summary"], rows)
        return
    for key in NAMED_SUMMARY:
        here.same(f"summary.{key}", result["summary"][key], None)
    here.same("summary.counts", [result["summary"][key] for key in ("n_classified", "n_labels")], [0, 0])
    here.same("summary.templates_top1", result["summary"]["templates_top1"], {})
    here.same("confusion", result["confusion"], {"rows": [], "columns": [], "n_generic": 0, "counts": []})
    here.same("label_curve", result["label_curve"], None)
    for name, row in rows.items():
        for key in NAMED_ROW:
            here.same(f"{name}.{key}", row[key], None)
    found = result["by_works"]
    here.same("by_works.artists", [row["artist"] for row in found["artists"]], list(rows))
    _classified(here.at("by_works"), seen, found, found, {row["artist"]: row for row in found["artists"]})


def _classified(here: Check, seen: Seen, result: Row, summary: Row, rows: Mapping[str, Row]) -> None:
    scores, asked, labels, alone = label_scores(seen, rows)
    truth = np.array([labels.index(name) for name in asked])
    by_name = seen.model is not None
    tests, n_generic = seen.plan["tests"], len(seen.plan["labels"]) * by_name
    own = scores[np.arange(len(truth)), truth]
    rank, n_labels = (scores >= own[:, None]).sum(axis=1), int(np.isfinite(scores[0]).sum())
    right, predicted, chance = rank == 1, scores.argmax(axis=1), 1 / n_labels
    names = sorted(set(asked), key=labels.index)
    counts = confusion_matrix(truth, predicted, labels=np.arange(len(labels)))
    here.same("summary.n_classified", summary["n_classified"], len(asked))
    here.same("summary.n_labels", summary["n_labels"], n_labels)
    shares = {k: np.array([(rank[asked == name] <= k).mean() for name in names]) for k in (1, 5)}
    for key, wanted in (
        ("accuracy", shares[1].mean()), ("accuracy_top5", shares[5].mean()), ("accuracy_chance", chance),
        ("accuracy_top5_chance", min(1, 5 * chance)),
    ):  # fmt: skip
        here.same(f"summary.{key}", summary[key], wanted)
    if by_name:
        generic_share = (predicted >= len(labels) - n_generic).mean()
        here.same("summary.generic_share", summary["generic_share"], generic_share)
        several = alone if len(alone) > 1 else {}
        here.same("summary.templates_top1", set(summary["templates_top1"]), set(several))
        for template, table in several.items():
            wanted = (table >= table[np.arange(len(truth)), truth][:, None]).sum(axis=1) == 1
            here.same(
                f"summary.templates_top1.{template}", summary["templates_top1"][template], wanted.mean()
            )
    else:
        here.same("summary.n_unscored", summary["n_unscored"], 0)
        here.same("summary.method", summary["method"], "by works, prototype")
    p_chance = [stats.binomtest(int(right[asked == n].sum()), int((asked == n).sum()), chance, "greater").pvalue
                for n in names]  # fmt: skip
    named = named_against_placebos(seen, rows)
    adjusted = dict.fromkeys(names)
    if seen.placebos:
        p_named = {name: row["p_named"] for name, row in named.items() if row["p_named"] is not None}
        corrected = multipletests(list(p_named.values()), method=METHODS[tests["adjust"]])[1]
        adjusted |= dict(zip(p_named, corrected, strict=True))
    for name, row in rows.items():
        mine, line = asked == name, counts[labels.index(name)].copy()
        generic = int(line[len(labels) - n_generic :].sum()) if n_generic else 0
        line[labels.index(name)] = 0
        place = names.index(name)
        n_right = int(right[mine].sum())
        wanted = {
            "top1": shares[1][place], "top5": shares[5][place], "p_chance_if_independent": p_chance[place],
            **named[name], "p_named_adjusted": adjusted[name],
            "confused_with": labels[line.argmax()] if line.any() else "",
        }  # fmt: skip
        if by_name:
            p = (
                stats.binomtest(n_right, n_right + generic, 0.5, "greater").pvalue
                if n_right + generic
                else 1.0
            )
            wanted["p_generic_if_independent"] = p
        else:
            wanted["n"] = int(mine.sum())
        for key, value in wanted.items():
            here.same(f"{name}.{key}", row[key], value)
        clusters = prompt_clusters(seen.prompts(seen.made[seen.asked == name]))[0]
        low, high = accuracy_ends(right[mine], clusters, tests["confidence_level"])
        here.same(f"{name}.top1_low", row["top1_low"], low)
        here.same(f"{name}.top1_high", row["top1_high"], high)
    _confusion(here.at("confusion"), result["confusion"], counts, labels, n_generic, list(rows))
    _label_curve(here.at("label_curve"), result["label_curve"], scores, truth, asked, n_generic)
    pictures = {name: right[asked == name] * 1.0 for name in names}
    shared = {name: seen.shared(seen.made[seen.asked == name]) for name in names}
    floor = sum(some.mean() * (1 - some.mean()) / len(some) for some in pictures.values()) / len(names) ** 2
    low, high = mean_of_artists(pictures, shared, tests["confidence_level"], floor)
    here.same("summary.accuracy_low", summary["accuracy_low"], low)
    here.same("summary.accuracy_high", summary["accuracy_high"], high)
    places = [labels.index(name) for name in names]
    table = counts[np.ix_(places, places)] / counts[places].sum(axis=1, keepdims=True)
    here.within("summary.p_accuracy", summary["p_accuracy"], assignment(table.T, tests["n_resamples"]))


def named_against_placebos(seen: Seen, names: Collection[str]) -> dict[str, Row]:
    """How often the placebo names' pictures are named as each artist, and the rank of the own set among theirs."""
    if not seen.placebos:
        return {name: {"p_named": None, "placebo_share": None} for name in names}
    scores, asked, labels, _ = label_scores(seen, {*names, *seen.placebos})
    best = scores == scores.max(axis=1, keepdims=True)
    found = {}
    for name in names:
        chosen = best[:, labels.index(name)]
        own = (chosen & (best.sum(axis=1) == 1))[asked == name].sum()
        like = [placebo for placebo in seen.placebos if seen.design(placebo) == seen.design(name)]
        others = [chosen[asked == placebo].sum() for placebo in like]
        bias = (chosen / best.sum(axis=1))[np.isin(asked, seen.placebos)].mean()
        p = (1 + sum(n >= own for n in others)) / (1 + len(others)) if others else None
        found[name] = {"p_named": p, "placebo_share": bias}
    return found


def works_scores(
    seen: Seen, names_asked: Collection[str]
) -> tuple[Array, Array, list[str], dict[str, Array]]:
    """Cosines of the pictures of these names to the mean of each artist's works; -inf without works."""
    export, known = seen.export, seen.export.where("works", "background")
    made = seen.made[np.isin(seen.asked, list(names_asked))]
    maker = export.columns["artist"][known]
    scores = np.full((len(made), len(export.names)), -np.inf)
    for name in sorted(set(maker)):
        some = export.vectors[known[maker == name]]
        mean = some.sum(axis=0)
        mean = (
            some[0] if len(some) == 1 else (mean / np.linalg.norm(mean)).astype(np.float16).astype(np.float64)
        )
        scores[:, export.names.index(name)] = export.vectors[made] @ mean
        if seen.csls_k:
            others = export.vectors[known[maker != name]]
            scores[:, export.names.index(name)] -= half_terms(mean[None], others, seen.csls_k)
    return scores, export.columns["artist"][made], export.names, {}


def prototypes(seen: Seen, names: Sequence[str]) -> Array:
    """The share of each name's pictures whose nearest mean of works is its own; 0 without works."""
    scores, asked, labels, _ = works_scores(seen, names)
    shares = np.zeros(len(names))
    for place, name in enumerate(names):
        table = scores[asked == name]
        own = table[:, [labels.index(name)]]
        if np.isfinite(own).all():
            shares[place] = ((table >= own).sum(axis=1) == 1).mean()
    return shares


def accuracy_ends(right: Array, clusters: list[int] | None, level: float) -> tuple[float, float]:
    """The interval of an accuracy: Clopper-Pearson, or over prompts, but no narrower than for independent pictures."""
    n = len(right)
    if clusters is None or len(set(clusters)) == n:
        return clopper_pearson(right.sum(), n, level)
    sums, sizes = (np.bincount(clusters, weights) for weights in (right * 1.0, np.ones(n)))
    p, (variance, df) = right.mean(), jackknife(right.sum(), n, sums, sizes)
    return share_ends(float(p), [(max(variance, p * (1 - p) / n), df)], df + 1, level)


def _confusion(
    here: Check, said: Row, counts: Array, labels: list[str], n_generic: int, rows: list[str]
) -> None:
    first = len(labels) - n_generic
    table = counts[[labels.index(name) for name in rows]]
    others = [labels[c] for c in range(first) if labels[c] not in rows and table[:, c].any()]
    columns = [*rows, *others, *labels[first:]]
    for key, wanted in (
        ("rows", rows), ("columns", columns), ("n_generic", n_generic),
        ("counts", table[:, [labels.index(name) for name in columns]].tolist()),
    ):  # fmt: skip
        here.same(key, said[key], wanted)


def _label_curve(here: Check, said: Row, scores: Array, truth: Array, asked: Array, n_generic: int) -> None:
    """Probability that the true one of c candidates scores higher than c - 1 random others: hypergeometric."""
    n_names = scores.shape[1] - n_generic
    own = scores[np.arange(len(truth)), truth][:, None]
    above = (scores[:, :n_names] >= own).sum(axis=1) - 1
    others = int(np.isfinite(scores[0, :n_names]).sum()) - 1
    blocked = (scores[:, n_names:] >= own).any(axis=1)
    here.same("counts, ends", [said["counts"][0], said["counts"][-1]], [2, others + 1])
    if others < 21:
        here.same("counts", said["counts"], list(range(2, others + 2)))
    for place, count in enumerate(said["counts"]):
        none = np.where(blocked, 0.0, stats.hypergeom.pmf(0, others, above, count - 1))
        macro = np.mean([none[asked == name].mean() for name in sorted(set(asked))])
        here.same(f"top1.{count}", said["top1"][place], none.mean())
        here.same(f"macro_top1.{count}", said["macro_top1"][place], macro)
        here.same(f"chance.{count}", said["chance"][place], 1 / (count + n_generic))
