"""Pictures of two artists in one prompt with a known truth, drawn by the demo's artists, listed in a manifest.

Release `halves` paints the left half of a picture in the technique of the first name and the right half in that of the
second. It has learned three of the four artists; the fourth, and every placebo name, give the nameless technique.
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from imindex.indexer.demo.artists import NAMES, draw
from imindex.indexer.generate.prompts import shots
from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.questions.pairs import PairPrompts
from imindex.retrieval.questions.settings import Together

ARTISTS = tuple(NAMES[i] for i in (7, 1, 11, 3))
UNKNOWN = ARTISTS[3]
OTHERS = (NAMES[2], NAMES[9])
PLACEBOS = tuple(f"Placebo {letter}" for letter in "ABCDEFGHIJKLMNOPQRS")
PAIRS = ((ARTISTS[0], ARTISTS[1]), (ARTISTS[2], UNKNOWN))
SEED, SIZE, N_WORKS, N_ALONE = 5, 64, 6, 3
SETTINGS = Together(
    pairs=PAIRS,
    per_pair=4,
    both_orders=False,
    placebos=19,
    placebo_pairs=4,
    false_inclusion=0.2,
    sizes=(1, 4),
)
QUESTION = """
[questions.together]
pairs = {pairs}
per_pair = 4
both_orders = false
placebos = 19
placebo_pairs = 4
false_inclusion = 0.2
sizes = [1, 4]
"""
PLAN = """
title = "Two in one prompt"
seed = 5
rivals = "none"
[artists]
tested = {tested}
[[releases]]
name = "halves"
pictures = "manifest.jsonl"
[[encoders]]
name = "demo-style"
model = "demo-style"
[tests]
n_resamples = 99
level = 0.1
adjust = "bh"
{questions}
"""


def halves(names: tuple[str, ...], seed: int) -> Image.Image:
    """Draw a picture whose halves are by the artists that the release has learned."""
    known = [name if name in ARTISTS and name != UNKNOWN else None for name in names]
    left, right = (
        draw(name, seed=seed + place, size=SIZE) for place, name in enumerate((known[0], known[-1]))
    )
    whole = left.copy()
    whole.paste(right.crop((SIZE // 2, 0, SIZE, SIZE)), (SIZE // 2, 0))
    return whole


def write_world(folder: Path, questions: str | None = None) -> Path:
    """Write works, pictures, the manifest and a plan; return the path of the plan."""
    rows = []
    for artist in (*ARTISTS, *OTHERS):
        (folder / "works" / artist).mkdir(parents=True, exist_ok=True)
        for number in range(N_WORKS):
            draw(artist, seed=number, size=SIZE).save(folder / f"works/{artist}/{number}.png")
    tested = (*ARTISTS, *OTHERS)
    alone = shots(tested, placebos=PLACEBOS, per_artist=N_ALONE, seed=SEED)
    prompts = PairPrompts.of(SETTINGS, tested, PLACEBOS, SEED)
    together = prompts.shots(SETTINGS, tested, SEED)
    for collection, listed in (("halves", alone), ("halves / together", together)):
        for number, shot in enumerate(listed):
            names = (shot.artist,) if collection == "halves" else prompts.by_prompt[shot.prompt][1]
            path = folder / collection.replace(" / ", "-") / shot.path
            path.parent.mkdir(parents=True, exist_ok=True)
            halves(names, 10**6 + 10 * number + 10**5 * (collection == "halves")).save(path)
            rows.append(
                {
                    "path": str(path.relative_to(folder)), "kind": "imitations", "collection": collection,
                    "artist": shot.artist, "arm": "own" if shot.arm == "artist" else shot.arm, "prompt": shot.prompt,
                    "seed": str(shot.seed),
                }
            )  # fmt: skip
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = folder / "plan.toml"
    asked = QUESTION.format(pairs=json.dumps(PAIRS)) if questions is None else questions
    plan.write_text(PLAN.format(tested=json.dumps(tested), questions=asked), encoding="utf-8")
    return plan


def run_world(plan: Path) -> Outcome:
    """Run the audit of a plan."""
    return audit(Run(read_plan(plan), Workspace(plan.parent / "audit"), Compute("cpu")))
