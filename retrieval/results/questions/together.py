"""The answer to the question whether artists are recognised in pictures of prompts that name two of them."""

from __future__ import annotations

from imindex.retrieval.results.base import Adjust, Count, Level, Number, P, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer


class NameInPair(Result, kw_only=True, frozen=True):
    """One artist in one pair.

    Attributes
    ----------
    pair : int
        Number of the pair, from 0.
    artist, other : str
    judged : bool
        Whether the encoder tells the artist's works from those of others; only then is there a p-value.
    works : float or None
        Mean score for the artist of the artist's own works, minus that of pictures of placebo names alone.
    alone, alone_low, alone_high : float or None
        By the audit's prompts, which name one artist: score of the artist's name minus that of placebo names, and its
        interval.
    company, company_low, company_high : float or None
        By prompts with both names: score minus that of placebo names in the artist's place, and its interval.
    kept, kept_low, kept_high : float or None
        company / alone, and its interval; missing if it is not bounded.
    p, p_adjusted : float or None
        p-value of the artist's name among placebo names in its place beside the other artist, and after correction over
        pairs and names.
    included : float or None
        Share of the pictures of the pair that are said to be by the artist, one by one.
    n_pictures, n_references : int
        Pictures of the pair that are compared, and placebo names in the artist's place.
    """

    pair: Count
    artist: str
    other: str
    judged: bool
    works: Number = None
    alone: Number = None
    alone_low: Number = None
    alone_high: Number = None
    company: Number = None
    company_low: Number = None
    company_high: Number = None
    kept: Number = None
    kept_low: Number = None
    kept_high: Number = None
    p: P = None
    p_adjusted: P = None
    included: Share = None
    n_pictures: Count
    n_references: Count


class PairPresence(Result, kw_only=True, frozen=True):
    """One pair of artists.

    Attributes
    ----------
    first, second : str
    p_both, p_both_adjusted : float or None
        p-value of both names being present, the larger of the two, and after correction over pairs.
    exact : float or None
        Share of the pictures, one by one, whose set of artists is exactly this pair.
    """

    first: str
    second: str
    p_both: P = None
    p_both_adjusted: P = None
    exact: Share = None


class SetsOfArtists(Result, kw_only=True, frozen=True):
    """How well sets of artists are answered by a number of pictures.

    Attributes
    ----------
    size : int
        Number of pictures that are judged together.
    recall, recall_low, recall_high : float or None
        Share of the named artists who are in the answer, and its interval over pairs.
    recall_chance : float or None
        Share by the pictures of pairs that do not name them.
    false_inclusion, false_low, false_high : float or None
        Share of the artists who are not named that are in the answer, in pictures of two artists, and its interval over
        pairs and artists.
    false_beside_placebos : float or None
        The same share in pictures that name one artist and one placebo name.
    exact, exact_low, exact_high : float or None
        Share of answers that are exactly the named pair, and its interval over pairs.
    exact_chance : float or None
        Share that are exactly another pair.
    n_sets : int
        Answers about pictures of two artists.
    """

    size: Count
    recall: Share = None
    recall_low: Share = None
    recall_high: Share = None
    recall_chance: Share = None
    false_inclusion: Share = None
    false_low: Share = None
    false_high: Share = None
    false_beside_placebos: Share = None
    exact: Share = None
    exact_low: Share = None
    exact_high: Share = None
    exact_chance: Share = None
    n_sets: Count


class TogetherAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="together"):
    """Several artists in one prompt.

    Attributes
    ----------
    adjust : str
    level : float
    confidence_level : float
    statistic, set_statistic : str
        The score of the tests, and of the sets of artists: linear, lda (log odds), direction, softmax or rank.
    n_found, n_judged : int
        Number of (pair, artist) in which the artist's name makes a difference, and of those that were tested.
    n_both : int
        Number of pairs with both.
    kept, kept_low, kept_high : float or None
        Share of the artists' own part that remains in company, over all judged artists, and its interval over pairs.
    rate : float
        Largest probability of a false inclusion by pictures of placebo names, for each artist; also the share of
        pictures of another artist and a placebo name that are above the thresholds.
    n_placebo_pairs : int
        Pairs of placebo names with pictures, which calibrate the thresholds.
    n_candidates : int
        Artists who can be in an answer: those that the encoder can judge.
    sets : tuple of SetsOfArtists
    pairs : tuple of PairPresence
    artists : tuple of NameInPair
        Two for each pair.
    """

    adjust: Adjust
    level: Level
    confidence_level: Level
    statistic: str
    set_statistic: str
    n_found: Count
    n_judged: Count
    n_both: Count
    kept: Number = None
    kept_low: Number = None
    kept_high: Number = None
    rate: Level
    n_placebo_pairs: Count
    n_candidates: Count
    sets: tuple[SetsOfArtists, ...]
    pairs: tuple[PairPresence, ...]
    artists: tuple[NameInPair, ...]
