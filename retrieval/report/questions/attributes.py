"""The section on the style attributes that carry the match."""

from __future__ import annotations

from collections import Counter

from imindex.retrieval.attributes.catalogue import BY_KEY
from imindex.retrieval.report.figures.attributes import Strip, strips
from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import number, p_value, percent, percent_span
from imindex.retrieval.results.questions import (
    ArtistAttribute,
    AttributesAnswer,
    AttributesOfArtist,
    CarriedShare,
)

FIGURES = 4
"""Most attributes that are drawn: those found of the most artists."""
_PROBE = "probe:"
_GROUPS = ("palette", "line", "texture", "composition")
WITHIN = {"max": "the step-down largest score", "holm": "Holm"}


def section(identity: str, answer: AttributesAnswer) -> Section:
    """Return the section of an answer."""
    rows = sorted(answer.artists, key=lambda row: (-row.n_found, row.p_adjusted is None, row.artist))
    tables = [_artists(answer, rows), _found(rows), _alone(answer), _shares(answer)]
    if answer.probes:
        tables.append(_probes(answer))
    return Section(
        question="Which style attributes carry the match: palette, line, texture or composition?",
        statement=answer.statement,
        figures=tuple(_figures(identity, answer)),
        tables=tuple(table for table in tables if table.rows),
        shows=(
            "An attribute is a number that a person can check with the eye: how dark a picture is, how wide its "
            "strokes are. It is tested where held-out works of the artist can be told by it. The pictures of the name "
            "are then compared with those of invented names, which the same model made from the same prompts: a filled "
            "mark means that the name brings them nearer to the works."
        ),
        shows_not=(
            "Style attributes are no protected expression, and this is no finding that a work was copied, nor why the "
            "model does what it does. Attributes that change together share what they carry: the shares of the groups "
            "do not add up, and what no attribute measures is not there. A picture that overshoots is not nearer. What "
            "invented names have in common with the artist’s works cannot be found, whatever the name does."
        ),
        notes=answer.notes,
    )


def _artists(answer: AttributesAnswer, rows: list[AttributesOfArtist]) -> Table:
    return Table(
        title=(
            "Each artist: attributes that tell the works, those in which the pictures are nearer (corrected by "
            f"{WITHIN[answer.within]}), and p that there is none (Benjamini-Hochberg over artists)"
        ),
        head=("artist", "tell the works", "nearer", "which", "p corrected"),
        rows=tuple(
            (
                row.artist,
                str(row.n_distinctive),
                str(row.n_found),
                ", ".join(_title(one.key) for one in row.attributes if one.found)
                or (row.status if row.p is None else "–"),
                p_value(row.p_adjusted),
            )
            for row in rows
        ),
        strong=tuple(place for place, row in enumerate(rows) if row.n_found),
    )


def _found(rows: list[AttributesOfArtist]) -> Table:
    return Table(
        title="Each attribute that was found, in words",
        head=(
            "artist",
            "attribute",
            "a work",
            "a picture of the name, which is nearer to it",
            "p",
            "p corrected",
        ),
        rows=tuple(
            (row.artist, _title(one.key), *_in_words(one), p_value(one.p), p_value(one.p_adjusted))
            for row in rows
            for one in row.attributes
            if one.found
        ),
        folded=True,
    )


def _in_words(one: ArtistAttribute) -> tuple[str, str]:
    """Return the value of the works, and how the pictures differ from those of invented names.

    The works are not said to have more or less than others: what tells them is how near they are to one value.
    """
    key = one.key.removeprefix(_PROBE)
    if key != one.key:
        return number(one.works, 3), f"{number(one.own, 3)}, invented names {number(one.placebo, 3)}"
    attribute = BY_KEY[key]
    return (
        "–" if one.works is None else attribute.shown(one.works),
        "–"
        if one.own is None or one.placebo is None
        else attribute.compared(one.own, one.placebo, "one of an invented name").removeprefix("The picture "),
    )


def _alone(answer: AttributesAnswer) -> Table:
    def cells(name: str, carried: tuple[CarriedShare, ...], auc: float | None) -> tuple[str, ...]:
        return (name, number(auc), *(number(one.auc_alone) for one in carried))

    rows = [cells(row.artist, row.carried, row.auc) for row in answer.artists if row.carried]
    if rows:
        rows.insert(0, cells("all artists, mean", answer.carried, answer.auc))
    return Table(
        title=(
            "AUC of the artist’s pictures against those of invented names: by the encoder’s score, and by nearness to "
            "the works in one group of attributes alone"
        ),
        head=("artist", "encoder", *_GROUPS, "all"),
        rows=tuple(rows),
        strong=(0,) if rows else (),
        folded=len(rows) > 12,
    )


def _shares(answer: AttributesAnswer) -> Table:
    def cells(name: str, carried: tuple[CarriedShare, ...], auc: float | None) -> tuple[str, ...]:
        by_group = {one.group: one for one in carried}
        groups = [by_group[group] for group in _GROUPS if group in by_group]
        whole = by_group.get("all")
        return (
            name,
            *(
                "–"
                if one.share is None and one.last is None
                else f"{percent_or_dash(one.share)} ({percent_or_dash(one.last)})"
                for one in groups
            ),
            percent_or_dash(whole.share) if whole else "–",
            percent_span(whole.low, whole.high) if whole else "–",
            number(auc),
            number(whole.auc_without) if whole else "–",
        )

    rows = [cells(row.artist, row.carried, row.auc) for row in answer.artists if _clear(row)]
    if answer.carried and answer.carried[-1].share is not None:
        rows.insert(0, cells("all artists together", answer.carried, None))
    return Table(
        title=(
            "Share of the match by the encoder’s score that goes along with a group of attributes, and in brackets "
            f"what it adds after the others; {100 * answer.confidence_level:g} % intervals. For artists with a clear "
            "match whose pictures are not unlike all pictures of invented names"
        ),
        head=("artist", *_GROUPS, "all", "interval", "AUC", "AUC without all"),
        rows=tuple(rows),
        strong=(0,) if rows and rows[0][0] == "all artists together" else (),
        folded=len(rows) > 12,
    )


def percent_or_dash(share: float | None) -> str:
    """Format a share that may be negative or above 1; a dash if it is missing."""
    return "–" if share is None else percent(share)


def _clear(row: AttributesOfArtist) -> bool:
    return any(one.share is not None for one in row.carried)


def _probes(answer: AttributesAnswer) -> Table:
    return Table(
        title="Words that the encoder was asked for, checked on the works: agreement with the measured attribute, and "
        "between wordings, each against nonsense words",
        head=("attribute", "words", "known", "agreement", "p", "between wordings", "p"),
        rows=tuple(
            (
                _title(one.key),
                one.words,
                "yes" if one.known else "not known to this encoder",
                number(one.agreement),
                p_value(one.p_agreement),
                number(one.reliability),
                p_value(one.p_reliability),
            )
            for one in answer.probes
        ),
        strong=tuple(place for place, one in enumerate(answer.probes) if one.known),
        folded=True,
    )


def _figures(identity: str, answer: AttributesAnswer) -> list[Figure]:
    """Draw the attributes that were found most often, or that tell the most artists' works if none was found."""
    found = Counter(one.key for row in answer.artists for one in row.attributes if one.found)
    tested = Counter(one.key for row in answer.artists for one in row.attributes if one.p is not None)
    drawn = []
    for key, _ in (found or tested).most_common(FIGURES):
        lines = [
            Strip(row.artist, one.works, one.own, one.placebo, one.placebo_low, one.placebo_high, one.found)
            for row in answer.artists
            for one in row.attributes
            if one.key == key and one.p is not None and one.works is not None and one.own is not None
            and one.placebo is not None and one.placebo_low is not None and one.placebo_high is not None
        ]  # fmt: skip
        bare = key.removeprefix(_PROBE)
        figure = strips(f"{identity}-{key.replace(':', '-')}", BY_KEY[bare], lines, by_words=bare != key)
        drawn += [figure] if figure else []
    return drawn


def _title(key: str) -> str:
    bare = key.removeprefix(_PROBE)
    return BY_KEY[bare].title + (", by words" if bare != key else "")
