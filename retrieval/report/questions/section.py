"""What a section of a report holds. One template, `questions.html`, shows every section."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.text import DASH

_STARTS_WITH_WORD = re.compile(r"[“\"(]?[^\W\d_]")


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

    @property
    def words(self) -> frozenset[int]:
        """Return the numbers of the columns to align at the left: names, and columns where most cells are words.

        Examples
        --------
        >>> rows = (("Ada", "in the style of", "0.50 to 0.97", "–"), ("Bo", "–", "–", "12"))
        >>> sorted(Table("Artists", ("artist", "asked by", "interval", "pictures"), rows).words)
        [0, 1]
        """
        return frozenset(
            {0}
            | {
                place
                for place in range(1, len(self.head))
                for cells in [[row[place] for row in self.rows if row[place] != DASH]]
                if 2 * sum(_STARTS_WITH_WORD.match(cell) is not None for cell in cells) > len(cells)
            }
        )


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
