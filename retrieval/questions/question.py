"""What a question is: which pictures it needs, and how it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from imindex.indexer.generate.prompts import Shot
from imindex.retrieval.questions.study import Study
from imindex.retrieval.results.questions import QuestionAnswer

S_contra = TypeVar("S_contra", contravariant=True)


@dataclass(frozen=True)
class Asking:
    """What a plan says that a question may depend on, for one release.

    Attributes
    ----------
    release, base : str
        The release, and the one that the others are compared with; `base` is empty if there is none.
    releases : tuple of str
    tested, placebos, rivals : tuple of str
        Names: artists, placebo names and further real names.
    templates : tuple of str
    per_artist, nameless, generic : int
        Pictures per name, of the templates without a name, and of the generic prompts.
    equal_seeds : bool
        Whether the pictures of all names have the same seeds.
    seed : int
    generates : bool
        Whether the release is a model; otherwise its pictures exist.
    folder : Path
        To which paths in the plan are relative.
    training_images : mapping of str to int
        How many works of an artist the training data hold, as the plan states.
    logged : tuple of str
        The releases with a log of requests.
    background : mapping of str to int
        Number of works of each background artist; empty except in `Question.check`.
    """

    release: str
    base: str = ""
    releases: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    placebos: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    per_artist: int = 0
    nameless: int = 0
    generic: int = 0
    equal_seeds: bool = False
    seed: int = 0
    generates: bool = True
    folder: Path = field(default_factory=Path)
    training_images: Mapping[str, int] = field(default_factory=dict)
    logged: tuple[str, ...] = ()
    background: Mapping[str, int] = field(default_factory=dict)


class Question(Protocol[S_contra]):
    """A question. Each is an object `QUESTION` in a module of this folder, listed in `registry`."""

    key: str
    """Its name in `[questions]`, in the collection of its pictures, and in report.json."""

    answered: type[QuestionAnswer]
    """The type of its answer."""

    own_pictures: bool
    """Whether it cannot be answered by the main pictures: a manifest of existing pictures must list some for it."""

    def check(self, asking: Asking, settings: S_contra) -> None:
        """Refuse settings that cannot be answered, before anything is generated.

        Raises
        ------
        ImindexError
            The message begins with the key, such as `questions.name_adds.adjust`, without the path of the plan.
        """

    def shots(self, asking: Asking, settings: S_contra) -> Sequence[Shot]:
        """List the pictures that the question needs beyond those of the audit; empty if none.

        They become the collection `collection_of(release, key)` and take no part in the main tests. Pictures of names
        have an arm and an artist, as those of the audit.
        """

    def answer(self, study: Study, settings: S_contra) -> QuestionAnswer | None:
        """Answer the question for one release by one encoder; None if it does not concern this release."""

    def given(self, asking: Asking, settings: S_contra) -> str:
        """Return the folder or manifest of existing pictures that the question is about; empty if there are none.

        They are indexed as the collection `collection_of(release, key)`, credited to the names of their folders.
        """

    def digests(self, asking: Asking, settings: S_contra) -> Mapping[str, str]:
        """Return digests of further input files, by their name in the register; empty if there are none."""


class Plain:
    """Base of questions without checks, pictures and files of their own."""

    own_pictures = False

    def check(self, asking: Asking, settings: Any) -> None:
        """Accept all settings."""

    def shots(self, asking: Asking, settings: Any) -> Sequence[Shot]:
        """Need no further pictures."""
        return ()

    def given(self, asking: Asking, settings: Any) -> str:
        """Be about no existing pictures."""
        return ""

    def digests(self, asking: Asking, settings: Any) -> Mapping[str, str]:
        """Have no further input files."""
        return {}


def collection_of(release: str, key: str) -> str:
    """Return the name of the collection with the pictures of a question.

    Examples
    --------
    >>> collection_of("final", "prompt_classes")
    'final / prompt_classes'
    """
    return f"{release} / {key}"
