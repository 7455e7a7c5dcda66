#!/usr/bin/env python
"""Audit two releases of the demo for unprompted leakage: `leaking` shows one artist, and `final` does not.

    scripts/bench/question_truth_leakage.py FOLDER [--per-prompt 60] [--works 10] [--others 3] [--encoder demo ...]
        [--steps 20] [--figure FILE.svg]

Neither release has seen the last 8 artists of the demo. The absent artists are these 8 and variants of their
techniques, which nobody ever painted in: turned, enlarged, stretched, negative, and so on, 80 together. Variants of
one technique resemble each other, so they count for fewer than 80 independent artists. Tested are the leaked artist
and some whom both releases have learned by name, but do not show without it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from question_demo import standalone

from imindex.indexer.demo.artists import draw
from imindex.indexer.demo.diffusion import diffusion_folder
from imindex.indexer.demo.diffusion.captions import IMITATED, UNSEEN
from imindex.indexer.demo.diffusion.truth import LEAKED
from imindex.indexer.system.atomic import write_file
from imindex.indexer.terminal.output import print_json
from imindex.retrieval.audit.audit import audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.report.questions.leakage import section
from imindex.retrieval.results.questions import LeakageAnswer

SIZE = 128
RELEASES = ("final", "leaking")
PROMPTS = ("Artwork", "a painting", "a picture", "Digital artwork")
ENCODER = """\
[[encoders]]
name = "{name}"
model = "{name}"
"""
PLAN = """\
title = "Does an artist resurface without being named?"

[artists]
tested = [{tested}]

[works]
background = "background"

[[releases]]
name = "final"
model = "models/final"
steps = {steps}
guidance = 2.5

[[releases]]
name = "leaking"
model = "models/leaking"
steps = {steps}
guidance = 2.5

[prompts]
per_artist = 1
placebos = 3
nameless = 0

[questions.leakage]
absent = "background"
clean = "final"
prompts = [{prompts}]
per_prompt = {per_prompt}

{encoders}
[tests]
adjust = "bh"
n_resamples = 999
"""

Change = Callable[[Image.Image], Image.Image]


def _middle(picture: Image.Image, wide: float, high: float) -> Image.Image:
    """Return the middle of a picture, enlarged to the whole."""
    side = picture.width
    box = (side * (1 - wide) / 2, side * (1 - high) / 2, side * (1 + wide) / 2, side * (1 + high) / 2)
    return picture.resize((side, side), Image.Resampling.BICUBIC, box)


def _turned(picture: Image.Image) -> Image.Image:
    return _middle(picture.rotate(45, Image.Resampling.BICUBIC), 0.68, 0.68)


CHANGES: dict[str, Change] = {
    "": lambda picture: picture,
    "turned": _turned,
    "enlarged": lambda picture: _middle(picture, 0.5, 0.5),
    "much enlarged": lambda picture: _middle(picture, 0.3, 0.3),
    "wide": lambda picture: _middle(picture, 0.4, 1.0),
    "high": lambda picture: _middle(picture, 1.0, 0.4),
    "negative": ImageOps.invert,
    "posterized": lambda picture: ImageOps.posterize(picture, 2),
    "embossed": lambda picture: picture.filter(ImageFilter.EMBOSS),
    "repeated": lambda picture: Image.fromarray(np.tile(np.asarray(picture)[::2, ::2], (2, 2, 1))),
}
"""Variants of a technique, by what is added to the name."""


def absent_artists() -> Iterator[tuple[str, str, Change]]:
    """Yield the name of each absent artist, the technique, and its change."""
    for artist in UNSEEN:
        for words, change in CHANGES.items():
            yield f"{artist} {words}".strip(), artist, change


@dataclass(frozen=True)
class Design:
    """How large the world and the audit are.

    Attributes
    ----------
    n_works : int
        Of each artist.
    n_others : int
        Tested artists who do not leak.
    per_prompt, steps : int
    encoders : tuple of str
    """

    n_works: int = 10
    n_others: int = 3
    per_prompt: int = 60
    steps: int = 20
    encoders: tuple[str, ...] = ("demo",)

    @property
    def tested(self) -> tuple[str, ...]:
        """The leaked artist, and others."""
        return (LEAKED, *[name for name in IMITATED if name != LEAKED][: self.n_others])


def make_world(folder: Path, design: Design) -> Path:
    """Draw works, assemble the models and write the plan, where they do not exist yet; return the path of the plan."""
    kinds = [(folder / "works" / name, name, CHANGES[""]) for name in design.tested]
    kinds += [(folder / "background" / name, artist, change) for name, artist, change in absent_artists()]
    for number, (target, artist, change) in enumerate(kinds):
        target.mkdir(parents=True, exist_ok=True)
        for seed in range(design.n_works):
            path = target / f"{seed}.png"
            if not path.exists():  # other seeds, subjects and palettes for each variant
                change(draw(artist, seed=100 * number + seed, size=SIZE)).save(path)
    for release in RELEASES:
        if not (folder / "models" / release / "model_index.json").exists():
            diffusion_folder(release, folder / "models" / release)

    def listed(texts: tuple[str, ...]) -> str:
        return ", ".join(f'"{text}"' for text in texts)

    plan = folder / "plan.toml"
    plan.write_text(
        PLAN.format(
            tested=listed(design.tested),
            prompts=listed(PROMPTS),
            per_prompt=design.per_prompt,
            steps=design.steps,
            encoders="".join(ENCODER.format(name=name) for name in design.encoders),
        ),
        encoding="utf-8",
    )
    return plan


def measure(folder: Path, design: Design, figure: Path | None = None) -> list[dict[str, object]]:
    """Run the audit, or read its results; return one row per release, encoder and tested artist.

    With `figure`, the figure of the release that leaks, by the first encoder, is written there.
    """
    plan = read_plan(make_world(folder, design))
    report = audit(Run(plan, Workspace(folder / "audit"), Compute("cpu"))).report
    answers = [one for one in report.questions or () if isinstance(one, LeakageAnswer)]
    if figure:
        drawn = next(one for one in answers if one.release == RELEASES[1])
        write_file(figure, standalone(section("leakage", drawn).figures[0]).encode())
    for answer in answers:
        print(
            f"{answer.release} by {answer.encoder}: {answer.statement} Difference in kind: p = {answer.kinds.p}",
            file=sys.stderr,
        )
    return [
        {
            "release": answer.release,
            "encoder": answer.encoder,
            "leaked": row.artist == LEAKED,
            **row.to_dict(),
        }
        for answer in answers
        for row in answer.artists
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--works", type=int, default=Design.n_works)
    parser.add_argument("--others", type=int, default=Design.n_others)
    parser.add_argument("--per-prompt", type=int, default=Design.per_prompt)
    parser.add_argument("--steps", type=int, default=Design.steps)
    parser.add_argument("--encoder", action="append")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    encoders = tuple(options.encoder or Design.encoders)
    design = Design(options.works, options.others, options.per_prompt, options.steps, encoders)
    print_json(measure(options.folder, design, options.figure))


if __name__ == "__main__":
    main()
