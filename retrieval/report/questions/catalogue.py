"""The sections of a report, by the type of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imindex.retrieval.report.questions import (
    attributes,
    erasure,
    leakage,
    likelihood_ratio,
    name_adds,
    prompt_classes,
    refusals,
    together,
    training_counts,
)
from imindex.retrieval.report.questions.section import Section
from imindex.retrieval.results.questions import (
    AnyAnswer,
    AttributesAnswer,
    ErasureAnswer,
    LeakageAnswer,
    LikelihoodRatioAnswer,
    NameAddsAnswer,
    PromptClassesAnswer,
    QuestionAnswer,
    RefusalsAnswer,
    TogetherAnswer,
    TrainingCountsAnswer,
)

Draw = Callable[[str, Any], Section]

SECTIONS: Mapping[type[QuestionAnswer], tuple[str, Draw]] = {
    NameAddsAnswer: ("What a name adds", name_adds.section),
    PromptClassesAnswer: ("Classes of prompts", prompt_classes.section),
    ErasureAnswer: ("Erased artists", erasure.section),
    AttributesAnswer: ("Style attributes", attributes.section),
    LikelihoodRatioAnswer: ("Likelihood ratios", likelihood_ratio.section),
    TrainingCountsAnswer: ("Works in the training data", training_counts.section),
    RefusalsAnswer: ("Refused and blocked pictures", refusals.section),
    LeakageAnswer: ("Unprompted leakage", leakage.section),
    TogetherAnswer: ("Several artists in one prompt", together.section),
}
"""Title and section of each type of answer, in the order of the page. Functions take an identity that is unique on the
page, for the figures, and the answer."""


@dataclass(frozen=True)
class Answered:
    """A question with its answers, as the page shows them.

    Attributes
    ----------
    id : str
        Unique on the page.
    title : str
    sections : sequence of (release, encoder, Section)
    """

    id: str
    title: str
    sections: Sequence[tuple[str, str, Section]]


def answered(answers: Sequence[AnyAnswer]) -> list[Answered]:
    """Group answers by question, in the order of `SECTIONS`."""
    groups = []
    for place, (kind, (title, draw)) in enumerate(SECTIONS.items()):
        own = [answer for answer in answers if type(answer) is kind]
        if own:
            sections = [
                (answer.release, answer.encoder, draw(f"q{place}-{number}", answer))
                for number, answer in enumerate(own)
            ]
            groups.append(Answered(f"q{place}", title, sections))
    return groups
