"""What an audit found of a release by an encoder -> one row an artist and a summary, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from imindex.retrieval.findings import UNJUDGED, Finding

NOT_MATCHED = "not in the index"
_MATCHED = (
    "auc", "auc_low", "auc_high", "p_name", "p_rival", "p", "n_name_references", "n_rival_references",
    "resolution_name", "resolution_rival", "gap", "gap_low", "gap_high", "gap_class", "ceiling_auc",
    "floor_placebo", "floor_control", "p_differs", "prompts_held_fixed",
)  # fmt: skip
_NAMED = ("top1", "top1_low", "top1_high", "top5", "p_chance", "p_generic", "confused_with")
_PAIR = (
    "artist", "imitation", "prompt", "seed", "work", "work_artist", "cosine", "composition", "series", "same_bytes",
    "copy",
)  # fmt: skip
_NEIGHBOUR = ("work", "imitation", "prompt", "seed", "rank", "cosine")
Row = dict[str, Any]
Result = Mapping[str, Any]


def result_of(raw: Result, artists: Sequence[str]) -> dict[str, Any]:
    """One release by one encoder.

    Parameters
    ----------
    raw : mapping
        An entry of `results` of what the audit hands over.
    artists : sequence of str
        Those tested, each of whom gets a row.

    Returns
    -------
    dict
        release, encoder, summary, artists, confusion, label_curve and copies, as report.schema.json describes them.
    """
    rows = [_row(raw, artist) for artist in artists]
    method = raw["classification"]["methods"][0]
    curve = (method.get("evidence") or {}).get("by_label_count")
    return {
        "release": raw["release"],
        "encoder": raw["encoder"],
        "summary": _summary(raw, rows),
        "artists": rows,
        "confusion": _confusion(method, artists),
        "label_curve": curve,
        "copies": _copies(raw["copies"]),
    }


def _row(raw: Result, artist: str) -> Row:
    matching, named = raw["matching"], raw["classification"]
    adjust = (matching.get("evidence") or {}).get("adjust", "holm")
    matched = _find(matching["artists"], artist)
    by_name = _find(named["methods"][0]["artists"], artist)
    by_works = _find(raw["by_works"]["methods"][0]["artists"], artist) if raw.get("by_works") else {}
    copied = [pair for pair in raw["copies"]["pairs"] if pair["artist"] == artist]
    return {
        "artist": artist,
        "finding": matched.get("finding", Finding.NOT_TESTED),
        "status": matched.get("status", NOT_MATCHED),
        "n_works": matched.get("n_works", 0),
        "n_imitations": matched.get("n_imitations", 0),
        **{key: by_name.get(key) for key in _NAMED},
        "p_chance_adjusted": by_name.get(f"p_chance_{adjust}"),
        "top1_by_works": by_works.get("top1"),
        **{key: matched.get(key) for key in _MATCHED},
        "p_name_adjusted": matched.get(f"p_name_{adjust}"),
        "p_adjusted": matched.get(f"p_{adjust}"),
        "copies": sum(bool(pair.get("copy", True)) for pair in copied),
        "rank_histogram": raw["rank_histogram"].get(artist),
        "neighbours": [
            {key: one.get(key) for key in _NEIGHBOUR} for one in raw["neighbours"].get(artist, ())
        ],
    }


def _find(listed: Sequence[Result], artist: str) -> Result:
    return next((one for one in listed if one["artist"] == artist), {})


def _summary(raw: Result, rows: Sequence[Row]) -> dict[str, Any]:
    named, matching = raw["classification"]["methods"][0], raw["matching"]
    evidence, tested = named.get("evidence") or {}, matching.get("evidence") or {}
    overall, macro = tested.get("overall") or {}, evidence.get("macro") or {}
    by_works = raw["by_works"]["methods"][0] if raw.get("by_works") else {}
    found = Counter(row["finding"] for row in rows)
    return {
        "n_artists": len(rows),
        "n_tested": overall.get("n_tested"),
        "n_works": matching["n_works"],
        "n_ranked": matching["n_imitations"],
        "n_repeated": matching.get("n_repeated_works", 0) + matching.get("n_repeated_imitations", 0),
        "n_classified": raw["classification"]["n"],
        "n_labels": named["n_labels"],
        "n_placebo_names": len(tested.get("placebos", ())),
        "findings": {label: found[label] for label in Finding},
        "accuracy": named["macro_top1"],
        "accuracy_low": macro.get("top1_low"),
        "accuracy_high": macro.get("top1_high"),
        "accuracy_chance": named["macro_chance_top1"],
        "accuracy_top5": named["macro_top5"],
        "accuracy_top5_chance": named["macro_chance_top5"],
        "accuracy_by_works": by_works.get("macro_top1"),
        "generic_share": named["generic_share"],
        "p_accuracy": evidence.get("p_assignment"),
        "auc": overall.get("auc", matching["macro"]["auc"]),
        "auc_low": overall.get("auc_low"),
        "auc_high": overall.get("auc_high"),
        "p_auc": overall.get("p_assignment"),
        "templates_top1": dict(raw["classification"].get("templates_top1") or {}),
        "level": tested.get("level"),
        "adjust": tested.get("adjust"),
        "confidence_level": tested.get("confidence_level"),
        "family": tested.get("family"),
        "references_needed": tested.get("references_needed"),
        "n_copies": sum(bool(pair.get("copy", True)) for pair in raw["copies"]["pairs"]),
    }


def _confusion(method: Result, artists: Sequence[str]) -> dict[str, Any]:
    """Who was named for whose imitations: columns are the artists in the rows, others that were named, generic ones."""
    table, labels = method["confusion"], method["labels"]
    places = {name: place for place, name in enumerate(table["rows"])}
    rows = [name for name in artists if name in places]
    counts = [table["counts"][places[name]] for name in rows]
    n_generic = method["n_generic"]
    first_generic = len(labels) - n_generic
    number = {name: place for place, name in reversed(list(enumerate(labels[:first_generic])))}
    own = [number[name] for name in rows]
    others = [c for c in range(first_generic) if c not in set(own) and any(row[c] for row in counts)]
    columns = [*own, *others, *range(first_generic, len(labels))]
    return {
        "rows": rows,
        "columns": [labels[c] for c in columns],
        "n_generic": n_generic,
        "counts": [[row[c] for c in columns] for row in counts],
    }


def _copies(found: Result) -> dict[str, Any]:
    pairs = [
        {key: pair.get(key) for key in _PAIR} | {"copy": bool(pair.get("copy", True))}
        for pair in found["pairs"]
    ]
    return {
        "threshold": found["threshold"],
        "composition_threshold": found.get("composition_threshold"),
        "n_candidates": found.get("n_candidates", len(pairs)),
        "n_looked_at": found.get("n_looked_at", len(pairs)),
        "pairs": pairs,
    }


def agreement(results: Sequence[Result], releases: Sequence[str]) -> list[dict[str, Any]] | None:
    """How far encoders agree, release by release; None with one encoder.

    Returns
    -------
    list of dict, or None
        release, encoders, n_judged (artists whom every encoder could judge), n_agree (of these, with the same finding
        by all), share, artists (findings in the order of the encoders; agree is None where one could not judge).
    """
    listed = []
    for release in releases:
        own = [one for one in results if one["release"] == release]
        if len(own) < 2:
            continue
        artists = []
        for rows in zip(*(one["artists"] for one in own), strict=True):
            found = [row["finding"] for row in rows]
            judged = not any(finding in UNJUDGED for finding in found)
            agree = len(set(found)) == 1 if judged else None
            artists.append({"artist": rows[0]["artist"], "findings": found, "agree": agree})
        n_judged = sum(one["agree"] is not None for one in artists)
        same = sum(bool(one["agree"]) for one in artists)
        listed.append(
            {
                "release": release,
                "encoders": [one["encoder"] for one in own],
                "n_judged": n_judged,
                "n_agree": same,
                "share": same / n_judged if n_judged else None,
                "artists": artists,
            }
        )
    return listed or None
