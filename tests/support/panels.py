"""A finished audit with few pictures, and raters who answer the pages of a panel by a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

import imindex
from imindex.indexer.demo.artists import NAMES, draw
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


TEMPLATES = ("Artwork from {artist}", "A drawing by {artist}")
PLAN = """
title = "A release for a panel"
seed = 7
[artists]
tested = [{names}]
[[releases]]
name = "only"
pictures = "imitations/manifest.csv"
placebos = ["inv *"]
[[encoders]]
name = "demo"
model = "demo"
[tests]
n_resamples = 99
adjust = "bh"
"""


def panel_audit(folder: Path) -> Path:
    """Audit 4 artists with 8 works and 6 imitations, and 10 placebo names with 4 pictures; return its folder."""
    names, styles = NAMES[:4], NAMES[4:14]
    rows = ["path,artist,kind,collection,prompt"]
    for place, name in enumerate((*names, *(f"inv {n:02d}" for n in range(10)))):
        style = name if place < len(names) else styles[place - len(names)]
        n = 6 if place < len(names) else 4
        (folder / "imitations" / name).mkdir(parents=True)
        for number in range(n):
            file = f"{name}/{number}.png"
            draw(style, seed=90 + number, size=72).save(folder / "imitations" / file)
            prompt = TEMPLATES[number % 2].format(artist=name)
            rows.append(f"{file},{name},imitations,only,{prompt}")
    (folder / "imitations/manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for name in names:
        (folder / "works" / name).mkdir(parents=True)
        for seed in range(8):
            draw(name, seed=seed, size=72).save(folder / "works" / name / f"{seed}.png")
    quoted = ", ".join(f'"{name}"' for name in names)
    (folder / "plan.toml").write_text(PLAN.replace("{names}", quoted), encoding="utf-8")
    imindex.audit(folder / "plan.toml", device="cpu", pictures=False)
    return folder / "plan-audit"
