"""The questions by their keys. Their modules are imported when they are asked."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from imindex.retrieval.questions.question import Question
from imindex.retrieval.questions.settings import QuestionsTable, QuestionTable

MODULES = {
    "name_adds": "imindex.retrieval.questions.name_adds",
    "prompt_classes": "imindex.retrieval.questions.prompt_classes",
    "erasure": "imindex.retrieval.questions.erasure",
    "attributes": "imindex.retrieval.questions.attributes",
    "likelihood_ratio": "imindex.retrieval.questions.likelihood_ratio",
    "training_counts": "imindex.retrieval.questions.training_counts",
    "refusals": "imindex.retrieval.questions.refusals",
    "leakage": "imindex.retrieval.questions.leakage",
    "together": "imindex.retrieval.questions.together",
}
"""The module of each question, in the order in which a report answers them. Each has an object `QUESTION`."""


def question(key: str) -> Question[Any]:
    """Return the question of a key."""
    found: Question[Any] = importlib.import_module(MODULES[key]).QUESTION
    return found


def asked(questions: QuestionsTable) -> Iterator[tuple[Question[Any], QuestionTable]]:
    """Yield the questions that a plan asks, with their settings, in the order of `MODULES`."""
    settings = dict(questions.asked())
    for key in MODULES:
        if key in settings:
            yield question(key), settings[key]
