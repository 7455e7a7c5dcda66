"""A small audit: works of three artists, two tiny pipelines, a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Show, Workspace
from tests.support.pictures import picture

PLAN = """
title = "Two tiny releases"
seed = 7
[artists]
tested = ["Ada Example", "Bo Sample"]
[[releases]]
name = "one"
model = "models/one"
steps = 2
size = "32x32"
[[releases]]
name = "two"
model = "models/two"
steps = 2
size = "32x32"
[prompts]
per_artist = 2
placebos = 3
nameless = 1
generic = ["A painting"]
per_generic = 1
[[encoders]]
name = "tiny"
model = "{encoder}"
[tests]
n_resamples = 99
adjust = "bh"
[compare]
base = "one"
"""


def draw(folder: Path, n: int, first: int) -> None:
    folder.mkdir(parents=True)
    for number in range(n):
        picture(first + number).save(folder / f"{number}.png")


def run_plan(root: Path, show: Show | None = None, **options: Any) -> Outcome:
    plan = read_plan(root / "plan.toml")
    return audit(Run(plan, Workspace(root / "audit"), Compute("cpu"), show=show or Show()), **options)


def change(root: Path, before: str, after: str) -> None:
    text = (root / "plan.toml").read_text()
    assert before in text
    (root / "plan.toml").write_text(text.replace(before, after, 1))
