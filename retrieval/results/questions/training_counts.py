"""The answer to the question whether imitation depends on the number of works in the training data."""

from __future__ import annotations

from typing import Literal

from imindex.retrieval.results.base import Count, Level, Number, P, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer


class CountedArtist(Result, kw_only=True, frozen=True):
    """One artist.

    Attributes
    ----------
    artist : str
    training_images : int or None
        As the plan states; None if it does not.
    judged : bool
        Whether the encoder tells the artist's works from those of others; others take no part.
    value : float or None
        The measure.
    fitted : float or None
        Value at this count on the curve that never falls.
    """

    artist: str
    training_images: Count | None
    judged: bool
    value: Number = None
    fitted: Number = None


class TrainingCountsAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="training_counts"):
    """Imitation against the number of works in the training data.

    Attributes
    ----------
    measure : str
        auc, or score: mean score of own pictures less that of invented names.
    level, confidence_level : float
    n_artists : int
        Artists with a count and a value.
    rho, rho_low, rho_high : float or None
        Spearman's rank correlation, and its interval over artists.
    p : float or None
        Of the one-sided permutation test.
    shape : str
        Of the threshold.
    located : bool
    threshold, threshold_low, threshold_high : float or None
        Count at which the measure begins to rise, and its interval; None if the threshold cannot be located.
    open_low, open_high : bool
        Whether the interval reaches the smallest or largest threshold that these counts could show.
    p_threshold : float or None
        Of the permutation test that the measure does not depend on the count.
    before, after : float or None
        The measure before the threshold, and at the largest count.
    explained, explained_line : float or None
        Share of the variance over artists that the threshold explains, and that a straight line in log(1 + count)
        explains.
    curve : tuple of (float, float)
        Counts, and the values on the curve that never falls.
    artists : tuple of CountedArtist
    """

    measure: Literal["auc", "score"]
    level: Level
    confidence_level: Level
    n_artists: Count
    rho: Number = None
    rho_low: Number = None
    rho_high: Number = None
    p: P = None
    shape: Literal["step", "hinge"]
    located: bool = False
    threshold: Number = None
    threshold_low: Number = None
    threshold_high: Number = None
    open_low: bool = False
    open_high: bool = False
    p_threshold: P = None
    before: Number = None
    after: Number = None
    explained: Share = None
    explained_line: Share = None
    curve: tuple[tuple[float, float], ...] = ()
    artists: tuple[CountedArtist, ...]
