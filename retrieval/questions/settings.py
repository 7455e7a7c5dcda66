"""The tables `[questions.NAME]` of a plan, one per question. Defaults are stated here only."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from imindex.retrieval.plan_values import (
    Absent,
    Adjust,
    Aliases,
    Controls,
    Exposure,
    Given,
    Pairs,
    PerName,
    Share,
    Sizes,
    Statistic,
    Table,
    Text,
    Texts,
    ThresholdShape,
    VerbalScale,
    Within,
)


class QuestionTable(Table, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the settings of a question. Values that equal their default are no part of a plan's digest."""


class NameAdds(QuestionTable, frozen=True, kw_only=True):
    """What a name adds: from no name to an invented name to the artist's name.

    Attributes
    ----------
    adjust : str
        Correction of the p-values over the artists.
    """

    adjust: Adjust = "bh"


class PromptClass(QuestionTable, frozen=True, kw_only=True):
    """A class of prompts.

    Attributes
    ----------
    name : str
        Such as simple, caption, reworded or in the wild.
    templates : tuple of str
        With `{artist}`, `{surname}`, `{initials}` or `{alias}`, unless `negative` has one of them.
    negative : str
        The negative prompt of these pictures, with a placeholder too. The name is then expected to push pictures away.
    source : str
        Where the prompts come from, for the report.
    typicality : float, optional
        How common such prompts are among those of users, from 0 to 1, for the report.
    """

    name: Given
    templates: Texts
    negative: Text = ""
    source: Text = ""
    typicality: Share | None = None


class PromptClasses(QuestionTable, frozen=True, kw_only=True):
    """Whether the finding depends on how the model is asked.

    Attributes
    ----------
    classes : tuple of PromptClass
        The others are compared with the first.
    per_name : int
        Pictures of each name in each class, split evenly among its templates.
    placebos : int
        Number of placebo names, the first ones of the audit; 0 for all.
    aliases : mapping of str to str
        Other names of artists, for `{alias}`.
    adjust : str
        Correction of the p-values over the artists of a class.
    """

    classes: tuple[PromptClass, ...] = ()
    per_name: PerName = 8
    placebos: Controls = 0
    aliases: Aliases = msgspec.field(default_factory=dict)
    adjust: Adjust = "bh"


class Erasure(QuestionTable, frozen=True, kw_only=True):
    """Whether artists are gone from a release, and the others kept, compared with the base release.

    Attributes
    ----------
    erased : tuple of str
        Tested artists that the release is said to have erased.
    releases : tuple of str
        The releases in question; by default all but the base.
    margin : float
        The AUC beyond 0.5 that counts as nothing: an artist is gone if less is left.
    kept_margin : float
        The loss of AUC that counts as nothing: an artist is kept if less is lost.
    """

    erased: Texts = ()
    releases: Texts = ()
    margin: Share = 0.1
    kept_margin: Share = 0.1


class Attributes(QuestionTable, frozen=True, kw_only=True):
    """Which style attributes carry the match: palette, line, texture, composition.

    Attributes
    ----------
    within : str
        Correction over the attributes of an artist: max or holm.
    probes : bool
        Whether the encoder is also asked by words, where it has a text side.
    """

    within: Within = "max"
    probes: bool = True


class LikelihoodRatio(QuestionTable, frozen=True, kw_only=True):
    """How much more probable a picture's score is if this artist was asked for than if another name was.

    Attributes
    ----------
    questioned : str
        Folder of questioned pictures, NAME/*, with the artist that each is said to imitate; or a manifest.
    pictures : int
        Pictures from one source that are scored together.
    scale : str
        Verbal scale that is shown with the numbers: none, or enfsi.
    """

    questioned: Text = ""
    pictures: PerName = 1
    scale: VerbalScale = "none"


class TrainingCounts(QuestionTable, frozen=True, kw_only=True):
    """Whether imitation depends on how many works of an artist the training data hold.

    Attributes
    ----------
    measure : str
        auc: nearness of the artist's own pictures. score: mean score of the own pictures less that of invented names.
    shape : str
        Of the threshold: step, or hinge.
    """

    measure: Exposure = "auc"
    shape: ThresholdShape = "step"


class Refusals(QuestionTable, frozen=True, kw_only=True):
    """Which names a service refuses, and what the withheld pictures could change.

    Attributes
    ----------
    adjust : str
        Correction of the p-values over the artists.
    """

    adjust: Adjust = "bh"


class Leakage(QuestionTable, frozen=True, kw_only=True):
    """Unprompted leakage: does an artist resurface in pictures whose prompts name nobody?

    Attributes
    ----------
    absent : "background" or tuple of str
        Artists of the background that the releases cannot have learned from, with whom the tested artists are compared.
        The plan states this, and nothing can check it.
    works : int
        Artists with fewer distinct works than this are left out; of all others, as many works are compared as the
        artist with the fewest has.
    prompts : tuple of str
        Prompts without a name, for further pictures.
    per_prompt : int
        Pictures of each of these prompts.
    clean : str
        A release of the plan that cannot show the tested artists either, such as an earlier one. Its pictures test
        whether tested and absent artists are alike.
    adjust : str
        Correction of the p-values over the artists.
    """

    absent: Absent = ()
    works: PerName = 5
    prompts: Texts = ()
    per_prompt: PerName = 50
    clean: Text = ""
    adjust: Adjust = "bh"


class Together(QuestionTable, frozen=True, kw_only=True):
    """Several artists in one prompt: is each of them in the pictures?

    Attributes
    ----------
    pairs : tuple of pairs of str, or "auto"
        Pairs of tested artists; with auto, random pairs that follow from the plan's seed, each artist at most once.
    n : int
        Most pairs with auto.
    templates : tuple of str
        Prompts with `{artist}` and `{other}`.
    per_pair : int
        Pictures of each pair of names in each order, split evenly among the templates.
    both_orders : bool
        Whether each pair is also asked with the names exchanged.
    placebos : int
        Placebo names that take the place of each name in turn.
    placebo_pairs : int
        Pairs of placebo names, which calibrate the thresholds of the sets of artists. Each placebo name is in at most
        one.
    false_inclusion : float
        Largest probability, for each artist, of being said to be in a picture (or set of pictures) of placebo names.
    sizes : tuple of int
        Numbers of pictures that are judged together.
    statistic : str
        The score of an artist in the tests, learned from works. By default not that of the audit: the log odds of `lda`
        rise when the other artist of the pair fades.
    set_statistic : str
        The score of an artist in the sets of artists. By default the log odds, which tell apart artists who are alike.
    adjust : str
        Correction of the p-values over pairs and names.
    """

    pairs: Pairs = "auto"
    n: PerName = 8
    templates: Texts = ("Artwork from {artist} and {other}",)
    per_pair: PerName = 4
    both_orders: bool = True
    placebos: PerName = 39
    placebo_pairs: PerName = 19
    false_inclusion: Share = 0.05
    sizes: Sizes = (1, 8)
    statistic: Statistic = "linear"
    set_statistic: Statistic = "lda"
    adjust: Adjust = "bh"


class QuestionsTable(Table, frozen=True, kw_only=True):
    """The table `[questions]` of a plan: one field per question, None if it is not asked."""

    name_adds: NameAdds | None = None
    prompt_classes: PromptClasses | None = None
    erasure: Erasure | None = None
    attributes: Attributes | None = None
    likelihood_ratio: LikelihoodRatio | None = None
    training_counts: TrainingCounts | None = None
    refusals: Refusals | None = None
    leakage: Leakage | None = None
    together: Together | None = None

    def asked(self) -> Iterator[tuple[str, QuestionTable]]:
        """Yield the key and the settings of each question that is asked, in the order of this class."""
        for key in self.__struct_fields__:
            settings = getattr(self, key)
            if settings is not None:
                yield key, settings

    def digested(self) -> dict[str, object]:
        """Return the part of a plan's values that its digest covers."""
        return {key: msgspec.to_builtins(settings) for key, settings in self.asked()}
