"""Pictures shown in a report: nearest imitations and near-copies."""

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
        Path, relative to the audit's folder.
    prompt : str or None
    seed : int or None
    rank : int
        Rank of the imitation by this work, among all imitations of the release.
    cosine : float
    """

    work: str
    imitation: str
    prompt: str | None
    seed: Seed | None
    rank: Annotated[int, Meta(ge=1)]
    cosine: float


class Gallery(Result, kw_only=True, frozen=True):
    """Pictures and ranks of an artist, as shown in a report.

    Attributes
    ----------
    rank_histogram : tuple of int
        Number of pairs of a work and an own imitation by rank percentile, in bins of equal width, nearest first.
    neighbours : tuple of Neighbours
        Works with their nearest own imitation, from the best rank to the worst.
    """

    rank_histogram: tuple[Count, ...]
    neighbours: tuple[Neighbours, ...]


class CopyPair(Result, kw_only=True, frozen=True):
    """An imitation and a work whose cosine is at or above the threshold.

    Attributes
    ----------
    artist : str
        Artist named in the prompt.
    imitation : str
        Path.
    prompt : str or None
    seed : int or None
    work : str
        Path.
    work_artist : str
    cosine : float
    composition : float or None
        Correlation of the pixels of the downscaled pictures, mirrored or not; None if a picture cannot be read.
    series : float or None
        Highest correlation of the work with another work of its artist.
    same_bytes : bool or None
        Whether both files have the same bytes.
    copy : bool
        Whether the pair is classified as a near-copy.
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
        Smallest cosine of a candidate pair.
    composition_threshold : float or None
        Smallest correlation of a near-copy.
    n_candidates : int
        Number of pairs at or above the threshold.
    n_looked_at : int
        Number of pairs whose pixels were compared.
    pairs : tuple of CopyPair
        All near-copies and the nearest other pairs, nearest first.
    """

    threshold: float
    composition_threshold: Number
    n_candidates: Count
    n_looked_at: Count
    pairs: tuple[CopyPair, ...]

    @property
    def n_copies(self) -> int:
        """Number of near-copies."""
        return sum(pair.copy for pair in self.pairs)
