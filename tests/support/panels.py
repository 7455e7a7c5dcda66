"""A finished audit with few pictures, and raters who answer the pages of a panel by a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from imindex.retrieval.panel.answers import answers_digest
from imindex.retrieval.results import PanelAnswer, PanelAnswers, PanelKey, PanelTrial, to_json

Chance = Callable[[PanelTrial, str], float]
"""Returns the probability that a rater chooses the picture that the key marks, if it is on that side."""


def attentive(share: float, *, other: float = 0.5) -> Chance:
    """Choose the imitation in this share of the trials, and get every catch trial right."""
    return lambda trial, side: {"imitation": share, "placebo": other, "catch": 1.0}[trial.kind]


def guessing(trial: PanelTrial, side: str) -> float:
    return 0.5


def prefers_left(trial: PanelTrial, side: str) -> float:
    return 0.9 if side == "left" else 0.1


def signed(answers: PanelAnswers) -> PanelAnswers:
    """Return answers with their digest, as a page computes it."""
    return replace(answers, digest=answers_digest(answers))


def answer(key: PanelKey, sheet: int, chance: Chance, *, seed: int = 0, n: int | None = None) -> PanelAnswers:
    """Return the answers of a rater to a page, or to its first n trials."""
    rng = np.random.default_rng([seed, sheet])
    page = next(one for one in key.sheets if one.number == sheet)
    answers = []
    for shown in page.shown[:n]:
        trial = key.trials[shown.trial]
        side = "left" if shown.left == trial.imitation else "right"
        other = "right" if side == "left" else "left"
        chosen = side if rng.random() < chance(trial, side) else other
        answers.append(PanelAnswer(id=shown.id, side=chosen, ms=int(rng.integers(800, 9000))))  # type: ignore[arg-type]
    return signed(
        PanelAnswers(
            format="imindex-panel-answers", version="1.0", panel=key.digest, sheet=sheet,
            rater=bytes(rng.integers(0, 256, 6, np.uint8)).hex(), answers=tuple(answers), digest="0" * 64,
        )
    )  # fmt: skip


def write_answers(folder: Path, answers: Sequence[PanelAnswers]) -> list[Path]:
    """Write answers as a page does, one file per rater."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for one in answers:
        file = folder / f"answers-{one.sheet:02d}-{one.rater}.json"
        file.write_bytes(to_json(one, indent=1))
        files.append(file)
    return files
