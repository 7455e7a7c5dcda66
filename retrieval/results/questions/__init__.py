"""Answers to the further questions of a plan: one type per question, in a file of its own."""

from __future__ import annotations

from imindex.retrieval.results.base import Result
from imindex.retrieval.results.questions.base import QuestionAnswer
from imindex.retrieval.results.questions.erasure import ErasedArtist, ErasureAnswer, KeptArtist
from imindex.retrieval.results.questions.name_adds import AddedByName, NameAddsAnswer
from imindex.retrieval.results.questions.prompt_classes import (
    ByPromptClass,
    PromptClassesAnswer,
    PromptClassResult,
)
from imindex.retrieval.results.questions.together import (
    NameInPair,
    PairPresence,
    SetsOfArtists,
    TogetherAnswer,
)

__all__ = [
    "AddedByName",
    "Answered",
    "AnyAnswer",
    "ByPromptClass",
    "ErasedArtist",
    "ErasureAnswer",
    "KeptArtist",
    "NameAddsAnswer",
    "NameInPair",
    "PairPresence",
    "PromptClassResult",
    "PromptClassesAnswer",
    "QuestionAnswer",
    "SetsOfArtists",
    "TogetherAnswer",
]

AnyAnswer = NameAddsAnswer | PromptClassesAnswer | ErasureAnswer | TogetherAnswer
"""The union of all answers: JSON tells them apart by `question`."""


class Answered(Result, kw_only=True, frozen=True):
    """What an audit keeps of a question.

    Attributes
    ----------
    answer : one of the answers, or None
        None if the question does not concern the release.
    """

    answer: AnyAnswer | None
