"""The answer to the question how much pictures speak for one of two propositions about their origin."""

from __future__ import annotations

from typing import Literal

from imindex.retrieval.results.base import Count, Level, Number, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer

Other = Literal["invented names", "other real names"]
"""What H2 says was asked for."""


class ValidatedRatios(Result, kw_only=True, frozen=True):
    """Likelihood ratios against one alternative, and how well they do on pictures of known origin.

    Attributes
    ----------
    other : str
        Names that H2 says were asked for: invented names, or other real names.
    tried_on : str
        The release with the pictures of known origin: the release itself, with artists left out in turn; or another
        one, to which the ratios of this release are applied.
    n_artists, n_others : int
        Artists whose own pictures are trials of H1, and names whose pictures are trials of H2.
    n_same, n_different : int
        Trials of H1 and of H2.
    cllr, cllr_low, cllr_high : float
        Log-likelihood-ratio cost and its interval over artists and names: 0 is perfect, 1 is no information.
    cllr_min, cllr_min_low, cllr_min_high : float
        The cost that is left after the best monotone calibration: discriminating power.
    loss, loss_low, loss_high : float
        The difference: what calibration costs.
    equal_error_rate : float
    misleading_same, misleading_same_low, misleading_same_high : float
        Share of trials of H1 with a likelihood ratio below 1.
    misleading_different, misleading_different_low, misleading_different_high : float
        Share of trials of H2 with a likelihood ratio above 1.
    informative : bool
        Whether the criterion is met: the whole interval of the cost is below 1.
    log10_lowest, log10_highest : float
        Bounds of the logarithm of likelihood ratios that these data support, the widest over artists.
    curve : tuple of (float, float, float)
        Tippett curves: log10 LR, share of the trials of H1 above it, share of the trials of H2 above it.
    """

    other: Other
    tried_on: str
    n_artists: Count
    n_others: Count
    n_same: Count
    n_different: Count
    cllr: float
    cllr_low: float
    cllr_high: float
    cllr_min: float
    cllr_min_low: float
    cllr_min_high: float
    loss: float
    loss_low: float
    loss_high: float
    equal_error_rate: Share
    misleading_same: Share
    misleading_same_low: Share
    misleading_same_high: Share
    misleading_different: Share
    misleading_different_low: Share
    misleading_different_high: Share
    informative: bool
    log10_lowest: float
    log10_highest: float
    curve: tuple[tuple[float, float, float], ...]


class CalibratedArtist(Result, kw_only=True, frozen=True):
    """One artist: the likelihood ratios of the artist's own pictures, calibrated on the other artists.

    Attributes
    ----------
    artist : str
    judged : bool
        Whether the encoder tells the artist's works from those of others; only then are there likelihood ratios.
    other : str
    n_own : int
        Own pictures, or groups of them.
    log10_lr : float or None
        Median over own pictures.
    misleading : float or None
        Share of own pictures with a likelihood ratio below 1.
    intercept, slope : float or None
        log10 LR = intercept + slope x score.
    log10_lowest, log10_highest : float or None
        Bounds of log10 LR.
    """

    artist: str
    judged: bool
    other: Other
    n_own: Count
    log10_lr: Number = None
    misleading: Share = None
    intercept: Number = None
    slope: Number = None
    log10_lowest: Number = None
    log10_highest: Number = None


class QuestionedPictures(Result, kw_only=True, frozen=True):
    """A questioned picture, or a group from one source.

    Attributes
    ----------
    artist : str
        The artist in question.
    pictures : tuple of str
        Paths, relative to the plan.
    other : str
    score : float or None
        Score for the artist; the mean of a group.
    log10_lr, log10_low, log10_high : float or None
        Likelihood ratio and its interval over the artists and names of the calibration. None if it is withheld.
    at_bound : bool
        Whether the data do not support a more extreme value.
    words : str
        Term of the verbal scale of the plan; empty without one.
    withheld : str
        Why there is no likelihood ratio; empty if there is one.
    """

    artist: str
    pictures: tuple[str, ...]
    other: Other
    score: Number = None
    log10_lr: Number = None
    log10_low: Number = None
    log10_high: Number = None
    at_bound: bool = False
    words: str = ""
    withheld: str = ""


class LikelihoodRatioAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="likelihood_ratio"):
    """Likelihood ratios: asked for by this artist's name (H1), or by another name (H2).

    Attributes
    ----------
    confidence_level : float
    statistic : str
        The score that is calibrated.
    group : int
        Pictures that are scored together.
    scale : str
        Verbal scale, or none.
    validations : tuple of ValidatedRatios
        On this release, against each kind of other names.
    elsewhere : tuple of ValidatedRatios
        The same likelihood ratios on the pictures of the other releases.
    questioned : tuple of QuestionedPictures
    artists : tuple of CalibratedArtist
    """

    confidence_level: Level
    statistic: str
    group: Count
    scale: str
    validations: tuple[ValidatedRatios, ...]
    elsewhere: tuple[ValidatedRatios, ...] = ()
    questioned: tuple[QuestionedPictures, ...] = ()
    artists: tuple[CalibratedArtist, ...]
