"""The section on likelihood ratios, with the report of their validation."""

from __future__ import annotations

from imindex.retrieval.questions.wording import cost
from imindex.retrieval.report.figures.likelihood_ratios import tippett_plot
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import DASH, number, percent, percent_span
from imindex.retrieval.results.questions import (
    LikelihoodRatioAnswer,
    QuestionedPictures,
    ValidatedRatios,
)


def section(identity: str, answer: LikelihoodRatioAnswer) -> Section:
    """Return the section of an answer."""
    tables = [_validations(answer)] if answer.validations else []
    if answer.questioned:
        tables.insert(0, _questioned(answer))
    if answer.artists:
        tables.append(_artists(answer))
    unit = "picture" if answer.group == 1 else f"group of {answer.group} pictures from one source"
    return Section(
        question=(
            f"How much more probable is the score of a {unit} if the artist’s name was asked for (H1) than if another "
            "name was (H2)?"
        ),
        statement=answer.statement,
        figures=tuple(
            tippett_plot(f"{identity}-t{place}", one)
            for place, one in enumerate((*answer.validations, *answer.elsewhere))
        ),
        tables=tuple(tables),
        shows=(
            "The likelihood ratio says how much more probable such a score is under H1 than under H2. It is "
            "calibrated for each artist on pictures of the other artists only, and bounded by what so many artists "
            "can support. The validation states how often it misleads on pictures of known origin: that is its "
            "error rate here."
        ),
        shows_not=(
            "It is not the probability that the artist’s name was asked for: that also depends on everything else "
            "that is known of the case, and is not for this report to say. It compares these two propositions only; "
            "a picture by a person, or made without any name, is neither. It holds for pictures made as those of "
            "the validation were: by this release, with these prompts. It says nothing about what the release was "
            "trained on."
        ),
        notes=answer.notes,
    )


def ratio_text(log10_lr: float | None) -> str:
    """Format a likelihood ratio.

    Examples
    --------
    >>> ratio_text(1.0), ratio_text(-0.5), ratio_text(0.0), ratio_text(None)
    ('10', '1/3.2', '1', '–')
    """
    if log10_lr is None:
        return DASH
    size = 10 ** abs(log10_lr)
    text = f"{size:,.0f}" if size >= 9.95 else f"{size:.1f}".removesuffix(".0")
    return text if log10_lr >= 0 or text == "1" else f"1/{text}"


def _span(low: float | None, high: float | None) -> str:
    return DASH if low is None or high is None else f"{ratio_text(low)} to {ratio_text(high)}"


def _questioned(answer: LikelihoodRatioAnswer) -> Table:
    head = ["picture", "artist in question", "H2", "score", "LR", "interval"]
    scaled = answer.scale != "none"
    return Table(
        title=(
            "Questioned pictures. LR above 1: the score is more probable if this artist’s name was asked for; below "
            "1: if another name was. “≥” and “≤”: the data do not support a more extreme value"
            + ("; words by the verbal scale of ENFSI (2015)" if scaled else "")
        ),
        head=(*head, *(["in words"] if scaled else [])),
        rows=tuple(_questioned_cells(row, scaled) for row in answer.questioned),
    )


def _questioned_cells(row: QuestionedPictures, scaled: bool) -> tuple[str, ...]:
    first = row.pictures[0] + (f" and {len(row.pictures) - 1} more" if len(row.pictures) > 1 else "")
    cells = [first, row.artist, row.other, number(row.score)]
    if row.log10_lr is None:
        return (*cells, f"withheld: {row.withheld}", DASH, *([DASH] if scaled else []))
    bound = "" if not row.at_bound else "≥ " if row.log10_lr > 0 else "≤ " if row.log10_lr < 0 else ""
    cells += [bound + ratio_text(row.log10_lr), _span(row.log10_low, row.log10_high)]
    return (*cells, *([row.words] if scaled else []))


def _validations(answer: LikelihoodRatioAnswer) -> Table:
    return Table(
        title=(
            f"Validation (performance characteristics of Meuwly et al. 2017), {100 * answer.confidence_level:g} % "
            "intervals over artists and names. Criterion: the interval of the cost (Cllr) is below 1. Other "
            "releases: the same ratios applied there"
        ),
        head=("tried on", "H2", "artists", "other names", "accuracy: Cllr", "interval", "discrimination: Cllr min",
              "calibration loss", "equal error rate", "H1 misled", "interval", "H2 misled", "interval",
              "LR between", "criterion"),
        rows=tuple(_validation_cells(one) for one in (*answer.validations, *answer.elsewhere)),
    )  # fmt: skip


def _validation_cells(one: ValidatedRatios) -> tuple[str, ...]:
    return (
        one.tried_on,
        one.other,
        f"{one.n_artists:,}",
        f"{one.n_others:,}",
        cost(one.cllr),
        f"{cost(one.cllr_low)} to {cost(one.cllr_high)}",
        number(one.cllr_min),
        number(one.loss),
        percent(one.equal_error_rate),
        percent(one.misleading_same),
        percent_span(one.misleading_same_low, one.misleading_same_high),
        percent(one.misleading_different),
        percent_span(one.misleading_different_low, one.misleading_different_high),
        _span(one.log10_lowest, one.log10_highest),
        "met" if one.informative else "not met",
    )


def _artists(answer: LikelihoodRatioAnswer) -> Table:
    return Table(
        title="Own pictures of each artist, by ratios that were calibrated on the other artists",
        head=("artist", "H2", "pictures", "median LR", "LR below 1", "LR between"),
        rows=tuple(
            (
                row.artist,
                row.other,
                f"{row.n_own:,}",
                ratio_text(row.log10_lr) if row.judged else "not judged",
                percent(row.misleading),
                _span(row.log10_lowest, row.log10_highest),
            )
            for row in answer.artists
        ),
        folded=True,
    )
