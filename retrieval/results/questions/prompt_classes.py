"""The answer to the question whether the finding depends on how the model is asked."""

from __future__ import annotations

from imindex.retrieval.results.base import Adjust, Count, Level, Number, P, Result, Share
from imindex.retrieval.results.questions.base import QuestionAnswer


class ByPromptClass(Result, kw_only=True, frozen=True):
    """One artist in one class of prompts.

    Attributes
    ----------
    artist, prompt_class : str
    judged : bool
        Whether the encoder tells the artist's works from those of others; only then is there a p-value.
    auc, auc_low, auc_high : float or None
        Probability that a picture of this name scores higher for the artist than one of a placebo name by the same
        prompt, and its interval.
    own, own_low, own_high : float or None
        Mean score of the name's pictures less that of placebo names, and its interval.
    p, p_adjusted : float or None
        p-value of the name among placebo names, and after correction over the artists of the class. Where the name is
        in a negative prompt, of being further away.
    p_adjusted_all : float or None
        After correction over all artists and classes.
    n_pictures, n_placebos : int
    """

    artist: str
    prompt_class: str
    judged: bool
    auc: Share = None
    auc_low: Share = None
    auc_high: Share = None
    own: Number = None
    own_low: Number = None
    own_high: Number = None
    p: P = None
    p_adjusted: P = None
    p_adjusted_all: P = None
    n_pictures: Count
    n_placebos: Count


class PromptClassResult(Result, kw_only=True, frozen=True):
    """A class of prompts over all artists.

    Attributes
    ----------
    name : str
    templates : tuple of str
    negative : str
        The negative prompt, if there is one.
    source : str
        Where the prompts come from.
    typicality : float or None
        How common such prompts are, as the plan states it.
    n_judged : int
        Number of artists with a p-value.
    n_found, n_found_all : int
        Number of artists that are found, corrected over the artists of the class, and over all classes.
    auc, auc_low, auc_high : float or None
        Mean over artists that can be judged, and its interval over artists.
    change, change_low, change_high, p_change : float or None
        Mean over artists of the AUC less that in the first class, its interval, and the p-value of a sign-flip test
        over artists (two-sided, not corrected over classes).
    """

    name: str
    templates: tuple[str, ...]
    negative: str = ""
    source: str = ""
    typicality: Share = None
    n_judged: Count
    n_found: Count
    n_found_all: Count
    auc: Share = None
    auc_low: Share = None
    auc_high: Share = None
    change: Number = None
    change_low: Number = None
    change_high: Number = None
    p_change: P = None


class PromptClassesAnswer(QuestionAnswer, kw_only=True, frozen=True, tag="prompt_classes"):
    """Results by class of prompts.

    Attributes
    ----------
    adjust : str
    level : float
    confidence_level : float
    classes : tuple of PromptClassResult
    artists : tuple of ByPromptClass
        One per class and artist.
    """

    adjust: Adjust
    level: Level
    confidence_level: Level
    classes: tuple[PromptClassResult, ...]
    artists: tuple[ByPromptClass, ...]
