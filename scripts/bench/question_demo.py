"""Audits of the demo's releases, whose truth is known, with the further questions: found and expected.

- `final` has learned 16 of 24 artists from 600 works each, and `erased` unlearned two of them.
- To an audit of the other 8 artists alone, the truth is that nobody is imitated.
- A service answers with the pictures of `final`, and refuses twelve names.
- `leaking` paints some nameless pictures in the technique of one artist.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.artists import NAMES
from imindex.indexer.demo.diffusion import diffusion_folder
from imindex.indexer.demo.diffusion.truth import ERASED
from imindex.indexer.image_api.settings import Asking
from imindex.retrieval.audit.audit import audit
from imindex.retrieval.audit.demo import TRAINED, prepare
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Show, Workspace
from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.questions.catalogue import answered
from imindex.retrieval.report.style import page_style
from imindex.retrieval.results import Report
from imindex.retrieval.results.questions import (
    AttributesAnswer,
    ErasureAnswer,
    LikelihoodRatioAnswer,
    NameAddsAnswer,
    PromptClassesAnswer,
    QuestionAnswer,
    RefusalsAnswer,
    TogetherAnswer,
    TrainingCountsAnswer,
)

Answer = TypeVar("Answer", bound=QuestionAnswer)
RELEASES = ("final", "erased")
LEARNED, STRANGERS = list(TRAINED), [name for name in NAMES if name not in TRAINED]
N_LEARNED_FROM = 600
PAIRS = (
    (LEARNED[2], LEARNED[3]),
    (LEARNED[4], LEARNED[5]),
    (LEARNED[6], STRANGERS[0]),
    (STRANGERS[1], STRANGERS[2]),
    (STRANGERS[3], STRANGERS[4]),
)
"""Artists who are named together. No release has learned any two of them together."""
REFUSED = (*LEARNED[::2], *STRANGERS[::2])
"""Names that the service refuses: 12, the fewest that 39 placebo names and BH can find of 24."""
GONE, HALF_GONE = ERASED
PLAN = """
title = "Further questions, where the truth is known"
seed = 0

[artists]
tested = {tested}

[artists.training_images]
{counts}

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

{compare}
[questions.name_adds]

[questions.attributes]

[questions.likelihood_ratio]

[questions.training_counts]
"""
FURTHER = """
[questions.erasure]
erased = {erased}

[questions.together]
pairs = {pairs}
both_orders = false
sizes = [1, 4]
placebos = 19

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
SERVICE = """
title = "A service that refuses names"
seed = 0

[artists]
tested = {tested}

[[releases]]
name = "service"
api = "{url}"
model = "final"

[prompts]
templates = ["Artwork from {{artist}}"]
per_artist = 8
placebos = 39
nameless = 8

[[encoders]]
name = "demo-style"
model = "demo-style"

[tests]
adjust = "bh"

[questions.refusals]
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


def check(folder: Path, figures: Path | None = None) -> list[Check]:
    """Run the audits in a folder, which resumes; compare answers with the truth, and write figures to `figures`."""
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, n_works=8)
    for name in RELEASES:
        if not (folder / "models" / name / "model_index.json").exists():
            diffusion_folder(name, folder / "models" / name)
    main = _audited(folder, "questions", _plan(RELEASES, NAMES, FURTHER))
    nobody = _audited(folder, "nobody", _plan(("final",), STRANGERS))
    if figures is not None:
        write_figures(main, figures)
    of_releases = [one for release in RELEASES for one in _of_release(main, release)]
    return [
        *of_releases, *_of_erasure(main), *_of_nobody(nobody), *_of_service(_service(folder)), *_of_leakage(folder),
    ]  # fmt: skip


HEAD = ("audit of", "question", "expected", "found", "right")


def rows(checks: Sequence[Check]) -> list[tuple[str, ...]]:
    """Return the cells of a table, under `HEAD`."""
    return [
        (
            one.release,
            one.what,
            one.expected,
            one.found,
            "–" if one.expected == "not known" else "yes" if one.right else "NO",
        )
        for one in checks
    ]


def _plan(releases: Sequence[str], tested: Sequence[str], further: str = "") -> str:
    """Return a plan; artists who were not learned have invented counts if they are alone, and else none."""
    counts = {name: N_LEARNED_FROM if name in LEARNED else 0 for name in tested}
    if not set(tested) & set(LEARNED):
        counts = {name: 4**n for n, name in enumerate(tested)}
    return PLAN.format(
        tested=json.dumps(list(tested)),
        counts="\n".join(f"{json.dumps(name)} = {n}" for name, n in counts.items()),
        releases="".join(RELEASE.format(name=name) for name in releases),
        compare=f'[compare]\nbase = "{releases[0]}"\n' if len(releases) > 1 else "",
    ) + further.format(erased=json.dumps(list(ERASED)), pairs=json.dumps(PAIRS))


def _audited(folder: Path, name: str, text: str, asking: Asking | None = None) -> Report:
    plan = folder / f"{name}.toml"
    plan.write_text(text, encoding="utf-8")
    compute = Compute("auto", asking=asking) if asking else Compute("auto")
    return audit(Run(read_plan(plan), Workspace(folder / f"{name}-audit"), compute, show=_Notes())).report


def _service(folder: Path) -> Report:
    """Audit a service on loopback that answers with the pictures that `final` made, and refuses twelve names."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.support.fake_image_api import image_api, of_folder, refuse_names

    pictures = of_folder(folder / "questions-audit" / "imitations" / "final")
    port_file = folder / "port.txt"  # the same address again, because it is part of the plan
    port = int(port_file.read_text(encoding="utf-8")) if port_file.exists() else 0
    with image_api(refuse_names(*REFUSED), picture=pictures, port=port) as api:
        port_file.write_text(str(api.port), encoding="utf-8")
        text = SERVICE.format(tested=json.dumps(list(NAMES)), url=api.url)
        return _audited(folder, "service", text, Asking(per_minute=100_000))


def _answer(report: Report, release: str, kind: type[Answer]) -> Answer:
    for one in report.questions or ():
        if one.release == release and isinstance(one, kind):
            return one
    raise ImindexError(f"The report has no {kind.__name__} for {release}.")


def _of_release(report: Report, release: str) -> Iterator[Check]:
    """Yield what is known of a release that has learned the first artists, or of these all but the erased ones."""
    level = report.plan.tests.level
    erased = set(ERASED) if release == "erased" else set()
    known = [name for name in LEARNED if name not in erased]

    def of(found: Iterable[str], what: str) -> Iterator[Check]:
        called = set(found)
        yield _counted(release, f"{what}: learned", called, known, least=len(known) - 1)
        yield _counted(release, f"{what}: never seen", called, STRANGERS, most=1)

    adds = _answer(report, release, NameAddsAnswer)
    yield from of(
        (row.artist for row in adds.artists if _at(row.p_adjusted, level)), "the name adds something"
    )
    carried = _answer(report, release, AttributesAnswer)
    yield from of((row.artist for row in carried.artists if row.n_found), "an attribute is nearer")
    ratios = _answer(report, release, LikelihoodRatioAnswer)
    for one in ratios.validations:
        what = f"likelihood ratios against {one.other} are informative"
        if release == "final":
            yield _yes_or_no(release, what, True, one.informative)
        else:  # the erasure damaged the other artists too, so it is not known what they should say
            yield Check(release, what, "not known", "yes" if one.informative else "no", True)
    own = [row.artist for row in ratios.artists if row.other == "invented names" and (row.log10_lr or 0) > 0]
    if release == "final":
        yield from of(own, "median LR above 1")
    else:
        n = sum(name in own for name in known)
        yield Check(release, "median LR above 1: learned", "not known", f"{n} of {len(known)}", True)
    counts = _answer(report, release, TrainingCountsAnswer)
    yield _yes_or_no(release, "AUC rises with training images", True, _at(counts.p, level))
    # The counts are 0 and 600, and any threshold between them fits alike.
    yield _yes_or_no(release, "a threshold is located, by two counts", False, counts.located)
    classes = _answer(report, release, PromptClassesAnswer)
    for one in classes.classes:
        own = {row.artist for row in classes.artists if row.prompt_class == one.name and _at(row.p, level)}
        if one.name in ("simple", "in the style of"):
            left = [n for n in LEARNED if not (n in erased and (n == GONE or one.name == "simple"))]
            yield _counted(release, f"{one.name}: learned", own, left, least=len(left) - 1)
        yield _counted(release, f"{one.name}: never seen, p <= 5 %", own, STRANGERS, most=2)
    together = _answer(report, release, TogetherAnswer)
    beside = {row.artist for row in together.artists if _at(row.p, level)}
    never = [name for pair in PAIRS for name in pair if name in STRANGERS]
    yield _counted(release, "named with another: never seen, p <= 5 %", beside, never, most=2)
    # No release has learned two names in one prompt, so it is not known how many of these are right.
    named = [name for pair in PAIRS for name in pair if name in LEARNED]
    yield Check(
        release, "named with another: learned, p <= 5 %", "some", f"{len(beside & set(named))} of {len(named)}",
        bool(beside & set(named)),
    )  # fmt: skip


def _of_erasure(report: Report) -> Iterator[Check]:
    answer = _answer(report, "erased", ErasureAnswer)
    verdicts = {(row.artist, row.asked): row.verdict for row in answer.artists}
    for artist, asked, allowed in (
        (GONE, "main prompts", ("gone", "undecided")),
        (GONE, "in the style of", ("gone", "undecided")),
        (HALF_GONE, "main prompts", ("gone", "undecided")),
        (HALF_GONE, "in the style of", ("remains",)),
    ):
        said = verdicts[artist, asked]
        yield Check("erased", f"{artist}, {asked}", " or ".join(allowed), said, said in allowed)
    kept = [row for row in answer.kept if row.verdict in ("kept", "lost", "undecided")]
    n = sum(row.verdict == "lost" for row in kept)
    # How many are right is not known: by the model card, the erasure damaged the others too. So few pictures show of
    # nobody that the artist is kept.
    yield Check("erased", "other artists not lost", "some", f"{len(kept) - n} of {len(kept)}", n < len(kept))


def _of_nobody(report: Report) -> Iterator[Check]:
    """Yield what is known of an audit of artists none of whom the release has learned."""
    level, audited = report.plan.tests.level, "final, 8 never seen"
    adds = _answer(report, "final", NameAddsAnswer)
    found = {row.artist for row in adds.artists if _at(row.p_adjusted, level)}
    yield _counted(audited, "the name adds something", found, STRANGERS, most=0)
    carried = _answer(report, "final", AttributesAnswer)
    yield _counted(
        audited, "an attribute is nearer", {r.artist for r in carried.artists if r.n_found}, STRANGERS, most=0
    )
    for one in _answer(report, "final", LikelihoodRatioAnswer).validations:
        yield _yes_or_no(
            audited, f"likelihood ratios against {one.other} are informative", False, one.informative
        )
    counts = _answer(report, "final", TrainingCountsAnswer)
    yield _yes_or_no(audited, "AUC rises with invented counts", False, _at(counts.p, level))
    yield _yes_or_no(audited, "a threshold is located", False, counts.located)


def _of_service(report: Report) -> Iterator[Check]:
    level = report.plan.tests.level
    answer = _answer(report, "service", RefusalsAnswer)
    found = {row.artist for row in answer.artists if _at(row.p_adjusted, level)}
    others = [name for name in NAMES if name not in REFUSED]
    yield _counted("service", "refused more than invented names: refused", found, REFUSED, least=len(REFUSED))
    yield _counted("service", "refused more than invented names: others", found, others, most=0)
    said, asked = sum(row.n_refused for row in answer.artists), 8 * len(REFUSED)
    yield Check("service", "refused pictures", str(asked), str(said), said == asked)


def _of_leakage(folder: Path) -> Iterator[Check]:
    from question_truth_leakage import LEAKED, Design, measure

    rows = measure(folder / "leakage", Design())
    for release in ("final", "leaking"):
        p = {str(row["artist"]): float(str(row["p"])) for row in rows if row["release"] == release}
        for name in p:
            leaks = release == "leaking" and name == LEAKED
            expected = "p <= 5 %" if leaks else "p > 5 %"
            yield Check(
                release,
                f"{name} without being named",
                expected,
                f"p = {p[name]:.2f}",
                (p[name] <= 0.05) == leaks,
            )


def _at(p: float | None, level: float) -> bool:
    return p is not None and p <= level


def _yes_or_no(release: str, what: str, expected: bool, found: bool) -> Check:
    return Check(release, what, "yes" if expected else "no", "yes" if found else "no", expected == found)


def _counted(
    release: str,
    what: str,
    found: set[str],
    among: Sequence[str],
    *,
    least: int = 0,
    most: int | None = None,
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
