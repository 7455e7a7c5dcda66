"""What `classify` returns."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from imindex.retrieval.results.base import Adjust, Count, P, Result, Share, to_dict
from imindex.retrieval.results.tables import Row, flat
from imindex.retrieval.results.testing import HowTested


class AccuracyInterval(Result, kw_only=True, frozen=True):
    """An interval of an accuracy.

    Attributes
    ----------
    top1_low, top1_high : float or None
        Ends of the interval.
    interval : str
        The method.
    interval_note : str
        What limits it; empty if nothing does.
    n_units : int
        What was drawn: pictures or prompts.
    """

    top1_low: Share
    top1_high: Share
    interval: str
    interval_note: str
    n_units: Count


class AccuracyTests(Result, kw_only=True, frozen=True):
    """How sure the accuracy of one artist is; all but `artist` is None where nothing was tested.

    Attributes
    ----------
    artist : str
    top1_low, top1_high : float or None
        Interval of the accuracy.
    interval : str or None
        Its method.
    interval_note : str or None
        What limits it; empty if nothing does.
    n_units : int or None
        What was drawn: pictures or prompts.
    prompts_held_fixed : bool or None
        Whether prompts repeat and are too few to be drawn: the interval is for these prompts.
    p_chance : float or None
        Of the accuracy against guessing; takes pictures for independent.
    p_chance_holm, p_chance_bh, p_chance_by : float or None
        The same after correction over artists.
    p_generic : float or None
        Of the artist's name against the generic labels; None without generic labels.
    n_generic : int or None
        Pictures nearest to a generic label.
    """

    artist: str
    top1_low: Share = None
    top1_high: Share = None
    interval: str | None = None
    interval_note: str | None = None
    n_units: Count | None = None
    prompts_held_fixed: bool | None = None
    p_chance: P = None
    p_chance_holm: P = None
    p_chance_bh: P = None
    p_chance_by: P = None
    p_generic: P = None
    n_generic: Count | None = None

    def p_chance_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p_chance` after a correction over artists."""
        return {"holm": self.p_chance_holm, "bh": self.p_chance_bh, "by": self.p_chance_by}[adjust]


class ClassifiedArtist(AccuracyTests, kw_only=True, frozen=True):
    """How often the pictures of one artist were named rightly, and how sure that is.

    Attributes
    ----------
    n : int
        Pictures classified.
    top1, top5 : float or None
        Share of them with the artist first, or among the five best labels.
    mrr : float or None
        Mean reciprocal rank of the artist among the labels.
    confused_with : str
        The label named most often in place of the artist; empty if none was.
    """

    n: Count
    top1: Share
    top5: Share
    mrr: Share
    confused_with: str


class LabelCurve(Result, kw_only=True, frozen=True):
    """The accuracy that fewer candidate artists would have given, over all choices of them; one entry per count.

    Attributes
    ----------
    counts : tuple of int
        Numbers of candidate artists, ascending.
    top1 : tuple of float
        Accuracy over pictures.
    macro_top1 : tuple of float
        Mean over artists of their accuracies.
    chance : tuple of float
        Accuracy of guessing.
    """

    counts: tuple[Count, ...]
    top1: tuple[Share, ...]
    macro_top1: tuple[Share, ...]
    chance: tuple[Share, ...]


class ClassificationEvidence(Result, kw_only=True, frozen=True):
    """Tests of a classification over all artists.

    Attributes
    ----------
    macro : AccuracyInterval
        Of the mean over artists.
    p_assignment : float or None
        Of the accuracy over random assignments of sets to artists; None with one artist.
    assumes : str
        What the tests against chance take for granted.
    by_label_count : LabelCurve or None
        Accuracy by number of candidates; None where no picture has two candidate artists.
    """

    macro: AccuracyInterval
    p_assignment: P
    assumes: str
    by_label_count: LabelCurve | None


class NamedCounts(Result, kw_only=True, frozen=True):
    """How often each label was named for the pictures of each artist.

    Attributes
    ----------
    rows : tuple of str
        The artists asked for.
    counts : tuple of tuple of int
        A row for each of them, a column for each label.
    """

    rows: tuple[str, ...]
    counts: tuple[tuple[Count, ...], ...]


class ClassificationMethod(Result, kw_only=True, frozen=True):
    """A collection classified by one method.

    Attributes
    ----------
    method : str
        In words.
    n_labels : int
        Candidates, generic labels included.
    n_generic : int
        Generic labels: the last ones.
    top1, top5 : float or None
        Share of the pictures with their artist first, or among the five best.
    macro_top1, macro_top5 : float or None
        Means over artists of these shares.
    chance_top1, chance_top5, macro_chance_top1, macro_chance_top5 : float or None
        The same for guessing.
    mrr, macro_mrr : float or None
        Mean reciprocal rank of the artist, over pictures and over artists.
    generic_share : float or None
        Share of the pictures nearest to a generic label.
    n_unscored : int
        Pictures whose artist has nothing to compare with; they count as wrong.
    n_tied : int
        Pictures whose best label was tied.
    artists : tuple of ClassifiedArtist
        Those with pictures, in the order of the index.
    evidence : ClassificationEvidence or None
        None where nothing was tested.
    labels : tuple of str
        The artists of the index, then the generic labels.
    confusion : NamedCounts
    """

    method: str
    n_labels: Count
    n_generic: Count
    top1: Share
    top5: Share
    macro_top1: Share
    macro_top5: Share
    chance_top1: Share
    chance_top5: Share
    macro_chance_top1: Share
    macro_chance_top5: Share
    mrr: Share
    macro_mrr: Share
    generic_share: Share
    n_unscored: Count
    n_tied: Count
    artists: tuple[ClassifiedArtist, ...]
    evidence: ClassificationEvidence | None
    labels: tuple[str, ...]
    confusion: NamedCounts


class Classification(Result, kw_only=True, frozen=True):
    """What `classify` found in a collection.

    Attributes
    ----------
    collection : str
    kind : str
        imitations or works.
    root_digest : str
        Of the index.
    encoder : str
        Model, weights and precision of the index.
    by : str
        name (texts of the artists' names) or works.
    templates : tuple of str
        Prompt templates of the names, averaged; empty by works.
    templates_top1 : dict of str to float
        Accuracy over pictures by each template alone, where there are several.
    testing : HowTested or None
        None where nothing was tested.
    placebos : tuple of str
        Placebo names, which were left out.
    generic_labels : tuple of str
    n : int
        Pictures classified.
    n_repeated : int
        Repetitions of a picture under one name, which were left out.
    methods : tuple of ClassificationMethod
        One by name, two by works.
    """

    collection: str
    kind: str
    root_digest: str = field(name="root-digest")
    encoder: str
    by: str
    templates: tuple[str, ...]
    templates_top1: Mapping[str, Share]
    testing: HowTested | None
    placebos: tuple[str, ...]
    generic_labels: tuple[str, ...]
    n: Count
    n_repeated: Count
    methods: tuple[ClassificationMethod, ...]

    def records(self) -> list[Row]:
        """Return a row for each method and artist."""
        return [
            {"method": method.method, **flat(to_dict(artist))}
            for method in self.methods
            for artist in method.artists
        ]
