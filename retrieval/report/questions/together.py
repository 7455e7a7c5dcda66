"""The section on several artists in one prompt."""

from __future__ import annotations

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.scales import nice_ticks
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import ADJUSTED, count, p_value, percent, percent_span
from imindex.retrieval.results.questions import NameInPair, SetsOfArtists, TogetherAnswer
from imindex.stats.multiple import is_called


def section(identity: str, answer: TogetherAnswer) -> Section:
    """Return the section of an answer."""
    drawn = [row for row in answer.artists if _scaled(row, row.company) is not None]
    tables = (_names(answer), _pairs(answer), *((_sets(answer),) if answer.sets else ()))
    return Section(
        question="If a prompt names two artists, are both in the pictures?",
        statement=answer.statement,
        figures=(_figure(identity, answer, drawn),) if drawn else (),
        tables=tables,
        shows=(
            "The pictures of both names are compared with those in which placebo names take the place of one of them, "
            "at equal seeds, by a score for that artist that is learned from works. A name that is found makes a "
            "difference beside the other. Answers as sets of artists do not use the prompt: an artist is in an answer "
            "if the score is above a threshold that pictures of placebo names, and of other artists, set."
        ),
        shows_not=(
            "A name that is not found may still have a small effect. The test says that the artist’s name makes a "
            "difference towards the artist’s works, not that every picture shows both artists, nor where. Shares "
            "that remain compare prompts with one name and with two; their wording differs in more than the second "
            "name."
        ),
        notes=answer.notes,
    )


def _found(row: NameInPair, answer: TogetherAnswer) -> bool:
    return is_called(row.p_adjusted, level=answer.level)


def _names(answer: TogetherAnswer) -> Table:
    return Table(
        title=(
            "Each artist of each pair: effect of the name as a share of the way from placebo names to the artist’s own "
            f"works; p corrected by {ADJUSTED[answer.adjust]}"
        ),
        head=("artist", "beside", "alone", "interval", "beside the other", "interval", "remains", "interval", "p",
              "p corrected", "in pictures"),
        rows=tuple(
            (
                row.artist,
                row.other,
                percent(_scaled(row, row.alone)),
                percent_span(_scaled(row, row.alone_low), _scaled(row, row.alone_high)),
                percent(_scaled(row, row.company)),
                percent_span(_scaled(row, row.company_low), _scaled(row, row.company_high)),
                percent(row.kept),
                percent_span(row.kept_low, row.kept_high),
                p_value(row.p) if row.judged else "not judged",
                p_value(row.p_adjusted),
                percent(row.included),
            )
            for row in answer.artists
        ),
        strong=tuple(place for place, row in enumerate(answer.artists) if _found(row, answer)),
        folded=len(answer.artists) > 12,
    )  # fmt: skip


def _pairs(answer: TogetherAnswer) -> Table:
    return Table(
        title=f"Each pair: are both names present? p corrected by {ADJUSTED[answer.adjust]}",
        head=("pair", "p", "p corrected", "pictures with exactly both"),
        rows=tuple(
            (
                f"{pair.first} and {pair.second}",
                p_value(pair.p_both),
                p_value(pair.p_both_adjusted),
                percent(pair.exact),
            )
            for pair in answer.pairs
        ),
        strong=tuple(
            place
            for place, pair in enumerate(answer.pairs)
            if is_called(pair.p_both_adjusted, level=answer.level)
        ),
        folded=len(answer.pairs) > 12,
    )


def _sets(answer: TogetherAnswer) -> Table:
    return Table(
        title=(
            f"Sets of artists, of {count(answer.n_candidates, 'candidate')}; {percent(answer.rate)} false inclusions "
            f"calibrated by {count(answer.n_placebo_pairs, 'pair')} of placebo names"
        ),
        head=("pictures together", "named and recognised", "interval", "by chance", "not named but included",
              "interval", "beside a placebo name", "exactly right", "interval", "by chance"),
        rows=tuple(_figures(one) for one in answer.sets),
    )  # fmt: skip


def _figures(one: SetsOfArtists) -> tuple[str, ...]:
    return (
        str(one.size),
        percent(one.recall),
        percent_span(one.recall_low, one.recall_high),
        percent(one.recall_chance, 1),
        percent(one.false_inclusion, 1),
        percent_span(one.false_low, one.false_high, 1),
        percent(one.false_beside_placebos, 1),
        percent(one.exact),
        percent_span(one.exact_low, one.exact_high),
        percent(one.exact_chance, 1),
    )


def _scaled(row: NameInPair, difference: float | None) -> float | None:
    """Return a difference of scores as a share of the way from placebo names to the artist's own works."""
    if difference is None or row.works is None or row.works <= 0:
        return None
    return difference / row.works


def _figure(identity: str, answer: TogetherAnswer, rows: list[NameInPair]) -> Figure:
    values = [
        scaled
        for row in rows
        for value in (
            row.alone,
            row.alone_low,
            row.alone_high,
            row.company,
            row.company_low,
            row.company_high,
        )
        if (scaled := _scaled(row, value)) is not None
    ]
    ticks = nice_ticks(min(0.0, *values), max(1.0, *values))
    forest = Forest(2 * len(rows), Scale(ticks[0], ticks[-1]), [(value, percent(value)) for value in ticks])
    forest.reference(0.0)
    for number, row in enumerate(rows):
        first, second = 2 * number, 2 * number + 1
        forest.name(first, row.artist)
        forest.name(second, f"with {row.other}")
        alone, company = _scaled(row, row.alone), _scaled(row, row.company)
        forest.interval(first, _scaled(row, row.alone_low), _scaled(row, row.alone_high))
        forest.interval(second, _scaled(row, row.company_low), _scaled(row, row.company_high))
        x, y = forest.scale, forest.y
        if alone is not None:
            forest.drawing.mark(
                None, x(alone), y(first), 4.0, f"{shown(row.artist)} alone: {percent(alone)} of the way"
            )
        if company is not None:
            found = _found(row, answer)
            title = f"{shown(row.artist)} with {shown(row.other)}: {percent(company)} of the way, " + (
                "found" if found else "not found"
            )
            finding = Finding.IMITATED if found else Finding.NOT_SHOWN  # only for the shape of the mark
            forest.drawing.mark(finding, x(company), y(second), 4.2, title)
    heading = "Each name alone, and beside another"
    n_found = sum(_found(row, answer) for row in rows)
    reading = (
        "0 % are pictures with placebo names in the artist’s place, and 100 % the artist’s own works, by the score for "
        f"the artist. Beside the other artist, {n_found} of {count(len(rows), 'name')} are found."
    )
    keys = (
        ("key-dot", "alone"),
        ("key-new", "beside the other artist, found"),
        ("key-empty", "beside the other artist, not found"),
        ("key-interval", f"{100 * answer.confidence_level:g} % interval"),
        ("key-chance", "placebo names"),
    )
    return Figure(heading, forest.drawing.finish(identity, heading, reading), reading, keys)
