"""The base of all answers to questions."""

from __future__ import annotations

from imindex.retrieval.results.base import Result


class QuestionAnswer(Result, kw_only=True, frozen=True, tag_field="question"):
    """Base of the answers: for one release by one encoder.

    Attributes
    ----------
    release, encoder : str
        Their names in the plan.
    statement : str
        The answer in one sentence or two.
    notes : tuple of str
        What limits this answer, in sentences.
    """

    release: str
    encoder: str
    statement: str
    notes: tuple[str, ...] = ()
