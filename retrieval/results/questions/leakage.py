"""The answer to the question whether artists resurface in pictures whose prompts name nobody."""

from __future__ import annotations

from imindex.retrieval.results.base import Adjust, Count, Level, Number, P, PictureSeed, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer


class LeakedPicture(Result, kw_only=True, frozen=True):
    """A nameless picture that is near an artist, beside the nearest work.

    Attributes
    ----------
    artist : str
    picture, work : str
        Paths, relative to the audit's folder.
    prompt : str
    seed : int or None
    odds : float
        Log odds of the artist against all other tested and absent artists.
    cosine : float
        With the work.
    """

    artist: str
    picture: str
    work: str
    prompt: str
    seed: PictureSeed | None
    odds: float
    cosine: float


class LeakedArtist(Result, kw_only=True, frozen=True):
    """One tested artist.

    Attributes
    ----------
    artist : str
    n_works : int
        Distinct works; near-duplicates count once.
    statistic : float or None
        Mean log odds of the nearest tenth of the pictures minus the median, in standard deviations. None if the artist
        has too few works.
    n_at_least : int
        Number of absent artists with at least this statistic.
    p, p_adjusted : float or None
        (1 + n_at_least) / (1 + absent artists), and after correction over the artists.
    p_clean : float or None
        The p-value by the pictures of the clean release.
    p_change : float or None
        p-value of the change of the statistic from the clean release. Not corrected.
    share : float or None
        Share of the pictures that are more than half of the way from the median picture to the artist's median work.
    excess, excess_low, excess_high : float or None
        The share minus that of absent artists, and its interval.
    """

    artist: str
    n_works: Count
    statistic: Number = None
    n_at_least: Count = 0
    p: P = None
    p_adjusted: P = None
    p_clean: P = None
    p_change: P = None
    share: Share = None
    excess: Number = None
    excess_low: Number = None
    excess_high: Number = None


class AbsentArtist(Result, kw_only=True, frozen=True):
    """One absent artist.

    Attributes
    ----------
    artist : str
    n_works : int
    statistic : float or None
        As of a tested artist. None if the artist has too few works.
    share : float or None
    """

    artist: str
    n_works: Count
    statistic: Number = None
    share: Share = None


class KindsDiffer(Result, kw_only=True, frozen=True):
    """Whether tested and absent artists differ in kind, by their works.

    Attributes
    ----------
    p : float or None
        The smallest of the following, times their number.
    p_typical : float or None
        Of the difference in how near an artist's works are to those of all others.
    p_alike : float or None
        Of the difference in how alike an artist's works are.
    p_place : float or None
        Of a difference between the artists' mean works: another source, scanner or subject.
    p_nearness : float or None
        Of the difference in the statistic for the clean release.
    """

    p: P = None
    p_typical: P = None
    p_alike: P = None
    p_place: P = None
    p_nearness: P = None


class LeakageAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="leakage"):
    """Unprompted leakage.

    Attributes
    ----------
    adjust : str
    level, confidence_level : float
    clean : str
        The release whose pictures cannot show the tested artists; empty if there is none.
    n_pictures : int
        Distinct nameless pictures.
    n_works : int
        Works of each artist that were compared.
    n_absent : int
        Absent artists that were compared.
    n_found : int
    absent_share : float or None
        Mean share of pictures that look like an absent artist.
    kinds : KindsDiffer
    artists : tuple of LeakedArtist
    absent : tuple of AbsentArtist
    nearest : tuple of LeakedPicture
        For each tested artist, the pictures with the highest log odds.
    """

    adjust: Adjust
    level: Level
    confidence_level: Level
    clean: str = ""
    n_pictures: Count
    n_works: Count
    n_absent: Count
    n_found: Count
    absent_share: Share = None
    kinds: KindsDiffer
    artists: tuple[LeakedArtist, ...]
    absent: tuple[AbsentArtist, ...]
    nearest: tuple[LeakedPicture, ...] = ()
