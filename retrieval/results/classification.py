"""Results of `classify`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from imindex.retrieval.results.base import Adjust, Count, P, Result, Share, to_dict
from imindex.retrieval.results.release_names import ReleaseNames
from imindex.retrieval.results.tables import Row, flat
from imindex.retrieval.results.testing import HowTested, WhitenedBy


class AccuracyInterval(Result, kw_only=True, frozen=True):
    """A confidence interval of an accuracy.

    Attributes
    ----------
    top1_low, top1_high : float or None
        Ends of the interval.
    interval : str
        Method of the interval.
    interval_note : str
        Limitation of the interval; empty if there is none.
    n_units : int
        Number of independent units: pictures, prompts or artists; of artists and prompts that they share, the smaller
        number.
    """

    top1_low: Share
    top1_high: Share
    interval: str
    interval_note: str
    n_units: Count


class AccuracyTests(Result, kw_only=True, frozen=True):
    """Uncertainty of the accuracy of one artist. All fields but `artist` are None if nothing was tested.

    Attributes
    ----------
    artist : str
    top1_low, top1_high : float or None
        Confidence interval of the accuracy.
    interval : str or None
        Method of the interval.
    interval_note : str or None
        Limitation of the interval; empty if there is none.
    n_units : int or None
        Number of independent units: pictures or prompts.
    prompts_held_fixed : bool or None
        Whether prompts repeat and are too few to resample: the interval then applies to these prompts only.
    p_named : float or None
        p-value of the test whether the pictures are named as the artist more often than the sets of placebo names are
        (`imindex.stats.naming.naming_test`); None without placebo names of the same design.
    p_named_holm, p_named_bh, p_named_by : float or None
        p_named after correction over artists.
    n_named_references : int or None
        Number of sets of placebo names that the artist's set is compared with.
    placebo_share : float or None
        Bias of the label: share of the placebo names' pictures that are named as this artist. None without placebos.
    p_chance_if_independent : float or None
        p-value of the accuracy against guessing, if pictures were independent and labels equally likely. Neither is
        true as a rule, so it is far too small for a label that attracts pictures; use p_named.
    p_generic_if_independent : float or None
        p-value of the artist's name against the generic labels, if pictures were independent; None without generic
        labels.
    n_generic : int or None
        Number of pictures nearest to a generic label.
    """

    artist: str
    top1_low: Share = None
    top1_high: Share = None
    interval: str | None = None
    interval_note: str | None = None
    n_units: Count | None = None
    prompts_held_fixed: bool | None = None
    p_named: P = None
    p_named_holm: P = None
    p_named_bh: P = None
    p_named_by: P = None
    n_named_references: Count | None = None
    placebo_share: Share = None
    p_chance_if_independent: P = None
    p_generic_if_independent: P = None
    n_generic: Count | None = None

    def p_named_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p_named` after the given correction over artists."""
        return {"holm": self.p_named_holm, "bh": self.p_named_bh, "by": self.p_named_by}[adjust]


class ClassifiedArtist(AccuracyTests, kw_only=True, frozen=True):
    """Accuracy of naming the artist of one artist's pictures, and its uncertainty.

    Attributes
    ----------
    n : int
        Number of pictures classified.
    top1, top5 : float or None
        Share of the pictures with the artist as the best label, or among the five best.
    mrr : float or None
        Mean reciprocal rank of the artist among the labels.
    confused_with : str
        The label that is most often best in place of the artist; empty if there is none.
    confidence : float or None
        Mean over the pictures of the artist's share in a softmax over all labels, at CLIP's temperature of 1/100. By
        name only.
    """

    n: Count
    top1: Share
    top5: Share
    mrr: Share
    confused_with: str
    confidence: Share = None


class LabelCurve(Result, kw_only=True, frozen=True):
    """Accuracy with fewer candidate artists, averaged over all choices of them; one entry per count.

    Attributes
    ----------
    counts : tuple of int
        Numbers of candidate artists, in ascending order.
    top1 : tuple of float
        Accuracy over pictures.
    macro_top1 : tuple of float
        Mean accuracy over artists.
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
        Interval of the mean over artists.
    p_assignment : float or None
        p-value of the accuracy under random assignment of sets to artists; None with a single artist.
    assumes : str
        Assumption of the p-values whose names end in `if_independent`.
    fewest_nameable : int or None
        Smallest number of artists that p_named can find after correction; None if it can find nobody, or without
        placebo names.
    by_label_count : LabelCurve or None
        Accuracy by number of candidates; None if no picture has two candidate artists.
    """

    macro: AccuracyInterval
    p_assignment: P
    assumes: str
    fewest_nameable: Count | None = None
    by_label_count: LabelCurve | None


class NamedCounts(Result, kw_only=True, frozen=True):
    """Confusion counts: how often each label was the best one for the pictures of each artist.

    Attributes
    ----------
    rows : tuple of str
        Artists named in the prompts.
    counts : tuple of tuple of int
        One row per artist, one column per label.
    """

    rows: tuple[str, ...]
    counts: tuple[tuple[Count, ...], ...]


class ClassificationMethod(Result, kw_only=True, frozen=True):
    """Classification of a collection by one method.

    Attributes
    ----------
    method : str
        Description of the method.
    n_labels : int
        Number of candidates, including generic labels.
    n_generic : int
        Number of generic labels, which come last.
    top1, top5 : float or None
        Share of the pictures with their artist as the best label, or among the five best.
    macro_top1, macro_top5 : float or None
        Means of these shares over artists.
    chance_top1, chance_top5, macro_chance_top1, macro_chance_top5 : float or None
        Expected values of these for guessing.
    mrr, macro_mrr : float or None
        Mean reciprocal rank of the artist, over pictures and over artists.
    generic_share : float or None
        Share of the pictures nearest to a generic label.
    n_unscored : int
        Number of pictures whose artist has nothing to compare with; they count as wrong.
    n_tied : int
        Number of pictures whose best label is tied.
    artists : tuple of ClassifiedArtist
        Artists with pictures, in the order of the index.
    evidence : ClassificationEvidence or None
        None if nothing was tested.
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


class CutTexts(Result, kw_only=True, frozen=True):
    """Texts of labels of which an encoder does not read the end. The names of artists are read.

    Attributes
    ----------
    n : int
        Texts that are cut.
    of : int
        All texts: candidates in each template, and generic labels.
    limit : int
        Tokens that the encoder reads of a text, with the special ones.
    longest : int
        Tokens of the longest text.
    example : str
        The longest text.
    """

    n: Count
    of: Count
    limit: Count
    longest: Count
    example: str

    def sentence(self, encoder: str) -> str:
        """Say how many texts an encoder cuts."""
        verb = "is" if self.n == 1 else "are"
        return (
            f"{self.n} of {self.of} texts of labels {verb} longer than {encoder} reads: {self.limit} tokens of up to "
            f"{self.longest}. The names are read, and what follows after the limit is not."
        )


class Classification(Result, kw_only=True, frozen=True):
    """Result of `classify` for a collection.

    Attributes
    ----------
    collection : str
    kind : str
        imitations or works.
    root_digest : str
        Root digest of the index.
    encoder : str
        Model, weights and precision of the index.
    by : str
        name (texts of the artists' names) or works.
    templates : tuple of str
        Prompt templates whose text embeddings are averaged; empty by works.
    templates_top1 : dict of str to float
        Accuracy over pictures with each template alone, if there are several.
    testing : HowTested or None
        None if nothing was tested.
    placebos : tuple of str
        Placebo names. They are not candidates; their pictures show how often each label is chosen by bias alone.
    generic_labels : tuple of str
    n : int
        Number of pictures classified.
    n_repeated : int
        Number of excluded duplicates of a picture under the same name.
    methods : tuple of ClassificationMethod
        One by name, two by works.
    demonstration : bool
        Whether the encoder is the demonstration encoder of imindex, which is not for evidence.
    names : ReleaseNames or None
        What the manifest of the release says of its names and pictures; None if nothing is known.
    cut_texts : CutTexts or None
        Texts of which the encoder does not read the end; None if there are none, or the encoder does not tell.
    csls_k : int or None
        Number of works over which hub terms average, by works; None if scores are cosines.
    whitened : WhitenedBy or None
        How vectors were whitened; None if they are as stored, as always by name.
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
    demonstration: bool = False
    names: ReleaseNames | None = None
    cut_texts: CutTexts | None = None
    csls_k: Count | None = None
    whitened: WhitenedBy | None = None

    def records(self) -> list[Row]:
        """Return one row per method and artist."""
        return [
            {"method": method.method, **flat(to_dict(artist))}
            for method in self.methods
            for artist in method.artists
        ]


class LabelScore(Result, omit_defaults=True, kw_only=True, frozen=True):
    """How near a picture is to one label.

    Attributes
    ----------
    label : str
        The name of an artist, or a generic label.
    is_artist : bool
    score : float
        By name, the cosine of the picture to the text; by prototype, to the mean direction of the artist's works; by
        vote, the cosine to the nearest of the works that vote.
    share : float or None
        By name, the softmax share among all labels; absent from JSON by works. It is not the probability that the
        picture is by this artist: the shares of a picture by somebody else add up to 1 as well.
    votes : int or None
        By vote, the number of works that vote for the artist; otherwise absent from JSON.
    """

    label: str
    is_artist: bool
    score: float
    share: Share = None
    votes: Count | None = None


class PictureMethod(Result, kw_only=True, frozen=True):
    """The labels of a picture by one method.

    Attributes
    ----------
    method : str
    n_labels : int
        Number of candidates, of which `labels` are the nearest.
    n_itself : int
        Number of works with the bytes of the picture, which are left out; 0 by name.
    tied : bool
        Whether several labels are equally near, and nearer than all others.
    labels : tuple of LabelScore
        Nearest first.
    """

    method: str
    n_labels: Count
    n_itself: Count
    tied: bool
    labels: tuple[LabelScore, ...]


class ClassifiedPicture(Result, kw_only=True, frozen=True):
    """A picture and its labels.

    Attributes
    ----------
    query : str
        The name of the picture.
    methods : tuple of PictureMethod
        By name, by prototype and by vote, as far as they apply.
    """

    query: str
    methods: tuple[PictureMethod, ...]


class PictureClassification(Result, kw_only=True, frozen=True):
    """Result of `classify_pictures`: which artist pictures that need not be in the index look like.

    Attributes
    ----------
    index : str, or tuple of str
        The index file; the files, if several are read as one.
    root_digest : str
        Root digest of the index.
    encoder : str
        Model, weights and precision of the index.
    templates : tuple of str
        Prompt templates whose text embeddings are averaged; empty without a method by name.
    generic_labels : tuple of str
    artists : int
        Number of artists who are candidates.
    demonstration : bool
        Whether the encoder is the demonstration encoder of imindex, which is not for evidence.
    pictures : tuple of ClassifiedPicture
    rejects : dict of str to str
        Pictures that could not be read, with the reason.
    cut_texts : CutTexts or None
        Texts of which the encoder does not read the end; None if there are none, or the encoder does not tell.
    """

    index: str | tuple[str, ...]
    root_digest: str = field(name="root-digest")
    encoder: str
    templates: tuple[str, ...]
    generic_labels: tuple[str, ...]
    artists: Count
    demonstration: bool
    pictures: tuple[ClassifiedPicture, ...]
    rejects: Mapping[str, str]
    cut_texts: CutTexts | None = None

    def records(self) -> list[Row]:
        """Return one row per picture, method and label."""
        return [
            {"query": picture.query, "method": method.method, **to_dict(label)}
            for picture in self.pictures
            for method in picture.methods
            for label in method.labels
        ]
