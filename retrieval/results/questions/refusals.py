"""The answer to the question which names a service refuses, and what the withheld pictures could change."""

from __future__ import annotations

from imindex.retrieval.results.base import Adjust, Count, Level, Number, P, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer


class RefusedName(Result, kw_only=True, frozen=True):
    """What became of the requests with one artist's name.

    Attributes
    ----------
    artist : str
    n_asked : int
        Pictures that were asked for, except errors.
    n_pictures, n_refused, n_blocked, n_no_picture, n_errors : int
    share, low, high : float or None
        Share of the pictures that were withheld (refused or blocked), and its exact interval.
    placebo_share : float or None
        Mean share of the placebo names of which equally many pictures were asked for.
    p, p_adjusted : float or None
        Exact rank of the share among those of these placebo names; and corrected over the artists.
    n_placebos, n_left_out : int
        Placebo names that are compared, and those of which another number was asked for.
    auc : float or None
        AUC of the pictures that were made, against those of placebo names; None if the artist cannot be judged.
    auc_low, auc_as_placebos, auc_high : float or None
        If the withheld pictures were less like the artist than all others, like those of placebo names, and more.
    p_as_answered, p_as_placebos, p_best, p_worst : float or None
        p-value of the set, corrected over the artists, if the withheld pictures of each name were like those that were
        made, if they were like those of placebo names, and in the best and the worst case for a finding.
    """

    artist: str
    n_asked: Count
    n_pictures: Count
    n_refused: Count
    n_blocked: Count
    n_no_picture: Count = 0
    n_errors: Count = 0
    share: Share = None
    low: Share = None
    high: Share = None
    placebo_share: Share = None
    p: P = None
    p_adjusted: P = None
    n_placebos: Count = 0
    n_left_out: Count = 0
    auc: Share = None
    auc_low: Share = None
    auc_as_placebos: Share = None
    auc_high: Share = None
    p_as_answered: P = None
    p_as_placebos: P = None
    p_best: P = None
    p_worst: P = None


class RefusalsAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="refusals"):
    """Refused and blocked pictures.

    Attributes
    ----------
    adjust : str
        Correction over the artists.
    level, confidence_level : float
    n_found : int
        Artists whose names are withheld more often than placebo names.
    n_asked, n_withheld : int
        Pictures with the names of artists.
    n_placebo_asked, n_placebo_withheld : int
        Pictures with placebo names.
    n_depend : int
        Artists whose set is significant if the withheld pictures were like those that were made, and not if they were
        like those of placebo names.
    p_drift : float or None
        p-value of a change of placebo names' pictures while the service was asked.
    drift : float or None
        Length of the mean shift from early to late pictures, as a multiple of its root mean square without a change.
    n_drift_names : int
        Placebo names with early and late pictures.
    models : tuple of str
        Models that the service says it used.
    artists : tuple of RefusedName
    """

    adjust: Adjust
    level: Level
    confidence_level: Level
    n_found: Count
    n_asked: Count
    n_withheld: Count
    n_placebo_asked: Count
    n_placebo_withheld: Count
    n_depend: Count
    p_drift: P = None
    drift: Number = None
    n_drift_names: Count = 0
    models: tuple[str, ...] = ()
    artists: tuple[RefusedName, ...]
