"""The pictures of a release in an audit, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imindex.indexer.image_api.request_log import Request
from imindex.indexer.sources.item import Item
from imindex.retrieval.audit.plan import Release
from imindex.retrieval.results import BlockedPicture, RequestRecord


@dataclass(frozen=True)
class Made:
    """The pictures of a release, and how they were made.

    Attributes
    ----------
    release : Release
    items : tuple of Item
        Imitations of every name, and control pictures, without blocked ones.
    revision : str
        Revision of the model; empty if the plan names pictures.
    digest : str
        SHA-256 of the manifest, or over names and bytes if the plan names pictures.
    settings : mapping
    text_encoders : tuple of str
        Text encoders of the pipeline.
    blocked : tuple of BlockedPicture
    questions : mapping of str to Made
        The pictures that further questions need, by the key of the question.
    requests : tuple of Request
        The request that stands for each picture, if the release has a log of requests.
    log : RequestRecord or None
        The log as a whole.
    """

    release: Release
    items: tuple[Item, ...]
    revision: str
    digest: str
    settings: Mapping[str, Any]
    text_encoders: tuple[str, ...]
    blocked: tuple[BlockedPicture, ...]
    questions: Mapping[str, Made] = field(default_factory=dict)
    requests: tuple[Request, ...] = ()
    log: RequestRecord | None = None

    @property
    def every_item(self) -> tuple[Item, ...]:
        """The pictures, and those of the questions."""
        return (*self.items, *(item for made in self.questions.values() for item in made.items))
