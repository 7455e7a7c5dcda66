"""Answers to the further questions of a plan: one type per question, in a file of its own."""

from __future__ import annotations

from imindex.retrieval.results.base import Result
from imindex.retrieval.results.questions.attributes import (
    ArtistAttribute,
    AttributeProbe,
    AttributesAnswer,
    AttributesOfArtist,
    CarriedShare,
)
from imindex.retrieval.results.questions.base import QuestionAnswer
from imindex.retrieval.results.questions.erasure import ErasedArtist, ErasureAnswer, KeptArtist
from imindex.retrieval.results.questions.leakage import (
    AbsentArtist,
    KindsDiffer,
    LeakageAnswer,
    LeakedArtist,
    LeakedPicture,
)
from imindex.retrieval.results.questions.likelihood_ratio import (
    CalibratedArtist,
    LikelihoodRatioAnswer,
    QuestionedPictures,
    ValidatedRatios,
)
from imindex.retrieval.results.questions.name_adds import AddedByName, NameAddsAnswer
from imindex.retrieval.results.questions.prompt_classes import (
    ByPromptClass,
    PromptClassesAnswer,
    PromptClassResult,
)
from imindex.retrieval.results.questions.refusals import RefusalsAnswer, RefusedName
from imindex.retrieval.results.questions.together import (
    NameInPair,
    PairPresence,
    SetsOfArtists,
    TogetherAnswer,
)
from imindex.retrieval.results.questions.training_counts import CountedArtist, TrainingCountsAnswer

__all__ = [
    "AbsentArtist",
    "AddedByName",
    "Answered",
    "AnyAnswer",
    "ArtistAttribute",
    "AttributeProbe",
    "AttributesAnswer",
    "AttributesOfArtist",
    "ByPromptClass",
    "CalibratedArtist",
    "CarriedShare",
    "CountedArtist",
    "ErasedArtist",
    "ErasureAnswer",
    "KeptArtist",
    "KindsDiffer",
    "LeakageAnswer",
    "LeakedArtist",
    "LeakedPicture",
    "LikelihoodRatioAnswer",
    "NameAddsAnswer",
    "NameInPair",
    "PairPresence",
    "PromptClassResult",
    "PromptClassesAnswer",
    "QuestionAnswer",
    "QuestionedPictures",
    "RefusalsAnswer",
    "RefusedName",
    "SetsOfArtists",
    "TogetherAnswer",
    "TrainingCountsAnswer",
    "ValidatedRatios",
]

AnyAnswer = (
    NameAddsAnswer
    | PromptClassesAnswer
    | ErasureAnswer
    | AttributesAnswer
    | TrainingCountsAnswer
    | LikelihoodRatioAnswer
    | RefusalsAnswer
    | LeakageAnswer
    | TogetherAnswer
)
"""The union of all answers: JSON tells them apart by `question`."""


class Answered(Result, kw_only=True, frozen=True):
    """What an audit keeps of a question.

    Attributes
    ----------
    answer : one of the answers, or None
        None if the question does not concern the release.
    """

    answer: AnyAnswer | None
