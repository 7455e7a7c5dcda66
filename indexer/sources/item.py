"""One picture of a source: its path and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imindex.indexer.core.schema import NO_SEED
from imindex.indexer.sources.artist_from import ArtistFrom


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to be indexed, with its metadata.

    Attributes
    ----------
    path : str
        The path of the file.
    artist : str
        Empty for pictures without an artist (kind control).
    kind : str
        works, imitations, control or background.
    collection : str
        The set that the picture belongs to: `works`, or the name of a release.
    prompt, caption : str
        Empty if unknown.
    seed : int
        -1 if unknown.
    arm : str
        What a picture of a release is for: own, placebo, nameless, control or rival. Empty if unknown.
    model : str
        The model that made the picture. Empty if unknown.
    blocked : str
        Why a safety filter replaced the picture. Empty if it did not.
    origin : str
        Where a data set says that the picture came from, JSON (`imindex.indexer.core.origin`). Empty if unknown.
    no_arm : bool
        Whether a manifest says that the picture has no arm: its column `arm` is there, and empty. An arm that an index
        has from before is then cleared, because it chooses the names that an artist is compared with.
    """

    path: str
    artist: str
    kind: str
    collection: str
    prompt: str = ""
    seed: int = NO_SEED
    caption: str = ""
    arm: str = ""
    model: str = ""
    blocked: str = ""
    origin: str = ""
    no_arm: bool = False


@dataclass(frozen=True)
class SourceOptions:
    """Metadata passed by the caller for every picture of a source, and folders in which the pictures may be.

    Attributes
    ----------
    kind, collection, artist : str, optional
    roots : mapping of str to str
        Absolute folders, by name, that the paths of a manifest may lead to.
    artist_from : ArtistFrom, optional
        Tells the artists of the pictures of folders from their paths.
    """

    kind: str | None = None
    collection: str | None = None
    artist: str | None = None
    roots: Mapping[str, str] = field(default_factory=dict)
    artist_from: ArtistFrom | None = None
