"""The tests of Casper et al. 2023 beside those of an audit: what they contain, and that they change no finding."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.recompute import recompute
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.classify.by_name import LOGIT_SCALE, confidences
from tests.support.commands import run as command


def test_confidence_is_the_softmax_share_of_the_true_label() -> None:
    scores = np.random.default_rng(1).uniform(-0.1, 0.4, (50, 7))
    scores[:, 2] = -np.inf
    truth = np.repeat([0, 1, 3, 4, 5], 10)
    expected = special.softmax(LOGIT_SCALE * scores, axis=1)[np.arange(50), truth]
    found = confidences(scores, truth)
    assert found == pytest.approx({label: expected[truth == label].mean() for label in found})
    order = np.array([6, 3, 1, 0, 2, 5, 4])  # of the labels
    assert confidences(scores[:, order], np.argsort(order)[truth]) == {
        np.argsort(order)[label]: value for label, value in found.items()
    }


def copied(finished: tuple[Path, Outcome], tmp_path: Path) -> Run:
    root = shutil.copytree(finished[0], tmp_path / "copy", symlinks=True)
    return Run(read_plan(root / "plan.toml"), Workspace(root / "audit"), Compute("cpu"))


def test_table_stands_beside_the_findings_and_changes_none(
    finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    run = copied(finished, tmp_path)
    plain = audit(run).report
    with_paper = audit(dataclasses.replace(run, as_paper=True)).report
    assert all(result.as_paper is None for result in plain.results)
    for before, after in zip(plain.results, with_paper.results, strict=True):
        assert before.artists == after.artists and before.summary == after.summary
        assert after.as_paper is not None
        for row, own in zip(after.artists, after.as_paper.artists, strict=True):
            assert own.accuracy == row.top1 and own.p_bootstrap is not None and own.confidence is not None
            assert own.finding == row.finding and own.p_adjusted == row.p_adjusted
        level = after.as_paper.level
        assert after.as_paper.n_matched == sum(
            (row.p_bootstrap or 1) <= level for row in after.as_paper.artists
        )
    assert plain.digest != with_paper.digest
    checked = recompute(dataclasses.replace(run, workspace=Workspace(run.workspace.folder, keeps=False)))
    assert checked.faults == []


def test_command_prints_the_table_with_its_assumptions(
    finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    run = copied(finished, tmp_path)
    words = ("audit", run.plan.path, "--out", run.workspace.folder, "--device", "cpu")
    text = " ".join(command(*words, "--as-paper").output.split())
    assert "the tests of Casper et al. 2023" in text and "p bootstrap" in text
    assert "works of one artist resemble each other no more" in text
    assert "Casper" not in command(*words).output
