"""The answer to the question whether artists are gone from a release, and the others kept."""

from __future__ import annotations

from typing import Literal

from imindex.retrieval.results.base import Count, Level, Number, P, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer

Gone = Literal["gone", "remains", "undecided", "not judged", "no pictures"]
Kept = Literal["kept", "lost", "undecided", "not imitated before", "not judged", "no pictures"]


class ErasedArtist(Result, kw_only=True, frozen=True):
    """One artist that is said to be erased, by one way of asking.

    Attributes
    ----------
    artist : str
    asked : str
        The main prompts of the audit, or the class of prompts.
    verdict : str
        gone: the upper end of the AUC is below 0.5 + margin. remains: the name still makes a difference (p at or below
        the level) and the AUC is not shown to be below the margin. undecided: neither is shown.
    base_auc : float or None
        AUC in the base release.
    auc, auc_low, auc_high : float or None
        AUC in this release, and its interval at twice the error: its upper end is the limit of a one-sided test.
    p : float or None
        p-value of the name among placebo names in this release: is something left? Not corrected, which favours
        "remains".
    n_pictures, n_placebos : int
    """

    artist: str
    asked: str
    verdict: Gone
    base_auc: Share = None
    auc: Share = None
    auc_low: Share = None
    auc_high: Share = None
    p: P = None
    n_pictures: Count = 0
    n_placebos: Count = 0


class KeptArtist(Result, kw_only=True, frozen=True):
    """One artist that is to be kept, by the main prompts.

    Attributes
    ----------
    artist : str
    verdict : str
        kept: the lower end of the change is above -margin. lost: its upper end is below -margin. not imitated before:
        the name made no difference in the base release, so there is nothing to keep.
    nearness : float or None
        Cosine between the mean works of this artist and of the nearest erased artist.
    nearest_erased : str
    base_auc, auc : float or None
    change, change_low, change_high : float or None
        Change of the AUC, and its interval at twice the error.
    """

    artist: str
    verdict: Kept
    nearness: Number = None
    nearest_erased: str = ""
    base_auc: Share = None
    auc: Share = None
    change: Number = None
    change_low: Number = None
    change_high: Number = None


class ErasureAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="erasure"):
    """Erased artists gone, and the others kept.

    Attributes
    ----------
    base : str
        The release it is compared with.
    margin, kept_margin : float
    level : float
    gone : tuple of str
        Erased artists who are gone by every way of asking.
    remaining : tuple of str
        Erased artists who remain by some way of asking.
    n_ways : int
        Number of ways of asking: the main prompts, and each class of prompts.
    placebo_gone : float or None
        Share of the placebo names that are "gone" by the main prompts: how often the test can say so of a name that the
        model does not know.
    kept_mean, kept_low, kept_high, p_kept : float or None
        Mean change of AUC over the artists that are to be kept and were imitated before, its interval, and the p-value
        of the test that it is within the margin (two one-sided t-tests over artists).
    artists : tuple of ErasedArtist
    kept : tuple of KeptArtist
        From the nearest to an erased artist to the furthest.
    """

    base: str
    margin: Level
    kept_margin: Level
    level: Level
    gone: tuple[str, ...]
    remaining: tuple[str, ...]
    n_ways: Count
    placebo_gone: Share = None
    kept_mean: Number = None
    kept_low: Number = None
    kept_high: Number = None
    p_kept: P = None
    artists: tuple[ErasedArtist, ...]
    kept: tuple[KeptArtist, ...]
