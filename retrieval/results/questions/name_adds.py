"""The answer to the question what a name adds."""

from __future__ import annotations

from imindex.retrieval.results.base import Adjust, Count, Level, Number, P, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer


class AddedByName(Result, kw_only=True, frozen=True):
    """One artist: from no name to an invented name to the artist's name.

    Attributes
    ----------
    artist : str
    judged : bool
        Whether the encoder tells the artist's works from those of others; only then is there a p-value.
    nameless, invented, named : float or None
        Mean score for the artist of the pictures without a name, with invented names, and with the artist's name.
    works : float or None
        Mean score for the artist of the artist's own works, from which the score was learned.
    shared, shared_low, shared_high : float or None
        Invented names minus no name: what any name adds, and its interval.
    own, own_low, own_high : float or None
        The artist's name minus invented names: what this name adds, and its interval.
    p, p_adjusted : float or None
        p-value of the artist's name among the invented names, and after correction over the artists.
    moved_shared, moved_low, moved_high : float or None
        Share of the movement of the vectors, from no name to the artist's name, that lies along the common movement of
        invented names, and its interval. It needs no works.
    moved_shared_invented : float or None
        Median of the same share over invented names.
    p_moved : float or None
        p-value of the part of the movement that is not shared, among those of invented names. Not corrected.
    n_cells : int
        Number of templates and seeds that were compared.
    n_invented : int
    """

    artist: str
    judged: bool
    nameless: Number = None
    invented: Number = None
    named: Number = None
    works: Number = None
    shared: Number = None
    shared_low: Number = None
    shared_high: Number = None
    own: Number = None
    own_low: Number = None
    own_high: Number = None
    p: P = None
    p_adjusted: P = None
    moved_shared: Share = None
    moved_low: Share = None
    moved_high: Share = None
    moved_shared_invented: Share = None
    p_moved: P = None
    n_cells: Count
    n_invented: Count


class NameAddsAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="name_adds"):
    """What a name adds, at equal seeds.

    Attributes
    ----------
    adjust : str
    level : float
    confidence_level : float
    statistic : str
        The score: lda (log odds), linear, direction, softmax or rank.
    n_found : int
        Number of artists whose name adds something of its own.
    moved_shared, moved_low, moved_high : float or None
        Mean over artists of the shared part of the movement, and its interval over artists.
    artists : tuple of AddedByName
    """

    adjust: Adjust
    level: Level
    confidence_level: Level
    statistic: str
    n_found: Count
    moved_shared: Share = None
    moved_low: Share = None
    moved_high: Share = None
    artists: tuple[AddedByName, ...]
