"""One picture of a source: where it is and what the source says about it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from imindex.indexer.core.schema import NO_SEED


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to be indexed, and what is said of it.

    Attributes
    ----------
    path : str
        Where the file is.
    artist : str
        Empty for a picture that is nobody's (kind control).
    kind : str
        works, imitations, control or background.
    collection : str
        The set it belongs to: `works`, or a release's name.
    prompt, caption : str
        Empty when unknown.
    seed : int
        -1 when unknown.
    """

    path: str
    artist: str
    kind: str
    collection: str
    prompt: str = ""
    seed: int = NO_SEED
    caption: str = ""


@dataclass(frozen=True)
class Given:
    """What the user said on the command line of every picture of a source."""

    kind: str | None = None
    collection: str | None = None
    artist: str | None = None


def _clean(name: str) -> str:
    """One spelling for one name: macOS hands out decomposed accents."""
    return unicodedata.normalize("NFC", name.strip())
