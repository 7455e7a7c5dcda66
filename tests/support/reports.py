"""Write a report.json by hand, with the digest that fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imindex.retrieval.results.report_digest import digest


def write_report(folder: Path, report: dict[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps({**report, "digest": digest(report)}))
