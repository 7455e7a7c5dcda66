"""The digest of a report.json, over plain JSON, so that reports of older versions with fewer keys keep theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imindex.indexer.core.digest import json_digest


def covered(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a report.json that its digest covers: all except the digest, times and provenance."""
    kept = {key: value for key, value in report.items() if key not in ("digest", "provenance")}
    if not isinstance(kept.get("plan"), Mapping):
        return kept
    plan = dict(kept["plan"])
    plan.pop("registered", None)
    plan["amendments"] = [
        {key: value for key, value in amendment.items() if key != "when"}
        for amendment in plan.get("amendments", ())
    ]
    return {**kept, "plan": plan}


def digest(report: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what `covered` returns, as canonical JSON."""
    return json_digest(covered(report))
