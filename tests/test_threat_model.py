"""docs/threat-model.md names a test for every promise, and these tests exist."""

from __future__ import annotations

import datetime
import re

from tests.support.places import ROOT


def rows() -> list[list[str]]:
    """The cells of the rows under "Promises"."""
    text = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
    part = text.partition("## Promises")[2].partition("## Not promised")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] != "promise" and not row[0].startswith("---")]


def test_every_promise_has_tests_that_exist_and_a_date() -> None:
    assert len(rows()) > 15
    for promise, tests, date in rows():
        names = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", tests)
        assert names, promise
        for file, name in names:
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (
                f"{promise}: there is no {file}::{name}"
            )
        assert datetime.date.fromisoformat(date) >= datetime.date(2026, 11, 28), promise


def test_a_promise_is_made_once() -> None:
    promises = [row[0] for row in rows()]
    assert len(set(promises)) == len(promises)
