"""A blind panel of people: its key, the answers of a rater, and the result."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from imindex.retrieval.results.base import (
    Adjust,
    Count,
    Digest,
    Level,
    Number,
    P,
    Result,
    Seed,
    Sha256,
    Share,
    Time,
)

TrialKind = Literal["imitation", "placebo", "catch"]
Side = Literal["left", "right"]
Which = Literal["a", "b"]
Token = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]


class PanelPicture(Result, kw_only=True, frozen=True):
    """A picture of a panel.

    Attributes
    ----------
    id : str
        Its name on the pages, which says nothing of it.
    name : str
        The artist or the placebo name that it was made for, or the artist who made it.
    path : str
        Relative to the folder of the audit.
    sha256 : str
        Digest of the file's bytes.
    """

    id: Token
    name: str
    path: str
    sha256: Sha256


class PanelTrial(Result, kw_only=True, frozen=True):
    """A trial: works of an artist, and two pictures to choose from.

    Attributes
    ----------
    kind : {"imitation", "placebo", "catch"}
        imitation: one picture was made for the artist's name, the other for a placebo name. placebo: both were made for
        placebo names. catch: one is a work of the artist, the other a work of another artist.
    artist : str
        Artist whose works are shown.
    a, b : str
        Picture ids. Which picture is a was drawn at random.
    imitation : str
        "a" or "b": the imitation or, in a catch trial, the work of the artist. In a placebo trial, the picture of the
        placebo name that takes the artist's place.
    works : tuple of str
        Picture ids of the works that are shown.
    set : int
        Number of the placebo set; 0 for the other kinds.
    template : str
        Template of both prompts; empty if it is unknown, and in catch trials.
    metric : float or None
        Share of the artist's works to which picture a is nearer than picture b; ties count half.
    """

    kind: TrialKind
    artist: str
    a: Token
    b: Token
    imitation: Which
    works: tuple[Token, ...]
    set: Count = 0
    template: str = ""
    metric: Share = None


class PanelShown(Result, kw_only=True, frozen=True):
    """A trial as a page shows it.

    Attributes
    ----------
    id : str
        Its name on the page.
    trial : int
        Its place among the trials of the key, from 0.
    left : {"a", "b"}
        The picture on the left.
    """

    id: Token
    trial: Count
    left: Which


class PanelSheet(Result, kw_only=True, frozen=True):
    """The page of one rater: its trials in order. A trial that comes twice measures self-agreement.

    Attributes
    ----------
    number : int
        From 1.
    shown : tuple of PanelShown
    """

    number: Annotated[int, Meta(ge=1)]
    shown: tuple[PanelShown, ...]


class PanelArtist(Result, kw_only=True, frozen=True):
    """An artist of a panel.

    Attributes
    ----------
    artist : str
    auc : float or None
        AUC of the audit for the encoder of the key.
    """

    artist: str
    auc: Share


class PanelRule(Result, kw_only=True, frozen=True):
    """How answers are evaluated, fixed before there are any.

    Attributes
    ----------
    least_catch : float
        Raters with a smaller share of right answers to catch trials are excluded.
    level : float
        Significance level of the family of artists, after correction.
    adjust : str
        holm, bh or by.
    confidence_level : float
    n_resamples : int
    """

    least_catch: Annotated[float, Meta(ge=0, le=1)]
    level: Level
    adjust: Adjust
    confidence_level: Level
    n_resamples: Count


class PanelKey(Result, kw_only=True, frozen=True):
    """The content of key.json: which picture is which, and how answers are evaluated.

    Attributes
    ----------
    format, version : str
    digest : str
        SHA-256 of the canonical JSON of everything else. The pages quote it.
    created : str
    program : str
    report : str
        Digest of the report of the audit.
    release, encoder : str
        Their names in the audit. The encoder is that of the figures of the metric.
    seed : int
    side : int
        Width and height of all pictures on the pages, in pixels.
    rule : PanelRule
    artists : tuple of PanelArtist
    pictures : tuple of PanelPicture
    trials : tuple of PanelTrial
    sheets : tuple of PanelSheet
    notes : tuple of str
        What limits this design, in sentences.
    """

    format: Literal["imindex-panel"] = "imindex-panel"
    version: Annotated[str, Meta(pattern="^1\\.[0-9]+$")] = "1.0"
    digest: Digest = ""
    created: Time
    program: str
    report: Sha256
    release: str
    encoder: str
    seed: Seed
    side: Count
    rule: PanelRule
    artists: tuple[PanelArtist, ...]
    pictures: tuple[PanelPicture, ...]
    trials: tuple[PanelTrial, ...]
    sheets: tuple[PanelSheet, ...]
    notes: tuple[str, ...] = ()


class PanelAnswer(Result, kw_only=True, frozen=True):
    """An answer to a trial.

    Attributes
    ----------
    id : str
        Name of the trial on the page.
    side : {"left", "right"}
    ms : int
        Milliseconds from showing the trial to the answer.
    """

    id: Token
    side: Side
    ms: Count


class PanelAnswers(Result, kw_only=True, frozen=True):
    """The file that a page gives to a rater at the end.

    Attributes
    ----------
    format, version : str
    panel : str
        Digest of the key.
    sheet : int
        Number of the page.
    rater : str
        Random code, drawn by the page. No names are recorded.
    answers : tuple of PanelAnswer
        In the order of the page; fewer than its trials if the rater stopped early.
    digest : str
        SHA-256 of the text of all this, against accidents.
    """

    format: Literal["imindex-panel-answers"]
    version: Annotated[str, Meta(pattern="^1\\.[0-9]+$")]
    panel: Sha256
    sheet: Annotated[int, Meta(ge=1)]
    rater: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    answers: tuple[PanelAnswer, ...]
    digest: Sha256


class PanelRater(Result, kw_only=True, frozen=True):
    """A rater.

    Attributes
    ----------
    rater : str
        Random code.
    sheet : int
    n_answers, n_shown : int
        Number of answers, and of trials on the page.
    catch : float or None
        Share of right answers to catch trials.
    alike : float or None
        Share of repeated trials with the same answer.
    left : float or None
        Share of answers on the left.
    median_ms : float or None
        Median time of an answer, in milliseconds.
    excluded : str
        Why the rater does not count; empty if the rater does.
    """

    rater: str
    sheet: Count
    n_answers: Count
    n_shown: Count
    catch: Share
    alike: Share
    left: Share
    median_ms: Number
    excluded: str


class PanelEstimate(Result, kw_only=True, frozen=True):
    """A figure with its interval.

    Attributes
    ----------
    value, low, high : float or None
    n_answers, n_raters, n_units : int
        What it rests on. Units are artists, trials or raters, as the field that holds the figure says.
    """

    value: Number
    low: Number
    high: Number
    n_answers: Count
    n_raters: Count
    n_units: Count


class PanelledArtist(Result, kw_only=True, frozen=True):
    """One artist in a panel.

    Attributes
    ----------
    artist : str
    share, low, high : float or None
        Share of answers that chose the imitation over the placebo picture, and its interval over raters and trials.
    n_answers, n_raters, n_trials, n_opponents : int
        `n_opponents` is the number of placebo names that the artist's pictures were compared with.
    p_half : float or None
        p-value of the test against 1/2, over trials.
    p_placebo : float or None
        p-value of the test against placebo names in an artist's place.
    p : float or None
        The larger of the two.
    p_adjusted : float or None
        p after correction over the artists.
    chosen : bool
        Whether p_adjusted is at or below the level.
    auc : float or None
        AUC of the audit.
    metric : float or None
        Share of the artist's trials in which the metric chooses the imitation; ties count half.
    """

    artist: str
    share: Share
    low: Share
    high: Share
    n_answers: Count
    n_raters: Count
    n_trials: Count
    n_opponents: Count
    p_half: P
    p_placebo: P
    p: P
    p_adjusted: P
    chosen: bool
    auc: Share
    metric: Share


class PanelMetric(Result, kw_only=True, frozen=True):
    """Agreement of the panel with the metric of the audit.

    Attributes
    ----------
    rank_correlation : PanelEstimate
        Spearman's correlation of share and AUC, over artists.
    p_rank_correlation : float or None
        Two-sided p-value, by permutation of the artists.
    imitation : PanelEstimate
        Share of answers to imitation trials that are the choice of the metric; over artists and raters.
    placebo : PanelEstimate
        The same for placebo trials, where no picture is an imitation; over sets and raters.
    people : float or None
        Share of pairs of raters who agree on an imitation trial: what to compare `imitation` with.
    """

    rank_correlation: PanelEstimate
    p_rank_correlation: P
    imitation: PanelEstimate
    placebo: PanelEstimate
    people: Share


class PanelFigures(Result, kw_only=True, frozen=True):
    """Figures of a panel for one selection of raters.

    Attributes
    ----------
    n_raters : int
    artists : tuple of PanelledArtist
    overall : PanelEstimate
        Mean over artists of the share; interval over artists and raters.
    p_overall : float or None
        p-value of the test whether that mean is above 1/2, over artists.
    n_chosen : int
        Number of artists with a finding.
    placebo_sd : float or None
        Standard deviation of the share of a placebo name in an artist's place.
    placebo_shares : tuple of float
        Share of each placebo name in an artist's place; its own pictures are those of the name.
    alpha : PanelEstimate
        Krippendorff's alpha on which picture of an imitation or placebo trial is chosen; over raters and trials.
    alike : PanelEstimate
        Share of repeated trials with the same answer; over raters.
    catch : PanelEstimate
        Share of right answers to catch trials; over raters.
    left : PanelEstimate
        Share of answers on the left; over raters.
    metric : PanelMetric
    """

    n_raters: Count
    artists: tuple[PanelledArtist, ...]
    overall: PanelEstimate
    p_overall: P
    n_chosen: Count
    placebo_sd: Number
    placebo_shares: tuple[Share, ...]
    alpha: PanelEstimate
    alike: PanelEstimate
    catch: PanelEstimate
    left: PanelEstimate
    metric: PanelMetric


class PanelResult(Result, kw_only=True, frozen=True):
    """What a panel says.

    Attributes
    ----------
    panel : str
        Digest of the key.
    report : str
        Digest of the report of the audit.
    release, encoder : str
    rule : PanelRule
    raters : tuple of PanelRater
    kept : PanelFigures or None
        Without the raters whom the rule excludes: the result. None if the rule excludes all.
    everybody : PanelFigures
        With all raters, to see what the rule changes.
    notes : tuple of str
    """

    panel: Sha256
    report: Sha256
    release: str
    encoder: str
    rule: PanelRule
    raters: tuple[PanelRater, ...]
    kept: PanelFigures | None
    everybody: PanelFigures
    notes: tuple[str, ...]


class PanelPowerRow(Result, kw_only=True, frozen=True):
    """What a panel of this size finds, by simulation.

    Attributes
    ----------
    share : float
        Share of answers that choose the imitation.
    together, alone : float
        Share of such artists that are found, if all artists are such, and if only one is.
    """

    share: Share
    together: Share
    alone: Share


class PanelForecast(Result, kw_only=True, frozen=True):
    """The size of a panel before it is made, what it asks of people, and what it can find.

    Attributes
    ----------
    release : str
    artists : tuple of str
    n_raters : int
    n_imitation, n_placebo, n_catch, n_repeated : int
        Number of trials of each kind on a page.
    n_shown : int
        Their sum.
    minutes : float
        Time of one rater, at `seconds` per trial.
    seconds : float
    smallest_p : float
        Smallest possible p-value of an artist, before correction.
    power : tuple of PanelPowerRow
    notes : tuple of str
    """

    release: str
    artists: tuple[str, ...]
    n_raters: Count
    n_imitation: Count
    n_placebo: Count
    n_catch: Count
    n_repeated: Count
    n_shown: Count
    minutes: Number
    seconds: Number
    smallest_p: P
    power: tuple[PanelPowerRow, ...]
    notes: tuple[str, ...]
