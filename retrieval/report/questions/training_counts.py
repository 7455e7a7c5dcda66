"""The section on the number of works in the training data."""

from __future__ import annotations

from imindex.retrieval.report.figures.exposure import counts_plot
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import DASH, number
from imindex.retrieval.results.questions import TrainingCountsAnswer


def section(identity: str, answer: TrainingCountsAnswer) -> Section:
    """Return the section of an answer."""
    drawn = counts_plot(identity, answer)
    rows = sorted(
        answer.artists, key=lambda row: (row.training_images is None, row.training_images or 0, row.artist)
    )
    measure = "AUC" if answer.measure == "auc" else "own part"
    return Section(
        question="Is an artist imitated the more, the more of the artist’s works are in the training data?",
        statement=answer.statement,
        figures=(drawn,) if drawn else (),
        tables=(
            Table(
                title="Each artist by number of works",
                head=("artist", "works in the training data", measure, "best fit that never falls"),
                rows=tuple(
                    (
                        row.artist,
                        DASH if row.training_images is None else f"{row.training_images:,}",
                        number(row.value) if row.judged else "not judged",
                        number(row.fitted),
                    )
                    for row in rows
                ),
                folded=len(rows) > 12,
            ),
        ),
        shows=(
            "Artists with more works in the training data are compared with artists with fewer. The p-value is that "
            "of a permutation of the artists. Where a threshold is stated, its interval holds all numbers that fit "
            "nearly as well."
        ),
        shows_not=(
            "It does not show that the stated numbers are right, nor what would happen if works were removed: "
            "artists with many works also differ in other ways, such as fame. A threshold of these artists, this "
            "release and this encoder is not a threshold for others."
        ),
        notes=answer.notes,
    )
