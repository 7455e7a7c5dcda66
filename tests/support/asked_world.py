"""Pictures of releases with a known truth, for further questions: drawn by the demo's artists, listed in a manifest.

Release `before` imitates the first two of four artists, by every prompt. Release `after` imitates the second by every
prompt, and the first only by "in the style of": an erasure that failed. Unknown names give nameless pictures.
"""

from __future__ import annotations

import json
from pathlib import Path

from imindex.indexer.demo.artists import NAMES, draw
from imindex.indexer.generate.prompts import picture_seed
from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Workspace

ARTISTS = NAMES[:4]
ERASED, KEPT = ARTISTS[:2]
PLACEBOS = tuple(f"Placebo {letter}" for letter in "ABCDEFGHIJKLMNOPQRS")
TEMPLATE, STYLE = "Artwork from {artist}", "in the style of {artist}"
N_PICTURES, SEED = 4, 5
PLAN = """
title = "Asked further"
seed = 5
[artists]
tested = {tested}
[[releases]]
name = "before"
pictures = "manifest.jsonl"
[[releases]]
name = "after"
pictures = "manifest.jsonl"
[prompts]
equal_seeds = true
[[encoders]]
name = "demo-style"
model = "demo-style"
[tests]
n_resamples = 99
adjust = "bh"
[compare]
base = "before"
{questions}
"""
QUESTIONS = """
[questions.name_adds]
[questions.erasure]
erased = ["{erased}"]
margin = 0.3
kept_margin = 0.7
[questions.prompt_classes]
per_name = 4
[[questions.prompt_classes.classes]]
name = "simple"
source = "the main prompts"
templates = ["Artwork from {{artist}}"]
[[questions.prompt_classes.classes]]
name = "style"
templates = ["in the style of {{artist}}"]
typicality = 0.25
"""


def technique(release: str, name: str, template: str) -> str | None:
    """Return whose technique a release uses for a name and a template; None for the nameless one."""
    if name == KEPT or (name == ERASED and (release == "before" or template == STYLE)):
        return name
    return None


def write_world(folder: Path, questions: str = QUESTIONS, size: int = 64) -> Path:
    """Write works, pictures, the manifest and a plan; return the path of the plan."""
    rows = []

    def add(path: str, technique: str | None, number: int, **fields: object) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        draw(technique, seed=number, size=size).save(file)
        rows.append({"path": path, **fields})

    for artist in ARTISTS:
        for number in range(6):
            (folder / "works" / artist).mkdir(parents=True, exist_ok=True)
            draw(artist, seed=number, size=size).save(folder / f"works/{artist}/{number}.png")
    for place, release in enumerate(("before", "after")):
        for collection, templates in (
            (release, (TEMPLATE,)),
            (f"{release} / prompt_classes", (TEMPLATE, STYLE)),
        ):
            for template in templates:
                for arm, names in (("own", ARTISTS), ("placebo", PLACEBOS)):
                    for name in names:
                        for picture in range(N_PICTURES):
                            drawn = picture_seed(place, f"{collection} {name}", template, picture) % 2**31
                            add(
                                f"pictures/{collection.replace(' / ', '-')}/{template[:8]}/{name}/{picture}.png",
                                technique(release, name, template),
                                drawn,
                                kind="imitations",
                                collection=collection,
                                artist=name,
                                arm=arm,
                                prompt=template.replace("{artist}", name),
                                seed=str(picture_seed(SEED, "", template, picture)),
                            )
        # One more picture of a question, which a filter withheld.
        add(
            f"pictures/{release}/blocked.png",
            None,
            place,
            kind="imitations",
            collection=f"{release} / prompt_classes",
            artist=PLACEBOS[0],
            arm="placebo",
            prompt=TEMPLATE.replace("{artist}", PLACEBOS[0]),
            seed="1",
            blocked="safety filter",
        )
        for picture in range(N_PICTURES):
            add(
                f"pictures/{release}/nameless/{picture}.png",
                None,
                9 * 10**6 + 100 * place + picture,
                kind="control",
                collection=release,
                arm="nameless",
                prompt="Artwork",
                seed=str(picture_seed(SEED, "", TEMPLATE, picture)),
            )
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return write_plan(folder / "plan.toml", questions)


def write_plan(plan: Path, questions: str) -> Path:
    """Write a plan with these questions."""
    text = PLAN.format(tested=json.dumps(list(ARTISTS)), questions=questions.format(erased=ERASED))
    plan.write_text(text, encoding="utf-8")
    return plan


def run_world(plan: Path, folder: Path | None = None) -> Outcome:
    """Run the audit of a plan, by default in the folder `audit` beside it."""
    return audit(Run(read_plan(plan), Workspace(folder or plan.parent / "audit"), Compute("cpu")))
