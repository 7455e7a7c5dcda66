"""Answers to the further questions of a plan: one type per question, in a file of its own."""

from __future__ import annotations

from imindex.retrieval.results.base import Result
from imindex.retrieval.results.questions.base import QuestionAnswer
from imindex.retrieval.results.questions.erasure import ErasedArtist, ErasureAnswer, KeptArtist
from imindex.retrieval.results.questions.leakage import (
    AbsentArtist,
    KindsDiffer,
    LeakageAnswer,
    LeakedArtist,
    LeakedPicture,
)
from imindex.retrieval.results.questions.name_adds import AddedByName, NameAddsAnswer
from imindex.retrieval.results.questions.prompt_classes import (
    ByPromptClass,
    PromptClassesAnswer,
    PromptClassResult,
)

__all__ = [
    "AbsentArtist",
    "AddedByName",
    "Answered",
    "AnyAnswer",
    "ByPromptClass",
    "ErasedArtist",
    "ErasureAnswer",
    "KeptArtist",
    "KindsDiffer",
    "LeakageAnswer",
    "LeakedArtist",
    "LeakedPicture",
    "NameAddsAnswer",
    "PromptClassResult",
    "PromptClassesAnswer",
    "QuestionAnswer",
]

AnyAnswer = NameAddsAnswer | PromptClassesAnswer | ErasureAnswer | LeakageAnswer
"""The union of all answers: JSON tells them apart by `question`."""


class Answered(Result, kw_only=True, frozen=True):
    """What an audit keeps of a question.

    Attributes
    ----------
    answer : one of the answers, or None
        None if the question does not concern the release.
    """

    answer: AnyAnswer | None
