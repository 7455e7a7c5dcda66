"""The limits of an audit's findings, as sentences that a reader can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.text import ADJUSTED, count, listed
from imindex.retrieval.results import Adjust, Limit, Report, ReportResult

SHARED = (
    ("clip-vit-large-patch14", "vit-l-14", "openai"),
    ("clip-vit-base-patch32", "vit-b-32", "openai"),
    ("clip-vit-base-patch16", "vit-b-16", "openai"),
    ("clip-vit-h-14-laion2b", "vit-h-14", "laion2b"),
    ("clip-vit-bigg-14-laion2b", "vit-bigg-14", "laion2b"),
    ("clip-vit-l-14-laion2b", "vit-l-14", "laion2b"),
    ("clip-vit-b-32-laion2b", "vit-b-32", "laion2b"),
)
"""The name of a text encoder in diffusers, and the model and weights of the same encoder in open_clip."""


def limits(report: Report) -> tuple[Limit, ...]:
    """List the limits of the findings of a report.

    Parameters
    ----------
    report : Report
        Its own `limits` are ignored.

    Returns
    -------
    tuple of Limit
        The limits of this audit, then those of every audit.
    """
    sentences = [
        *_text_encoders(report),
        *_cannot_tell(report),
        *_not_tested(report),
        *_few_references(report),
        *_no_placebos(report),
        *_encoders(report),
        *_lost(report),
        *_amended(report),
        *_made_elsewhere(report),
        *_prompts(report),
        *_family(report),
        *_always(),
    ]
    return tuple(Limit(title=title, text=text) for title, text in sentences)


def shares_text_encoder(model: str, text_encoder: str) -> bool:
    """Whether an encoder (its open_clip name) is the text encoder of a pipeline (its diffusers name).

    Examples
    --------
    >>> shares_text_encoder("ViT-L-14/openai", "CLIPTextModel openai/clip-vit-large-patch14")
    True
    >>> shares_text_encoder("ViT-L-14/openai", "T5EncoderModel google/t5-v1_1-xxl")
    False
    """
    encoder, pipeline = (re.sub(r"[_\s]", "-", name.lower()) for name in (model, text_encoder))
    for name, architecture, weights in SHARED:
        same_model = re.match(rf"{architecture}(-quickgelu)?(?![\w-])", encoder) and weights in encoder
        if name in pipeline and same_model:
            return True
    return bool(encoder) and encoder in pipeline


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


def _artists_with(result: ReportResult, finding: Finding) -> list[str]:
    return [row.artist for row in result.artists if row.finding == finding]


def _cannot_tell(report: Report) -> Iterator[tuple[str, str]]:
    seen = set()
    for result in report.results:
        names = tuple(_artists_with(result, Finding.CANNOT_TELL))
        if names and (result.encoder, names) not in seen:
            seen.add((result.encoder, names))
            yield (
                f"Artists that {result.encoder} cannot tell apart",
                f"The works of {count(len(names), 'artist')} are not robustly nearer to each other than to works of "
                f"others: {listed([_short(name) for name in names])}. By this encoder nothing is said of them, neither "
                "that they are imitated nor that they are not.",
            )


def _not_tested(report: Report) -> Iterator[tuple[str, str]]:
    seen = set()
    for result in report.results:
        names = tuple(_artists_with(result, Finding.NOT_TESTED))
        if names and names not in seen:
            seen.add(names)
            yield (
                "Artists that could not be tested",
                f"{result.release} by {result.encoder}: {listed([_short(name) for name in names])}. They "
                "have too few works (fewer than 5) or no imitations, or no set of the same design (as many pictures "
                "of each prompt, which blocked pictures can undo) to compare them with.",
            )


def _few_references(report: Report) -> Iterator[tuple[str, str]]:
    """Report tests whose smallest possible p-value cannot be significant after correction."""
    for result in report.results:
        summary = result.summary
        level, adjust, family = summary.level, summary.adjust, summary.family
        if level is None or adjust is None or not family:
            continue
        bound = _largest_p_called(level, adjust, family)
        for kind, what, resolutions in (
            ("name", "placebo names", [row.resolution_name for row in result.artists]),
            ("rival", "other artists", [row.resolution_rival for row in result.artists]),
        ):
            least = min((resolution for resolution in resolutions if resolution), default=0.0)
            if least > bound:
                enough = f"; {summary.references_needed:,} would do" if adjust == "holm" else ""
                yield (
                    "Too few names to compare with",
                    f"{result.release} by {result.encoder}: with {round(1 / least) - 1} {what} no p of the "
                    f"{kind} test can be below {least:.2g}, while {ADJUSTED[adjust]} over "
                    f"{count(family, 'artist')} calls nobody unless some p is {bound:.2g} or less. So this "
                    f"test could have called nobody, however strong the imitation{enough}.",
                )


def _largest_p_called(level: float, adjust: Adjust, n: int) -> float:
    """Return the largest value of the smallest p-value at which any artist is significant after correction."""
    if adjust == "holm":
        return level / n
    return level if adjust == "bh" else level / sum(1 / k for k in range(1, n + 1))


def _no_placebos(report: Report) -> Iterator[tuple[str, str]]:
    without = sorted({result.release for result in report.results if not result.summary.n_placebo_names})
    if without:
        yield (
            "No invented names",
            f"{listed(without)} was not asked for invented names. So it is not known how near pictures come "
            "without any real name, and whether the name makes a difference is not tested: only whether the "
            "pictures are nearer to this artist than those for other artists are.",
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
