"""A finished audit with few pictures, and raters who answer the pages of a panel by a rule."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec.structs import replace

import imindex
from imindex.indexer.demo.artists import NAMES, draw
from imindex.retrieval.panel.answers import answers_digest
from imindex.retrieval.panel.design import draw_sheets
from imindex.retrieval.panel.sealing import key_digest
from imindex.retrieval.results import (
    PanelAnswer,
    PanelAnswers,
    PanelArtist,
    PanelKey,
    PanelPicture,
    PanelRule,
    PanelTrial,
    TrialKind,
    to_json,
)

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


def invented_key(
    *, n_artists: int = 3, n_trials: int = 4, n_sets: int = 3, seed: int = 2**63 - 1
) -> PanelKey:
    """A key without pictures behind it, with 6 pages."""
    tokens = (f"{n:016x}" for n in itertools.count())
    pictures: list[PanelPicture] = []

    def picture(name: str) -> str:
        pictures.append(
            PanelPicture(id=next(tokens), name=name, path=f"{len(pictures)}.png", sha256="0" * 64)
        )
        return pictures[-1].id

    def trial(kind: TrialKind, artist: str, own: str, other: str, set: int = 0) -> PanelTrial:
        first = len(pictures) % 4 < 2
        names = (own, other) if first else (other, own)
        a, b = map(picture, names)
        imitation = "a" if first else "b"
        return PanelTrial(
            kind=kind,
            artist=artist,
            a=a,
            b=b,
            imitation=imitation,
            works=(picture(artist),),
            set=set,
            metric=0.75,
        )  # type: ignore[arg-type]

    names = [f"Artist {n}" for n in range(n_artists)]
    trials = [
        *(trial("imitation", name, name, f"inv {n}") for name in names for n in range(n_trials)),
        *(
            trial("placebo", names[0], f"inv {n}", f"inv {n + m}", n)
            for n in range(1, n_sets + 1)
            for m in (1, 2)
        ),
        *(trial("catch", names[n % n_artists], names[n % n_artists], names[n - 1]) for n in range(4)),
    ]
    key = PanelKey(
        created="2026-01-02T03:04:05+00:00", program="imindex 0", report="1" * 64, release="only", encoder="demo",
        seed=seed, side=64,
        rule=PanelRule(least_catch=0.75, level=0.05, adjust="bh", confidence_level=0.95, n_resamples=199),
        artists=tuple(PanelArtist(artist=name, auc=0.5 + n / 10) for n, name in enumerate(names)),
        pictures=tuple(pictures), trials=tuple(trials),
        sheets=draw_sheets(trials, n_raters=6, n_repeats=2, seed=1),
    )  # fmt: skip
    return replace(key, digest=key_digest(key))


def written_panel(folder: Path) -> Path:
    """Write an invented key, and the answers of three raters beside it, each in a folder; return the folder."""
    key = invented_key()
    (folder / "answers").mkdir(parents=True)
    (folder / "key.json").write_bytes(to_json(key))
    write_answers(folder / "answers", [answer(key, n, attentive(0.9)) for n in (1, 2, 3)])
    return folder


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
    """Audit 4 artists with 8 works and 6 imitations, and 16 placebo names with 4 pictures; return its folder."""
    names, styles = NAMES[:4], NAMES[4:20]
    rows = ["path,artist,kind,collection,prompt"]
    for place, name in enumerate((*names, *(f"inv {n:02d}" for n in range(16)))):
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
