"""Pictures shown in a report: nearest imitations and candidates for copies."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from imindex.retrieval.results.base import Count, Digest, Number, PictureSeed, Result

CopyState = Literal["candidate", "confirmed", "rejected", "comparison"]


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
    seed: PictureSeed | None
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
    """An imitation, and the work whose outlines it comes nearest to.

    Attributes
    ----------
    artist : str
        Name in the prompt.
    imitation : str
        Path.
    imitation_sha256 : str
    prompt : str or None
    seed : int or None
    work : str
        Path.
    work_sha256 : str
    work_artist : str
    cosine : float
        Similarity by the encoder.
    outlines : float or None
        How far the outlines agree, at the best of several sizes and places, mirrored or not; None if a picture cannot
        be read.
    mirrored : bool
        Whether the mirror image agrees better.
    series : float or None
        The highest such figure of the work with another work of its artist; None if that was not needed.
    same_bytes : bool
        Whether both files have the same bytes.
    placebo : bool
        Whether the name in the prompt is a placebo name.
    candidate : bool
        Whether the pair is a candidate for a copy. Other pairs are listed to show what candidates stand out from.
    decided : str
        "confirmed" or "rejected" by a person; empty if nobody has decided.
    decided_by, decided_when, note : str
        Who decided, when and with what remark.
    """

    artist: str
    imitation: str
    imitation_sha256: Digest = ""
    prompt: str | None
    seed: PictureSeed | None
    work: str
    work_sha256: Digest = ""
    work_artist: str
    cosine: float
    outlines: Number = None
    mirrored: bool = False
    series: Number = None
    same_bytes: bool = False
    placebo: bool = False
    candidate: bool = False
    decided: Literal["", "confirmed", "rejected"] = ""
    decided_by: str = ""
    decided_when: str = ""
    note: str = ""

    @property
    def state(self) -> CopyState:
        """Confirmed or rejected; else candidate, or listed for comparison."""
        return self.decided or ("candidate" if self.candidate else "comparison")


class Copies(Result, kw_only=True, frozen=True):
    """Candidates for copies of works. Style and copying are different findings.

    Attributes
    ----------
    rate : float
        Highest probability that was asked for, of any candidate in this result if the release copies nothing.
    bound : float or None
        The probability that the placebo names guarantee; higher than `rate` if there are few. None without placebo
        names: the rule is then not calibrated.
    threshold : float
        Agreement of the outlines above which a picture is a candidate: what the placebo pictures reach.
    n_compared : int
        Number of pictures whose outlines were compared with works.
    n_unread : int
        Number of pictures that could not be read again.
    n_placebo_names : int
        Number of placebo names that the threshold is calibrated with.
    n_placebo_false : int
        Number of placebo names that the rule would call candidates, each tested against the other placebo names.
    pairs : tuple of CopyPair
        All candidates, the highest agreement first; then, for comparison, the pictures that come nearest to a work
        without being candidates.
    """

    rate: float
    bound: Number = None
    threshold: float
    n_compared: Count
    n_unread: Count = 0
    n_placebo_names: Count = 0
    n_placebo_false: Count = 0
    pairs: tuple[CopyPair, ...]

    def of(self, *states: CopyState) -> tuple[CopyPair, ...]:
        """Return the pairs in some states."""
        return tuple(pair for pair in self.pairs if pair.state in states)

    @property
    def n_copies(self) -> int:
        """Number of confirmed copies."""
        return len(self.of("confirmed"))

    @property
    def n_candidates(self) -> int:
        """Number of candidates that nobody has rejected, including confirmed copies."""
        return len(self.of("candidate", "confirmed"))
