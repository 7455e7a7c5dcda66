"""The limits of an audit's findings, in sentences that a reader can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import UNSET

from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.retrieval.report.text import ADJUSTED, count, listed, report_wide
from imindex.retrieval.report.together import combined_of, leading_results
from imindex.retrieval.results import CombinedArtist, Limit, Report, ReportResult

SHARED = (
    ("clip-vit-large-patch14", "vit-l-14", "openai"),
    ("clip-vit-base-patch32", "vit-b-32", "openai"),
    ("clip-vit-base-patch16", "vit-b-16", "openai"),
    ("clip-vit-h-14-laion2b", "vit-h-14", "laion2b"),
    ("clip-vit-bigg-14-laion2b", "vit-bigg-14", "laion2b"),
    ("clip-vit-l-14-laion2b", "vit-l-14", "laion2b"),
    ("clip-vit-b-32-laion2b", "vit-b-32", "laion2b"),
)
"""The name of a text encoder in diffusers, and the architecture and weights of the same one in open_clip."""

_BACKENDS = re.compile(r"transformers:|hf-hub:|local-dir:")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def limits(report: Report) -> tuple[Limit, ...]:
    """List what limits the findings of a report.

    Parameters
    ----------
    report : Report
        Its `limits` are ignored.

    Returns
    -------
    tuple of Limit
        First those of this audit, then those of every audit.
    """
    found = [
        *_text_encoders(report),
        *_without_names(report),
        *_cannot_tell(report),
        *_effect_below_half(report),
        *_not_tested(report),
        *_few_references(report),
        *_no_placebos(report),
        *_references(report),
        *_origins(report),
        *_encoders(report),
        *_cut_texts(report),
        *_choices(report),
        *_adjusted(report),
        *_lost(report),
        *(_registration(report) if report.plan.digest else ()),
        *_prompts(report),
        *_family(report),
        *_questions(report),
        *_always(len(report.encoders)),
    ]
    return tuple(Limit(title=title, text=text) for title, text in found)


def shares_text_encoder(model: str, text_encoder: str) -> bool | None:
    """Whether an encoder (as `--model` takes it) is the text encoder of a pipeline (diffusers' name).

    Returns
    -------
    bool, optional
        None if the names do not say: the text encoder has none or that of a folder, or the encoder is a folder of
        another name.

    Examples
    --------
    >>> shares_text_encoder("ViT-L-14/openai", "CLIPTextModel openai/clip-vit-large-patch14")
    True
    >>> shares_text_encoder("transformers:/models/clip-vit-large-patch14", "openai/clip-vit-large-patch14")
    True
    >>> shares_text_encoder("ViT-L-14/openai", "T5EncoderModel google/t5-v1_1-xxl")
    False
    >>> shares_text_encoder("ViT-L-14/openai", "CLIPTextModel") is None
    True
    """
    backend, bare = _bare(model)
    ours, theirs = (re.sub(r"[_\s]", "-", name.lower()) for name in (bare, text_encoder))
    for name, architecture, weights in SHARED:
        if name in theirs and re.match(rf"{architecture}(-quickgelu)?(?![\w-])", ours) and weights in ours:
            return True
    if not ours:
        return False
    if ours in theirs and not backend:
        return True
    named = re.sub(r" \(.*\)$", "", text_encoder).rpartition(" ")[2].rstrip("/")
    last, other = (re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower() for name in (bare, named))
    if backend and last == other:
        return True
    if not re.search("clip", theirs) or ours.startswith("demo"):
        return False
    known = [name for name, *_ in SHARED]
    if _HUB_NAME.fullmatch(named) is None and other not in known:
        return None
    return None if backend and _HUB_NAME.fullmatch(bare) is None and last not in known else False


def _bare(model: str) -> tuple[str, str]:
    """Return the back end that a model's name begins with, of `_BACKENDS`, and the name without it and options."""
    match = _BACKENDS.match(model)
    if match is None:
        return "", model
    return match[0], model[match.end() :].partition("?")[0]


def _text_encoders(report: Report) -> Iterator[tuple[str, str]]:
    unknown, without = [], _images_only(report)
    for release in report.releases:
        undecided = not release.text_encoders and len(without) < len(report.encoders)
        for encoder in report.encoders:
            if encoder.name in without:
                continue
            shares = {name: shares_text_encoder(encoder.model, name) for name in release.text_encoders}
            same = [name for name, shared in shares.items() if shared]
            if same:
                yield (
                    "Generator and encoder share a text encoder",
                    f"{release.name} encodes its prompts with {listed(same)}, and {encoder.name} uses the same "
                    f"model. A name that this model knows well is easier both to draw and to recognise, so that high "
                    f"accuracy by name may only show that a model agrees with itself. Nearness to works (AUC) uses "
                    f"no text. An encoder with other weights would be independent.",
                )
            elif None in shares.values():
                undecided = True
        if undecided:
            unknown.append(release.name)
    if unknown:
        yield (
            "Text encoder not known",
            f"The text encoder of {listed(unknown)} is not known, and so it is not known whether the release shares it "
            f"with {'the encoder' if len(report.encoders) == 1 else 'an encoder'} of this audit.",
        )


def _images_only(report: Report) -> list[str]:
    """Return the encoders without a text side."""
    return list(dict.fromkeys(result.encoder for result in report.results if result.by_works is not None))


def _without_names(report: Report) -> Iterator[tuple[str, str]]:
    """Say which encoder was asked for which classification."""
    without = _images_only(report)
    if not without or not report.plan.digest:
        return
    names = listed(without)
    has, compares = ("has", "compares") if len(without) == 1 else ("have", "compare")
    text = (
        f"{names} {has} no text side and {compares} pictures with the artists’ works, not with their names: the "
        "classification is by works."
    )
    if named := [encoder.name for encoder in report.encoders if encoder.name not in without]:
        text += (
            f" The classification of {listed(named)} is by name. The two accuracies answer different questions, have "
            "different candidates, and cannot be compared with each other."
        )
    else:
        text += " So nothing here says how often the artists’ names are recognised."
    yield "Classified by works, not by name", text


def _with(result: ReportResult, finding: Finding) -> list[str]:
    return [row.artist for row in result.artists if row.finding == finding]


def _cannot_tell(report: Report) -> Iterator[tuple[str, str]]:
    seen = set()
    others = (
        " It has no part in their findings, which rest on the other encoders if these can tell them."
        if combined_of(report)
        else ""
    )
    for result in report.results:
        names = tuple(_with(result, Finding.CANNOT_TELL))
        if names and (result.encoder, names) not in seen:
            seen.add((result.encoder, names))
            yield (
                f"Artists that {result.encoder} cannot tell apart",
                f"Held-out works of {count(len(names), 'artist')} do not score higher for their own artist than "
                f"works of other artists do: {listed([_short(name) for name in names])}. {result.encoder} can say "
                f"nothing about these artists, neither that they are imitated nor that they are not.{others}",
            )


def _effect_below_half(report: Report) -> Iterator[tuple[str, str]]:
    """Name the artists with a finding whose AUC points the other way, by an encoder that the finding rests on."""
    combined = combined_of(report)
    for one in combined.values():
        for encoder in one.encoders:
            names = [row.artist for row in one.artists if row.finding in SIGNIFICANT and _below(row, encoder)]
            if names:
                yield (
                    "A finding beside an AUC below 0.5",
                    f"{one.release}: {listed([_short(name) for name in names])} {'has' if len(names) == 1 else 'have'} "
                    f"a finding by {listed(one.encoders)} in one test, and an AUC below 0.5 by {encoder}. The test "
                    "adds up, over the encoders, how typical pictures are of this artist rather than of the other "
                    "artists, and the AUC compares how near they are to the works by one encoder. Pictures can have "
                    "something of the artist that others lack, and yet be further from the works than most; and one "
                    "encoder can be outweighed by others. Look at the pictures before you rely on it.",
                )
    for result in [] if combined else report.results:
        names = [
            row.artist
            for row in result.artists
            if row.finding in SIGNIFICANT and row.auc is not None and row.auc < 0.5
        ]
        if names and result.summary.statistic not in (None, "rank"):
            yield (
                "A finding beside an AUC below 0.5",
                f"{result.release} by {result.encoder}: {listed([_short(name) for name in names])}. The tests compare "
                "how typical pictures are of this artist rather than of the other artists "
                f"({result.summary.statistic}), and the AUC compares how near they are to the works. Pictures can "
                "have something of the artist that others lack, and yet be further from the works than most. "
                "Look at the pictures before you rely on it.",
            )


def _below(row: CombinedArtist, encoder: str) -> bool:
    """Whether the AUC by an encoder with weight is below 0.5."""
    return any(
        part.encoder == encoder and part.weight > 0 and part.auc is not None and part.auc < 0.5
        for part in row.encoders
    )


def _not_tested(report: Report) -> Iterator[tuple[str, str]]:
    seen = set()
    alone = " alone" if combined_of(report) else ""
    for result in report.results:
        names = tuple(_with(result, Finding.NOT_TESTED))
        if names and names not in seen and result.summary.level is not None:
            seen.add(names)
            yield (
                "Artists that could not be tested",
                f"{result.release} by {result.encoder}{alone}: {listed([_short(name) for name in names])}. There are "
                "too few works (fewer than 5), no imitations, or no other set of the same design (equally many "
                "pictures of each prompt) to compare them with. Blocked pictures can be the reason.",
            )


def _few_references(report: Report) -> Iterator[tuple[str, str]]:
    """State what could not be found because there are too few reference names."""
    said: dict[tuple[str, str], list[str]] = {}
    for result in leading_results(report):
        summary = result.summary
        if summary.level is None or summary.adjust is None or not summary.family:
            continue
        where = f"{result.release} by {result.encoder}"
        kind = "placebo" if summary.n_placebo_names else "other"
        over = f"{ADJUSTED[summary.adjust]} over {count(summary.family, 'artist')} at level {summary.level:g}"
        if summary.fewest_findable is None:
            title = f"Too few {kind} names"
            text = (
                f"There are so few {kind} names that no p-value can pass {over}. This design could not have found "
                "anybody, however strong the imitation."
            )
            said.setdefault((title, text), []).append(where)
        elif summary.fewest_findable > 1:
            title = f"Too few {kind} names to find a single artist"
            text = (
                f"There are so few {kind} names that {over} finds artists only if it finds at least "
                f"{summary.fewest_findable} together. If fewer are imitated, it finds none."
            )
            said.setdefault((title, text), []).append(where)
        untestable = _with(result, Finding.SPECIFICITY_NOT_TESTABLE)
        if untestable:
            names = listed([_short(name) for name in untestable])
            text = (
                f"There are so few other names that the rival test cannot be significant for {names}. So it is not "
                f"known whether the effect of the name is specific to the artist. Further real names in the release, "
                f"without works, would make it testable."
            )
            said.setdefault(("Too few other artists", text), []).append(where)
    for (title, text), places in said.items():
        yield title, f"{listed(places)}: {text[:1].lower()}{text[1:]}"


def _no_placebos(report: Report) -> Iterator[tuple[str, str]]:
    without = sorted(
        {
            result.release
            for result in report.results
            if not result.summary.n_placebo_names and result.summary.n_ranked
        }
    )
    if without:
        yield (
            "No invented names",
            f"No pictures of {listed(without)} were made for invented names. So it is not known how near pictures come "
            "without any real name, and it is not tested whether the name makes a difference. It is tested only "
            "whether the pictures are nearer to this artist's works than pictures made for other artists are.",
        )


def _references(report: Report) -> Iterator[tuple[str, str]]:
    """Yield what the tests report about their own references."""
    for result in report.results:
        for note in result.notes:
            yield f"References of {result.release} by {result.encoder}", note


def _origins(report: Report) -> Iterator[tuple[str, str]]:
    origins = report.plan.origins
    if origins is UNSET:
        return
    unknown = [one.artist for one in origins if not one.origin]
    guessed = [one for one in origins if one.origin and one.source != "stated"]
    if unknown or guessed:
        yield (
            "Origins of names",
            f"Placebo names match the artists' names in origin. Of these origins, {len(guessed)} "
            f"{'was' if len(guessed) == 1 else 'were'} guessed from the name and {len(unknown)} "
            f"{'is' if len(unknown) == 1 else 'are'} unknown. If a guess is wrong, an artist's name may differ from "
            f"its placebo names in origin alone, and the name test may call the artist too often.",
        )


def _choices(report: Report) -> Iterator[tuple[str, str]]:
    for encoder in report.encoders:
        choice = encoder.chosen
        if choice is None:
            continue
        faults = list(choice.differences)
        if choice.imitations_present:
            faults.insert(0, "An index held imitations when the encoders were compared.")
        if not choice.recommended:
            faults.append("The rule of the comparison recommended another encoder.")
        if faults:
            yield (f"Reservations about the choice of {encoder.name}", " ".join(faults))


def _encoders(report: Report) -> Iterator[tuple[str, str]]:
    if len(report.encoders) == 1:
        yield (
            "One encoder",
            f"All figures rest on one encoder, {report.encoders[0].name}: “near” means near to this encoder. Another "
            f"one may disagree. With several encoders in the plan, the report shows how far they agree.",
        )


def _adjusted(report: Report) -> Iterator[tuple[str, str]]:
    how = list(dict.fromkeys(result.adjusted for result in report.results if result.adjusted))
    if how:
        yield (
            "Similarities are adjusted",
            f"Similarities are not plain cosines: they are {listed(how)}. What adjusts them was learnt on works only, "
            "before any imitation was compared, so that the tests keep their level. Figures with and without it cannot "
            "be compared with each other.",
        )


def _lost(report: Report) -> Iterator[tuple[str, str]]:
    blocked = {release.name: len(release.blocked) for release in report.releases if release.blocked}
    if blocked:
        said = listed([f"{n:,} of {name}" for name, n in blocked.items()])
        yield (
            "Blocked pictures",
            f"A safety filter removed pictures, or they came out in a single colour: {said}. They count neither for "
            f"nor against imitation. If they were blocked because of the name, the others are not a fair sample.",
        )
    if report.rejects:
        n = len(report.rejects)
        yield (
            "Pictures that could not be read",
            f"{count(n, 'picture')} could not be read and {'is' if n == 1 else 'are'} in no figure. The provenance "
            f"lists {'it' if n == 1 else 'them'}.",
        )
    repeated = max((result.summary.n_repeated for result in report.results), default=0)
    if repeated:
        yield (
            "Repeated pictures",
            f"{count(repeated, 'duplicate')} of a picture under the same name {'is' if repeated == 1 else 'are'} left "
            "out: copies of a file count as one picture.",
        )


def _registration(report: Report) -> Iterator[tuple[str, str]]:
    """State what is not certain about the order of question and answer."""
    plan = report.plan
    if plan.amendments:
        yield (
            "The plan was changed after it was registered",
            f"{count(len(plan.amendments), 'change')}, listed with the plan. If a question was changed after pictures "
            "were seen, its p-values are smaller than they should be.",
        )
    if plan.tests_used != plan.tests_registered:
        yield (
            "The tests are not those that were registered",
            f"The plan was registered with version {plan.tests_registered} of the tests, and this report was computed "
            f"by a later imindex with version {plan.tests_used}, which has other statistics or rules. So the tests "
            f"were not fixed before the pictures were made.",
        )
    given = [release.name for release in report.releases if release.source == "pictures"]
    if given:
        yield (
            "Pictures made elsewhere",
            f"The pictures of {listed(given)} existed before the plan was registered. Only their maker can say that "
            f"they are all that was made, that they were made as stated, and that they were not chosen by what they "
            f"show. The register holds their digest.",
        )


def _prompts(report: Report) -> Iterator[tuple[str, str]]:
    if report.plan.templates:
        quoted = listed([f"“{text}”" for text in report.plan.templates])
        yield (
            "These prompts, this seed",
            f"The prompts are {quoted}, and all picture seeds derive from the plan's seed {report.plan.seed}. "
            f"Intervals apply to prompts and seeds like these; with few prompts, to these prompts only. Other "
            f"prompts may lead to more imitation, or less.",
        )


def _cut_texts(report: Report) -> Iterator[tuple[str, str]]:
    for result in report.results:
        if cut := result.cut_texts:
            yield (
                f"Texts too long for {result.encoder}",
                f"{result.release}: {cut.sentence(f'the encoder {result.encoder}')} The longest is “{cut.example}”.",
            )


def _questions(report: Report) -> Iterator[tuple[str, str]]:
    n = len({type(answer) for answer in report.questions or ()})
    if n:
        yield (
            "Further questions have their own tests",
            f"The plan asks {count(n, 'further question')}. Each corrects its p-values over the artists by itself, and "
            "nothing corrects over questions, releases or encoders: of several answers where nothing is to be found, "
            "one may be a chance finding. The answer of this report does not rest on them.",
        )


def _family(report: Report) -> Iterator[tuple[str, str]]:
    n = len(report.results)
    combined = combined_of(report)
    if combined:
        encoders = listed([encoder.name for encoder in report.encoders])
        yield (
            "One test for all encoders",
            f"The findings rest on {encoders} in one test, which keeps its level whatever the encoders have in common. "
            "The findings by one encoder alone are not corrected for the number of encoders, and picking the strongest "
            "of them also picks chance. If one encoder reacts to a difference between invented and real names that is "
            "not the artist's, such as their origin, then so does the test of all of them: see the check of the "
            "invented names, which is made by each encoder.",
        )
        if len(combined) > 1:
            yield (
                "Findings are corrected for artists, not for releases",
                "The p-values behind the findings are adjusted over the artists of one release. There are "
                f"{len(combined)} releases here, and picking the strongest of them also picks chance. "
                f"{report_wide(report)}".strip(),
            )
    elif n > 1:
        yield (
            "Findings are corrected for artists, not for releases or encoders",
            "The p-values behind the findings are adjusted over the artists of one release and one encoder. There are "
            f"{n} such results here, and picking the strongest of them also picks chance. "
            f"{report_wide(report)}".strip(),
        )


def _always(n_encoders: int) -> Sequence[tuple[str, str]]:
    encoders = "this encoder" if n_encoders == 1 else "these encoders"
    return (
        (
            "What a p-value is not",
            "It is not the probability that there is no imitation, and it does not measure how strong an imitation is: "
            "AUC and accuracy do, with their intervals. A p-value above the level is not evidence of absence.",
        ),
        (
            "“Not shown” is not “not imitated”",
            f"It means that these works, pictures and {encoders} were not enough to show imitation. More of them "
            "may be.",
        ),
        (
            "Nearness to works is not use of works",
            "The figures measure how near pictures are to works, not why. Nothing here shows whether the works were in "
            "any training data, or what follows in law. Style and copying are different findings and are reported "
            "separately.",
        ),
    )


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"
