"""The pictures that a report shows: nearest imitations and near-copies."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from imindex.retrieval.results.base import Count, Number, Result, Seed


class Neighbours(Result, kw_only=True, frozen=True):
    """A work beside its nearest own imitation.

    Attributes
    ----------
    work : str
        Path, relative to the audit's folder.
    imitation : str
        Path, likewise.
    prompt : str or None
    seed : int or None
    rank : int
        Of the imitation among all of the release, by that work.
    cosine : float
    """

    work: str
    imitation: str
    prompt: str | None
    seed: Seed | None
    rank: Annotated[int, Meta(ge=1)]
    cosine: float


class Gallery(Result, kw_only=True, frozen=True):
    """What a report shows of an artist.

    Attributes
    ----------
    rank_histogram : tuple of int
        Pairs of a work and an own imitation by rank percentile, in equal bins, the nearest first.
    neighbours : tuple of Neighbours
        From the work with the best rank to the one with the worst.
    """

    rank_histogram: tuple[Count, ...]
    neighbours: tuple[Neighbours, ...]


class CopyPair(Result, kw_only=True, frozen=True):
    """An imitation and a work at or above the threshold.

    Attributes
    ----------
    artist : str
        Whose name was asked for.
    imitation : str
        Path.
    prompt : str or None
    seed : int or None
    work : str
        Path.
    work_artist : str
    cosine : float
    composition : float or None
        Correlation of the small pictures' pixels, mirrored or not; None if a picture cannot be read.
    series : float or None
        The highest correlation of the work with another work of its artist.
    same_bytes : bool or None
        Whether both are the same file.
    copy : bool
        Whether the pair is called a near-copy.
    """

    artist: str
    imitation: str
    prompt: str | None
    seed: Seed | None
    work: str
    work_artist: str
    cosine: float
    composition: Number = None
    series: Number = None
    same_bytes: bool | None = None
    copy: bool = True


class Copies(Result, kw_only=True, frozen=True):
    """Pairs of an imitation and a work at or above the threshold. Style and copying are different findings.

    Attributes
    ----------
    threshold : float
        Cosine from which a pair is looked at.
    composition_threshold : float or None
        Correlation from which it may be a near-copy.
    n_candidates : int
        Pairs at or above the threshold.
    n_looked_at : int
        Pairs whose pixels were compared.
    pairs : tuple of CopyPair
        Every near-copy and the nearest others, the nearest first.
    """

    threshold: float
    composition_threshold: Number
    n_candidates: Count
    n_looked_at: Count
    pairs: tuple[CopyPair, ...]

    @property
    def n_copies(self) -> int:
        """How many pairs are called near-copies."""
        return sum(pair.copy for pair in self.pairs)
