"""What a section of a report holds. One template, `questions.html`, shows every section."""

from __future__ import annotations

from dataclasses import dataclass

from imindex.retrieval.report.figures.axes import Figure


@dataclass(frozen=True)
class Table:
    """A table of a section.

    Attributes
    ----------
    title : str
    head : tuple of str
        The names of the columns. The first column holds names.
    rows : tuple of tuple of str
        Formatted cells.
    strong : tuple of int
        Numbers of the rows to highlight, such as findings.
    folded : bool
        Whether the table is closed at first.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """The answer to a question for one release by one encoder, as the page shows it.

    Attributes
    ----------
    question : str
        The question, as a sentence.
    statement : str
        The answer.
    figures : tuple of Figure
    tables : tuple of Table
    shows : str
        What the answer shows, for readers who do not know the method.
    shows_not : str
        What it does not show.
    notes : tuple of str
    """

    question: str
    statement: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    shows: str = ""
    shows_not: str = ""
    notes: tuple[str, ...] = ()
