"""An audit whose imitations are ranked by processes reports what one process reports."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.shards.start import Workers

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.mark.parametrize("n", [2])
def test_the_report_is_that_of_one_process(
    n: int, finished: tuple[Path, Outcome], world: Path, tmp_path: Path
) -> None:
    _, alone = finished
    root = tmp_path / "world"
    root.mkdir()
    shutil.copytree(world / "works", root / "works")
    (root / "models").symlink_to(world / "models")
    shutil.copy(world / "plan.toml", root)
    plan = read_plan(root / "plan.toml")
    found = audit(Run(plan, Workspace(root / "audit"), Compute("cpu", workers=Workers(n=n))))
    assert found.report.digest == alone.report.digest
    assert [e.root_digest for e in found.report.encoders] == [e.root_digest for e in alone.report.encoders]
