"""An audit of the demo's releases, whose truth is known, with the further questions: found and expected."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES
from imindex.indexer.demo.diffusion import diffusion_folder
from imindex.indexer.demo.diffusion.truth import ERASED
from imindex.indexer.terminal.output import print_json, print_table
from imindex.retrieval.audit.audit import audit
from imindex.retrieval.audit.demo import TRAINED, prepare
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Show, Workspace
from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.questions.catalogue import answered
from imindex.retrieval.report.style import page_style
from imindex.retrieval.results import Report
from imindex.retrieval.results.questions import ErasureAnswer, NameAddsAnswer, PromptClassesAnswer

RELEASES = ("final", "erased")
GONE, HALF_GONE = ERASED
PLAN = """
title = "Further questions, where the truth is known"
seed = 0

[artists]
tested = {tested}

{releases}
[prompts]
templates = ["Artwork from {{artist}}"]
per_artist = 8
placebos = 39
nameless = 8
equal_seeds = true

[[encoders]]
name = "demo-style"
model = "demo-style"

[tests]
adjust = "bh"

[compare]
base = "final"

[questions.name_adds]

[questions.erasure]
erased = {erased}

[questions.prompt_classes]
per_name = 4
placebos = 19

[[questions.prompt_classes.classes]]
name = "simple"
templates = ["a painting by {{artist}}"]

[[questions.prompt_classes.classes]]
name = "in the style of"
templates = ["in the style of {{artist}}"]

[[questions.prompt_classes.classes]]
name = "surname only"
templates = ["Artwork from {{surname}}"]

[[questions.prompt_classes.classes]]
name = "negative prompt"
templates = ["Artwork"]
negative = "Artwork from {{artist}}"
"""
RELEASE = """\
[[releases]]
name = "{name}"
model = "models/{name}"
steps = 12
guidance = 2.5

"""
FIGURES = {"name-adds": ("final", NameAddsAnswer, 0), "prompt-classes": ("erased", PromptClassesAnswer, 0),
           "erasure": ("erased", ErasureAnswer, 1)}  # fmt: skip
"""The figures of the pages: release, type of the answer, and which of its figures."""


@dataclass(frozen=True)
class Check:
    """What an answer should say, and what it says."""

    release: str
    what: str
    expected: str
    found: str
    right: bool


class _Notes(Show):
    def note(self, text: str) -> None:
        print(text, file=sys.stderr)


def check(folder: Path, *, as_json: bool = False, figures: Path | None = None) -> int:
    """Run the audit in a folder, which resumes, and compare its answers with the truth; return 0 if all are right."""
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, n_works=8)
    for name in RELEASES:
        if not (folder / "models" / name / "model_index.json").exists():
            diffusion_folder(name, folder / "models" / name)
    plan = folder / "questions.toml"
    plan.write_text(
        PLAN.format(
            tested=json.dumps(list(NAMES)),
            erased=json.dumps(list(ERASED)),
            releases="".join(RELEASE.format(name=name) for name in RELEASES),
        ),
        encoding="utf-8",
    )
    run = Run(read_plan(plan), Workspace(folder / "questions-audit"), Compute("auto"), show=_Notes())
    report = audit(run).report
    checks = list(_checks(report))
    if as_json:
        print_json([vars(one) for one in checks])
    else:
        print_table(
            "The questions, where the truth is known",
            ("release", "question", "expected", "found", "right"),
            [
                (one.release, one.what, one.expected, one.found, "yes" if one.right else "NO")
                for one in checks
            ],
            left=4,
        )
    if figures is not None:
        write_figures(report, figures)
    return 0 if all(one.right for one in checks) else 1


def _answer(report: Report, release: str, kind: type) -> object:
    for one in report.questions or ():
        if one.release == release and type(one) is kind:
            return one
    raise ImindexError(f"The report has no {kind.__name__} for {release}.")


def _checks(report: Report) -> list[Check]:
    level = report.plan.tests.level
    checks = []
    for release in RELEASES:
        erased = set(ERASED) if release == "erased" else set()
        known = [name for name in TRAINED if name not in erased]
        unknown = [name for name in NAMES if name not in TRAINED]
        answer = _answer(report, release, NameAddsAnswer)
        found = {
            row.artist for row in answer.artists if row.p_adjusted is not None and row.p_adjusted <= level
        }
        checks.append(
            _counted(release, "the name adds something: learned", found, known, least=len(known) - 1)
        )
        checks.append(_counted(release, "the name adds something: never seen", found, unknown, most=1))
        classes = _answer(report, release, PromptClassesAnswer)
        for one in classes.classes:
            own = {
                row.artist
                for row in classes.artists
                if row.prompt_class == one.name and row.p is not None and row.p <= level
            }
            if one.name in ("simple", "in the style of"):
                left = [n for n in TRAINED if not (n in erased and (n == GONE or one.name == "simple"))]
                checks.append(_counted(release, f"{one.name}: learned", own, left, least=len(left) - 1))
            checks.append(_counted(release, f"{one.name}: never seen, p <= 5 %", own, unknown, most=2))
    answer = _answer(report, "erased", ErasureAnswer)
    verdicts = {(row.artist, row.asked): row.verdict for row in answer.artists}
    for artist, asked, allowed in (
        (GONE, "main prompts", ("gone", "undecided")),
        (GONE, "in the style of", ("gone", "undecided")),
        (HALF_GONE, "main prompts", ("gone", "undecided")),
        (HALF_GONE, "in the style of", ("remains",)),
    ):
        said = verdicts[artist, asked]
        checks.append(Check("erased", f"{artist}, {asked}", " or ".join(allowed), said, said in allowed))
    kept = [row for row in answer.kept if row.verdict in ("kept", "lost", "undecided")]
    n = sum(row.verdict == "kept" for row in kept)
    # How many are right is not known: by the model card, the erasure damaged the others too.
    checks.append(Check("erased", "other artists kept", "some", f"{n} of {len(kept)}", n > 0))
    return checks


def _counted(
    release: str, what: str, found: set[str], among: list[str], *, least: int = 0, most: int | None = None
) -> Check:
    n = sum(name in found for name in among)
    expected = f"{len(among)} of {len(among)}" if least else f"0 of {len(among)}"
    return Check(release, what, expected, f"{n} of {len(among)}", n >= least and (most is None or n <= most))


def write_figures(report: Report, folder: Path) -> None:
    """Write the figures of the pages as SVG files that need no style sheet."""
    shown = {group.title: group for group in answered(report.questions or ())}
    for name, (release, kind, place) in FIGURES.items():
        for group in shown.values():
            for of, _, section in group.sections:
                if of == release and _is_of(report, kind, group.title) and len(section.figures) > place:
                    (folder / f"{name}.svg").write_text(standalone(section.figures[place]), encoding="utf-8")


def _is_of(report: Report, kind: type, title: str) -> bool:
    from imindex.retrieval.report.questions.catalogue import SECTIONS

    return SECTIONS[kind][0] == title and any(type(one) is kind for one in report.questions or ())


def standalone(figure: Figure) -> str:
    """Return the markup of a figure with its style and namespace."""
    style = "".join(
        line + "\n"
        for line in page_style().splitlines()
        if line.startswith(("svg", ":root", "--", "@media", "}")) or line.startswith(".mark")
    ).replace("svg ", "")
    style += "text { font-family: system-ui, sans-serif; } svg { background: var(--paper); }"
    opening = re.sub(r"^<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', figure.svg)
    end = opening.index(">") + 1
    return f"{opening[:end]}<style>{style}</style>{opening[end:]}\n"
