"""Gates and artists.csv, recomputed; see `recompute`."""

from __future__ import annotations

import contextlib
import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.recompute_draws import Check
from tests.support.recompute_world import SIGNIFICANT, Row

FOUND = ("significant", "imitated", "named", "nearer")
TOGETHER = "all encoders"


def check_gate(report: Mapping[str, Any], conditions: Sequence[str], base: str) -> list[str]:
    """Evaluate every condition on the report's own figures, which `check` and `check_comparisons` verify."""
    done = Check()
    releases = [(r["release"], r["encoder"]) for r in report["results"] if r["release"] != base]
    together = [c for c in conditions if "combined" in report and re.match(r"[a-z.]+", c)[0] in FOUND]  # type: ignore[index]
    asked = [
        (condition, one["release"], TOGETHER)
        for one in report.get("combined", ()) if one["release"] != base for condition in together
    ]  # fmt: skip
    named = {r["encoder"] for r in report["results"] if not r.get("by_works")}
    asked += [
        (condition, *one) for one in releases for condition in conditions
        if condition not in together and (one[1] in named or not named or not _by_name(condition))
    ]  # fmt: skip
    done.same("gate", [(v["condition"], v["release"], v["encoder"]) for v in report["gate"]], asked)
    for verdict in report["gate"]:
        _verdict(done.at(f"gate.{verdict['condition']}"), verdict, report, base)
    return done.problems


def _by_name(condition: str) -> bool:
    """Whether a condition is on the accuracy by name, which only encoders with a text side have."""
    return condition.lstrip().startswith("accuracy") and "by_works" not in condition


def _verdict(here: Check, said: Row, report: Mapping[str, Any], base: str) -> None:
    metric, operator, relative, sign, number, percent = re.fullmatch(
        r"([a-z._]+) *(>=|<=|>|<) *(base[a-z.]*)? *([+-]?) *([\d.]*) *(%?)", said["condition"]
    ).groups()  # type: ignore[union-attr]
    offset = float(number or 0) / (100 if percent else 1) * (-1 if sign == "-" else 1)
    against = bool(relative) or ".change" in metric or ".beyond" in metric or metric in ("risen", "fallen")
    value = _metric(report, metric, said, "new", against)
    limit = offset
    if relative:
        limit += _metric(report, metric.partition(".")[0] + relative.removeprefix("base"), said, "base", True,
                         release=base)  # fmt: skip
    here.same("value", said["value"], value)
    here.same("limit", said["limit"], limit)
    outcome = "undecided"
    if not math.isnan(value + limit):
        counted = metric in ("significant", "imitated", "named", "nearer", "risen", "fallen")
        more = _more(report, metric, said, against, said["release"], "new") if counted else 0
        base_more = _more(report, metric, said, True, base, "base") if counted and relative else 0
        counts = _counts(report, metric, said, said["release"], value, more)
        limits = (
            _counts(report, metric, said, base, limit - offset, base_more)
            if counted and relative
            else {limit - offset}
        )
        seen = {_true(operator, a, b + offset) for a in counts for b in limits}
        outcome = "failed" if seen == {True} else "passed" if seen == {False} else "undecided"
        least = math.floor(limit) + 1 if operator == ">" else max(1, math.ceil(limit))
        unfired = counted and operator in (">", ">=") and not _true(operator, value, limit)
        if unfired and _fewest(report, metric, said) > least:
            outcome = "undecided"  # the design could not have found so few
    here.same("outcome", said["outcome"], outcome)
    here.same("failed", said["failed"], {"failed": True, "passed": False}.get(outcome))
    words = {"failed": "fails.", "passed": "passes.", "undecided": "undecided."}
    kinds = {bool(r.get("by_works")) for r in report["results"]}
    partly = kinds == {True, False} and _by_name(said["condition"])
    reason, _, only = said["reason"].partition(f" Only by {said['encoder']}: ")
    here.same("reason", reason.rpartition(": ")[2], words[outcome])
    without = dict.fromkeys(r["encoder"] for r in report["results"] if r.get("by_works"))
    has = f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no text side."
    here.same("reason, coverage", only, has if partly else "")


def _counts(
    report: Mapping[str, Any], metric: str, said: Row, release: str, value: float, more: float
) -> set[float]:
    """What a count might be: a name test with an unfair reference may call anybody, or miss anybody."""
    if metric not in ("imitated", "named", "significant"):
        return {value, value + more}
    own = [
        r
        for r in report["results"]
        if r["release"] == release and said["encoder"] in (TOGETHER, r["encoder"])
    ]
    result, calls = own[0], min((ways for r in own if (ways := name_test_calls(r))), default="")
    if calls == "too often":
        return {0.0, value, value + more}
    return {value, value + (max(more, len(result["artists"]) - value) if calls else more)}


def name_test_calls(result: Row) -> str:
    """How the name test errs, by the check of the placebo names."""
    level, ways = result["summary"]["level"], set()
    for one in result.get("exchangeability", ()):
        if level is not None and one["p"] is not None and one["p"] <= level:
            parts = [(one["p_shift"], one["shift"]), (one["p_spread"], one["spread"])]
            known = [size for p, size in parts if p is not None and p <= level]
            ways.add("too often" if not known or max(known) > 0 else "too seldom")
    return min(ways, default="")


def _true(operator: str, value: float, limit: float) -> bool:
    room = 1e-12
    return {
        ">": value > limit + room, ">=": value >= limit - room,
        "<": value < limit - room, "<=": value <= limit + room,
    }[operator]  # fmt: skip


def _fewest(report: Mapping[str, Any], metric: str, said: Row) -> float:
    """The smallest number of artists that the tests behind a count can find."""
    if metric in ("risen", "fallen"):
        found = _compared(report, said)["shifts"]
    else:
        found = _result(report, said["release"], said["encoder"])["summary"]
    return math.inf if found["fewest_findable"] is None else found["fewest_findable"]


def _more(report: Mapping[str, Any], metric: str, said: Row, against: bool, release: str, side: str) -> int:
    """How many more artists a count might have: not testable, and not judged if those are more than a fifth."""
    if metric in ("risen", "fallen"):
        rows = _compared(report, said)["artists"]
        unjudged, untestable = sum(row["p_auc"] is None for row in rows), 0
        total = len(rows)
    else:
        found = [row["finding"] for row in _result(report, release, said["encoder"])["artists"]]
        if against:
            found = _against(report, said, release, side)
        unjudged = sum(finding in ("not tested", "this encoder cannot tell") for finding in found)
        untestable = (metric == "imitated") * found.count("name effect; specificity not testable")
        total = len(found)
    return untestable + (unjudged if unjudged > total / 5 else 0)


def _result(report: Mapping[str, Any], release: str, encoder: str) -> Row:
    """The result of a release by an encoder, or by all together, in the same form as far as findings go."""
    if encoder == TOGETHER:
        one = next(c for c in report["combined"] if c["release"] == release)
        return {**one, "summary": one}
    return next(r for r in report["results"] if (r["release"], r["encoder"]) == (release, encoder))


def _metric(
    report: Mapping[str, Any], metric: str, said: Row, side: str, against: bool, release: str = ""
) -> float:
    """The figure that a condition refers to: of the comparison, or of the release alone."""
    release = release or said["release"]
    result = _result(report, release, said["encoder"])
    if metric in ("copies", "candidates"):
        pairs = result["copies"]["pairs"]
        confirmed = sum(pair["decided"] == "confirmed" for pair in pairs)
        return confirmed + (metric == "candidates") * sum(
            pair["candidate"] and not pair["decided"] for pair in pairs
        )
    name, _, end = metric.partition(".")
    if name == "accuracy_by_works":
        found = result["by_works"] if result.get("by_works") else {"accuracy": result["summary"][name]}
        if not against:
            return float(found[f"accuracy_{end}" if end else "accuracy"])
        compared = {row["artist"] for row in _compared(report, said)["artists"]}
        known = [row for row in result["artists"] if row["top1_by_works"] is not None]
        if end:
            return (
                float(found[f"accuracy_{end}"]) if {row["artist"] for row in known} <= compared else math.nan
            )
        shares = [row["top1_by_works"] for row in known if row["artist"] in compared]
        return math.fsum(shares) / len(shares)
    if name in ("auc", "accuracy"):
        if not against:
            figure = result["summary"][f"{name}_{end}" if end else name]
            return math.nan if figure is None else float(figure)
        compared = _compared(report, said)["figures"][name]
        kind, _, part = end.partition(".")
        if kind in ("change", "beyond"):
            key = "p" if part == "p" else part or kind
            if kind == "beyond" and part in ("low", "high"):
                key = f"beyond_{part}"
            return math.nan if compared[key] is None else float(compared[key])
        figure = compared[f"{side}_{end}" if end else side]
        return math.nan if figure is None else float(figure)
    if name in ("risen", "fallen"):
        shifts = _compared(report, said)["shifts"]
        return (
            len(shifts[name])
            if any(row["p_auc"] is not None for row in _compared(report, said)["artists"])
            else math.nan
        )
    found = [row["finding"] for row in result["artists"]]
    if against:
        found = _against(report, said, release, side)
    if all(finding in ("not tested", "this encoder cannot tell") for finding in found):
        return math.nan
    labels = {"imitated": SIGNIFICANT[:1], "named": SIGNIFICANT[1:3], "nearer": SIGNIFICANT[3:]}.get(
        name, SIGNIFICANT
    )
    return sum(finding in labels for finding in found)


def _against(report: Mapping[str, Any], said: Row, release: str, side: str) -> list[str]:
    """The findings for the artists that are in both releases."""
    if said["encoder"] != TOGETHER:
        return [row[f"finding_{side}"] for row in _compared(report, said)["artists"]]
    of_new = [c for c in report["comparisons"] if c["new"]["release"] == said["release"]]
    both = set.intersection(*({row["artist"] for row in c["artists"]} for c in of_new))
    return [row["finding"] for row in _result(report, release, TOGETHER)["artists"] if row["artist"] in both]


def _compared(report: Mapping[str, Any], said: Row) -> Row:
    return next(c for c in report["comparisons"]
                if (c["new"]["release"], c["encoder"]) == (said["release"], said["encoder"]))  # fmt: skip


def _table_rows(report: Mapping[str, Any]) -> list[Row]:
    """The lines of the table: of all encoders together, then of each encoder."""
    columns = list(report["results"][0]["artists"][0])
    rows, parts = [], {}
    of_sets = ("status", "n_works", "n_distinct_works", "n_imitations")
    for one in report.get("combined", ()):
        own = [result["artists"] for result in report["results"] if result["release"] == one["release"]]
        for row in one["artists"]:
            alone = "; ".join(part["encoder"] for part in row["encoders"] if part["alone"])
            cells = {key: row.get(key) for key in columns}
            for key in of_sets:
                values = [each[key] for rows_ in own for each in rows_ if each["artist"] == row["artist"]]
                cells[key] = values[0] if all(value == values[0] for value in values) else None
            rows.append(
                {
                    "release": one["release"],
                    "encoder": TOGETHER,
                    **cells,
                    **_works_columns(report, {}, row),
                    "p_closed": None,
                    "alone": alone,
                }
            )
            parts.update({(one["release"], part["encoder"], row["artist"]): part for part in row["encoders"]})
    for result in report["results"]:
        for row in result["artists"]:
            more = {}
            if parts:
                part = parts[result["release"], result["encoder"], row["artist"]]
                more = {key: part[key] for key in ("p_closed", "alone")}
            rows.append(
                {
                    "release": result["release"],
                    "encoder": result["encoder"],
                    **row,
                    **_works_columns(report, result, row),
                    **more,
                }
            )
    return rows


WORKS_COLUMNS = (
    "top1_low", "top1_high", "top5", "p_named", "p_named_adjusted", "placebo_share", "p_chance_if_independent",
    "confused_with",
)  # fmt: skip


def _works_columns(report: Mapping[str, Any], result: Row, row: Row) -> Row:
    """The figures by works, which are columns if any encoder has no text side, and empty for the others."""
    if not any(one.get("by_works") for one in report["results"]):
        return {}
    artists = (result.get("by_works") or {"artists": []})["artists"]
    own = next((one for one in artists if one["artist"] == row["artist"]), {})
    return {f"{key}_by_works": own.get(key) for key in WORKS_COLUMNS}


def check_table(report: Mapping[str, Any], file: Path) -> list[str]:
    """Check that artists.csv agrees with report.json."""
    done = Check()
    with file.open(encoding="utf-8-sig", newline="") as opened:
        lines = list(csv.DictReader(opened))
    rows = _table_rows(report)
    done.same("artists.csv, lines", len(lines), len(rows))
    for line, row in zip(lines, rows, strict=False):
        row = {key: value for key, value in row.items() if key not in ("rank_histogram", "neighbours")}
        at = f"artists.csv.{row['release']}.{row['artist']}"
        done.same(f"{at}, columns", list(line), list(row))
        for key, value in row.items():
            said: Any = line.get(key)
            if isinstance(value, str):
                wanted: Any = f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
            else:
                wanted = (
                    "" if value is None else str(value).lower() if isinstance(value, bool) else float(value)
                )
                with contextlib.suppress(TypeError, ValueError):
                    said = float(said) if isinstance(wanted, float) else said
            done.same(f"{at}.{key}", said, wanted)
    return done.problems
