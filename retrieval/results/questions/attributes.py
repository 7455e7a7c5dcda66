"""The answer to the question which style attributes carry the match."""

from __future__ import annotations

from typing import Literal

from imindex.retrieval.results.base import Count, Level, Number, P, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer
from imindex.retrieval.results.tables import Row


class ArtistAttribute(Result, kw_only=True, frozen=True):
    """One attribute of one artist.

    Attributes
    ----------
    key : str
        The attribute; a probe's begins with "probe:".
    works, others : float or None
        Mean of the artist's works, and of other artists' means.
    auc : float or None
        Probability that a held-out work of the artist is nearer to the artist's value than another artist's work.
    p_distinctive : float or None
        p-value that the works cannot be told by this attribute.
    own : float or None
        Mean of the pictures of the artist's name.
    placebo, placebo_low, placebo_high : float or None
        Mean, 5th and 95th percentile of the means of the placebo names.
    p, p_adjusted : float or None
        p-value that the pictures are no nearer to the works than those of placebo names, and after correction over the
        artist's attributes. None if the attribute does not tell the works: then it is not tested.
    found : bool
        Whether the pictures are nearer, after correction over attributes and artists.
    """

    key: str
    works: Number = None
    others: Number = None
    auc: Share = None
    p_distinctive: P = None
    own: Number = None
    placebo: Number = None
    placebo_low: Number = None
    placebo_high: Number = None
    p: P = None
    p_adjusted: P = None
    found: bool = False


class CarriedShare(Result, kw_only=True, frozen=True):
    """What goes along with a group of attributes.

    Attributes
    ----------
    group : str
        palette, line, texture, composition, or all.
    share, low, high : float or None
        Share of the match, and its interval. None if there is no clear match.
    last : float or None
        The same after all other groups; None for all.
    auc_alone : float or None
        AUC of the artist's pictures against those of placebo names by nearness to the works in this group alone; over
        artists, the mean.
    auc_without : float or None
        The same by the encoder's score with the group regressed out. None over artists, and without support.
    """

    group: str
    share: Number = None
    low: Number = None
    high: Number = None
    last: Number = None
    auc_alone: Share = None
    auc_without: Share = None


class AttributesOfArtist(Result, kw_only=True, frozen=True):
    """The attributes of one artist.

    Attributes
    ----------
    artist : str
    status : str
        "ok", or what is missing.
    n_works, n_pictures, n_placebos : int
        Works and pictures that could be measured, and placebo names compared.
    n_distinctive, n_found : int
        Attributes that tell the works, and those in which the pictures are nearer.
    p, p_adjusted : float or None
        p-value that the pictures are nearer in no attribute, and after Benjamini-Hochberg over artists.
    auc : float or None
        AUC of the artist's pictures against those of placebo names by the encoder's score.
    carried : tuple of CarriedShare
        Empty if the encoder does not tell the artist's works.
    attributes : tuple of ArtistAttribute
    """

    artist: str
    status: str
    n_works: Count
    n_pictures: Count
    n_placebos: Count
    n_distinctive: Count
    n_found: Count
    p: P = None
    p_adjusted: P = None
    auc: Share = None
    carried: tuple[CarriedShare, ...] = ()
    attributes: tuple[ArtistAttribute, ...] = ()


class AttributeProbe(Result, kw_only=True, frozen=True):
    """Whether an encoder knows the words for an attribute.

    Attributes
    ----------
    key : str
        The measured counterpart.
    words : str
    known : bool
    agreement, reliability : float or None
        Correlation with the measured counterpart over works, and mean correlation between wordings.
    p_agreement, p_reliability : float or None
        Their ranks among nonsense words.
    """

    key: str
    words: str
    known: bool
    agreement: Number = None
    p_agreement: P = None
    reliability: Number = None
    p_reliability: P = None


class AttributesAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="attributes"):
    """Which style attributes carry the match.

    Attributes
    ----------
    within : str
        Correction over the attributes of an artist: max (step-down, by the largest score) or holm.
    level, confidence_level : float
    level_within : float
        Level at which attributes of a selected artist are called.
    side : int
        Pictures were measured at the area of a square of this edge, in pixels.
    n_unread : int
        Pictures that could not be measured.
    has_text : bool
        Whether the encoder has a text side.
    carried : tuple of CarriedShare
        Over artists.
    auc : float or None
        Mean over artists of the AUC by the encoder's score.
    probes : tuple of AttributeProbe
        Empty if probes were not asked for, or the encoder has no text side.
    artists : tuple of AttributesOfArtist
    """

    within: Literal["max", "holm"]
    level: Level
    confidence_level: Level
    level_within: float
    side: Count
    n_unread: Count
    has_text: bool
    carried: tuple[CarriedShare, ...] = ()
    auc: Share = None
    probes: tuple[AttributeProbe, ...] = ()
    artists: tuple[AttributesOfArtist, ...]

    def records(self) -> list[Row]:
        """Return one row per artist and attribute."""
        return [
            {"artist": one.artist, "p_artist": one.p_adjusted, **attribute.to_dict()}
            for one in self.artists
            for attribute in one.attributes
        ]
