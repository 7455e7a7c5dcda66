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


def check_gate(report: Mapping[str, Any], conditions: Sequence[str], base: str) -> list[str]:
    """Evaluate every condition on the report's own figures, which `check` and `check_comparisons` verify."""
    done = Check()
    releases = [(r["release"], r["encoder"]) for r in report["results"] if r["release"] != base]
    asked = [(condition, *one) for one in releases for condition in conditions]
    done.same("gate", [(v["condition"], v["release"], v["encoder"]) for v in report["gate"]], asked)
    for verdict in report["gate"]:
        _verdict(done.at(f"gate.{verdict['condition']}"), verdict, report, base)
    return done.problems


def _verdict(here: Check, said: Row, report: Mapping[str, Any], base: str) -> None:
    metric, operator, relative, sign, number, percent = re.fullmatch(
        r"([a-z.]+) *(>=|<=|>|<) *(base[a-z.]*)? *([+-]?) *([\d.]*) *(%?)", said["condition"]
    ).groups()  # type: ignore[union-attr]
    offset = float(number or 0) / (100 if percent else 1) * (-1 if sign == "-" else 1)
    against = bool(relative) or ".change" in metric or metric in ("risen", "fallen")
    value = _metric(report, metric, said, "new", against)
    limit = offset
    if relative:
        limit += _metric(report, metric.partition(".")[0] + relative.removeprefix("base"), said, "base", True,
                         release=base)  # fmt: skip
    room = 1e-12
    wanted = {
        ">": value > limit + room, ">=": value >= limit - room,
        "<": value < limit - room, "<=": value <= limit + room,
    }  # fmt: skip
    if metric in ("significant", "imitated", "named", "nearer") and not against and operator in (">", ">="):
        summary = next(
            r for r in report["results"] if (r["release"], r["encoder"]) == (said["release"], said["encoder"])
        )["summary"]
        fewest = math.inf if summary["fewest_findable"] is None else summary["fewest_findable"]
        least = math.floor(limit) + 1 if operator == ">" else max(1, math.ceil(limit))
        wanted[operator] = wanted[operator] or fewest > least  # the design could not have found so few
    here.same("value", said["value"], value)
    here.same("limit", said["limit"], limit)
    here.same("failed", said["failed"], bool(wanted[operator]))
    here.same("reason", said["reason"].rpartition(": ")[2], "fails." if wanted[operator] else "passes.")


def _metric(
    report: Mapping[str, Any], metric: str, said: Row, side: str, against: bool, release: str = ""
) -> float:
    """The figure that a condition refers to: of the comparison, or of the release alone."""
    release = release or said["release"]
    result = next(r for r in report["results"] if (r["release"], r["encoder"]) == (release, said["encoder"]))
    if metric in ("copies", "candidates"):
        pairs = result["copies"]["pairs"]
        confirmed = sum(pair["decided"] == "confirmed" for pair in pairs)
        return confirmed + (metric == "candidates") * sum(
            pair["candidate"] and not pair["decided"] for pair in pairs
        )
    name, _, end = metric.partition(".")
    if name in ("auc", "accuracy"):
        if not against:
            return float(result["summary"][f"{name}_{end}" if end else name])
        compared = _compared(report, said)["figures"][name]
        if end.startswith("change"):
            return float(compared[end.partition(".")[2] or "change"])
        return float(compared[f"{side}_{end}" if end else side])
    if name in ("risen", "fallen"):
        return len(_compared(report, said)["shifts"][name])
    found = [row["finding"] for row in result["artists"]]
    if against:
        found = [row[f"finding_{side}"] for row in _compared(report, said)["artists"]]
    labels = {"imitated": SIGNIFICANT[:1], "named": SIGNIFICANT[1:3], "nearer": SIGNIFICANT[3:]}.get(
        name, SIGNIFICANT
    )
    return sum(finding in labels for finding in found)


def _compared(report: Mapping[str, Any], said: Row) -> Row:
    return next(c for c in report["comparisons"]
                if (c["new"]["release"], c["encoder"]) == (said["release"], said["encoder"]))  # fmt: skip


def check_table(report: Mapping[str, Any], file: Path) -> list[str]:
    """Check that artists.csv agrees with report.json."""
    done = Check()
    with file.open(encoding="utf-8-sig", newline="") as opened:
        lines = list(csv.DictReader(opened))
    rows = [
        {"release": result["release"], "encoder": result["encoder"], **row}
        for result in report["results"] for row in result["artists"]
    ]  # fmt: skip
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
