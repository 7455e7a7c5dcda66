"""The pictures of a release in an audit, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imindex.indexer.sources.item import Item
from imindex.retrieval.audit.plan import Release
from imindex.retrieval.results import BlockedPicture


@dataclass(frozen=True)
class Made:
    """The pictures of a release, and their origin.

    Attributes
    ----------
    release : Release
    items : tuple of Item
        Imitations of every name, and control pictures, without blocked ones.
    revision : str
        Of the model; empty for existing pictures.
    digest : str
        SHA-256 of the manifest, or over the names and bytes of existing pictures.
    settings : mapping
    text_encoders : tuple of str
        Of the pipeline.
    blocked : tuple of BlockedPicture
    """

    release: Release
    items: tuple[Item, ...]
    revision: str
    digest: str
    settings: Mapping[str, Any]
    text_encoders: tuple[str, ...]
    blocked: tuple[BlockedPicture, ...]
