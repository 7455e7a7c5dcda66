"""What limits an audit's findings, in sentences that a reader can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import UNSET

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.text import ADJUSTED, count, listed
from imindex.retrieval.results import Limit, Report, ReportResult

SHARED = (
    ("clip-vit-large-patch14", "vit-l-14", "openai"),
    ("clip-vit-base-patch32", "vit-b-32", "openai"),
    ("clip-vit-base-patch16", "vit-b-16", "openai"),
    ("clip-vit-h-14-laion2b", "vit-h-14", "laion2b"),
    ("clip-vit-bigg-14-laion2b", "vit-bigg-14", "laion2b"),
    ("clip-vit-l-14-laion2b", "vit-l-14", "laion2b"),
    ("clip-vit-b-32-laion2b", "vit-b-32", "laion2b"),
)
"""A text encoder as diffusers calls it, and the model and weights that are the same one in open_clip."""


def limits(report: Report) -> tuple[Limit, ...]:
    """List what limits the findings of a report.

    Parameters
    ----------
    report : Report
        Its own `limits` are not looked at.

    Returns
    -------
    tuple of Limit
        Those of this audit before those of every audit.
    """
    found = [
        *_text_encoders(report),
        *_cannot_tell(report),
        *_not_tested(report),
        *_few_references(report),
        *_no_placebos(report),
        *_placebo_names(report),
        *_encoders(report),
        *_lost(report),
        *_amended(report),
        *_other_tests(report),
        *_made_elsewhere(report),
        *_prompts(report),
        *_family(report),
        *_always(),
    ]
    return tuple(Limit(title=title, text=text) for title, text in found)


def shares_text_encoder(model: str, text_encoder: str) -> bool:
    """Whether an encoder, as open_clip calls it, is the text encoder of a pipeline, as diffusers calls it.

    Examples
    --------
    >>> shares_text_encoder("ViT-L-14/openai", "CLIPTextModel openai/clip-vit-large-patch14")
    True
    >>> shares_text_encoder("ViT-L-14/openai", "T5EncoderModel google/t5-v1_1-xxl")
    False
    """
    ours, theirs = (re.sub(r"[_\s]", "-", name.lower()) for name in (model, text_encoder))
    for name, architecture, weights in SHARED:
        if name in theirs and re.match(rf"{architecture}(-quickgelu)?(?![\w-])", ours) and weights in ours:
            return True
    return bool(ours) and ours in theirs


def _text_encoders(report: Report) -> Iterator[tuple[str, str]]:
    unknown = []
    for release in report.releases:
        for encoder in report.encoders:
            same = [name for name in release.text_encoders if shares_text_encoder(encoder.model, name)]
            if same:
                yield (
                    "Generator and encoder share a text encoder",
                    f"{release.name} reads its prompts with {listed(same)}, and {encoder.name} judges "
                    "with the same model. A name that this model knows well is both drawn and recognised more "
                    "easily: high accuracy by name may be agreement of one model with itself. Nearness to "
                    "works (AUC) uses no text; an encoder of other weights would tell more.",
                )
        if not release.text_encoders:
            unknown.append(release.name)
    if unknown:
        yield (
            "Text encoder not known",
            f"How {listed(unknown)} {'reads its' if len(unknown) == 1 else 'read their'} prompts is not known, and so "
            "whether it shares a text encoder with the encoder that judges.",
        )


def _with(result: ReportResult, finding: Finding) -> list[str]:
    return [row.artist for row in result.artists if row.finding == finding]


def _cannot_tell(report: Report) -> Iterator[tuple[str, str]]:
    seen = set()
    for result in report.results:
        names = tuple(_with(result, Finding.CANNOT_TELL))
        if names and (result.encoder, names) not in seen:
            seen.add((result.encoder, names))
            yield (
                f"Artists that {result.encoder} cannot tell apart",
                f"Held-out works of {count(len(names), 'artist')} do not score higher for their own artist than works "
                f"of others do: {listed([_short(name) for name in names])}. By this encoder, nothing can be said about "
                "them: neither that they are imitated nor that they are not.",
            )


def _not_tested(report: Report) -> Iterator[tuple[str, str]]:
    seen = set()
    for result in report.results:
        names = tuple(_with(result, Finding.NOT_TESTED))
        if names and names not in seen:
            seen.add(names)
            yield (
                "Artists that could not be tested",
                f"{result.release} by {result.encoder}: {listed([_short(name) for name in names])}. They "
                "have too few works (fewer than 5) or no imitations, or no set of the same design (as many pictures "
                "of each prompt, which blocked pictures can undo) to compare them with.",
            )


def _few_references(report: Report) -> Iterator[tuple[str, str]]:
    """Say what the number of reference names did not allow to find."""
    for result in report.results:
        summary = result.summary
        if summary.level is None or summary.adjust is None or not summary.family:
            continue
        where, kind = (
            f"{result.release} by {result.encoder}",
            "placebo" if summary.n_placebo_names else "other",
        )
        over = f"{ADJUSTED[summary.adjust]} over {count(summary.family, 'artist')} at level {summary.level:g}"
        if summary.fewest_findable is None:
            yield (
                f"Too few {kind} names",
                f"{where}: with so few {kind} names, no p-value can be small enough for {over}. This design could find "
                "nobody, however strong the imitation.",
            )
        elif summary.fewest_findable > 1:
            yield (
                f"Too few {kind} names to find a single artist",
                f"{where}: with so few {kind} names, {over} can find artists only if at least "
                f"{summary.fewest_findable} are found together. If fewer are imitated, none is found.",
            )
        untestable = _with(result, Finding.SPECIFICITY_NOT_TESTABLE)
        if untestable:
            yield (
                "Too few other artists",
                f"{where}: for {listed([_short(name) for name in untestable])} there are too few other names for the "
                "rival test to be significant, so it is not known whether the effect of the name is specific to the "
                "artist. Further real names in the release, without works, would make it testable.",
            )


def _no_placebos(report: Report) -> Iterator[tuple[str, str]]:
    without = sorted({result.release for result in report.results if not result.summary.n_placebo_names})
    if without:
        yield (
            "No invented names",
            f"{listed(without)} was not asked for invented names. So it is not known how near pictures come "
            "without any real name, and whether the name makes a difference is not tested: only whether the "
            "pictures are nearer to this artist than those for other artists are.",
        )


def _placebo_names(report: Report) -> Iterator[tuple[str, str]]:
    """What the tests themselves found wrong with their references."""
    for result in report.results:
        for note in result.notes:
            yield f"References of {result.release} by {result.encoder}", note
    origins = report.plan.origins
    if origins is not UNSET:
        unknown = [one.artist for one in origins if not one.origin]
        guessed = [one for one in origins if one.origin and one.source != "stated"]
        if unknown or guessed:
            yield (
                "Origins of names",
                "Placebo names match the origins of the artists' names. Of these origins, "
                f"{len(guessed)} {'was' if len(guessed) == 1 else 'were'} guessed from the name and {len(unknown)} "
                f"{'is' if len(unknown) == 1 else 'are'} unknown. If a guess is wrong, an artist's name can differ "
                "from its placebo names in origin alone, and the name test may call the artist too often.",
            )


def _encoders(report: Report) -> Iterator[tuple[str, str]]:
    if len(report.encoders) == 1:
        yield (
            "One encoder",
            f"All figures are by one encoder, {report.encoders[0].name}: nearness is what it sees. Another may "
            "see differently; with several in the plan the report says how far they agree.",
        )


def _lost(report: Report) -> Iterator[tuple[str, str]]:
    blocked = {release.name: len(release.blocked) for release in report.releases if release.blocked}
    if blocked:
        said = listed([f"{n:,} of {name}" for name, n in blocked.items()])
        yield (
            "Blocked pictures",
            f"A safety filter took pictures away, or they came out in one colour: {said}. They count neither for nor "
            "against imitation; if they were blocked because of the name, the others are no fair sample.",
        )
    if report.rejects:
        n = len(report.rejects)
        yield (
            "Pictures that could not be read",
            f"{count(n, 'picture')} could not be read and {'is' if n == 1 else 'are'} in no figure; the list is at the "
            "end.",
        )
    repeated = max((result.summary.n_repeated for result in report.results), default=0)
    if repeated:
        yield (
            "Repeated pictures",
            f"{count(repeated, 'repetition')} of a picture under one name {'is' if repeated == 1 else 'are'} left out: "
            "what lies there many times is one picture.",
        )


def _amended(report: Report) -> Iterator[tuple[str, str]]:
    n = len(report.plan.amendments)
    if n:
        yield (
            "The plan was changed after it was registered",
            f"{count(n, 'change')}, listed with the plan. A question that was changed after pictures were seen is "
            "answered less surely than its p-values say.",
        )


def _other_tests(report: Report) -> Iterator[tuple[str, str]]:
    if report.plan.tests_used != report.plan.tests_registered:
        yield (
            "The tests are not those that were registered",
            f"The plan was registered with version {report.plan.tests_registered} of the tests, and this report uses "
            f"version {report.plan.tests_used}: a later imindex computed it, with other statistics or rules. The way "
            "of answering was not fixed before the pictures were made.",
        )


def _made_elsewhere(report: Report) -> Iterator[tuple[str, str]]:
    names = [release.name for release in report.releases if release.source == "pictures"]
    if names:
        yield (
            "Pictures made elsewhere",
            f"The pictures of {listed(names)} were there before the plan was registered. That they are all that was "
            "made, made as is said, and not chosen by what they show, only their maker can say. The register holds a "
            "digest of them.",
        )


def _prompts(report: Report) -> Iterator[tuple[str, str]]:
    if report.plan.templates:
        quoted = listed([f"“{text}”" for text in report.plan.templates])
        yield (
            "These prompts, this seed",
            f"Pictures were asked for with {quoted}, and their seeds come from the one plan seed "
            f"{report.plan.seed}. Intervals are for prompts and seeds such as these; with few prompts they are for "
            "these prompts only. Other prompts may imitate more, or less.",
        )


def _family(report: Report) -> Iterator[tuple[str, str]]:
    if len(report.results) > 1:
        yield (
            "Corrected for artists, not for releases or encoders",
            "p-values are adjusted over the artists of one release by one encoder. There are "
            f"{len(report.results)} such results here: who picks the strongest of them picks chance as well.",
        )


def _always() -> Sequence[tuple[str, str]]:
    return (
        (
            "What a p-value is not",
            "It is not the probability that there is no imitation, and it does not say how strong an "
            "imitation is: AUC and accuracy do, with their intervals. A p above the level is no evidence of "
            "absence.",
        ),
        (
            "“Not shown” is not “not imitated”",
            "These works, pictures and encoder did not suffice to show it. With more of them it may show.",
        ),
        (
            "Nearness to works is not the use of works",
            "The figures say how near pictures come to works, not how they came to be so: nothing here says "
            "whether the works were in any training data, nor what the law makes of it. Style and copying are "
            "different findings and are reported apart.",
        ),
    )


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"
