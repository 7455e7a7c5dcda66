"""The result types: what classify, match, query, compare and audit return, and what report.json holds.

Conventions
-----------
- A type is a frozen ``msgspec.Struct`` with keyword-only fields. JSON keys are the field names, except where a field
  says otherwise (``root-digest``, ``from``).
- A number that is not known or does not exist is ``None`` here and ``null`` in JSON. Computations use NaN; every
  constructor turns NaN, infinities and NumPy scalars into plain values, so no result ever holds a NaN.
- Shares and probabilities are fractions from 0 to 1. Rank 1 is the nearest. Cosines are from -1 to 1.
- Paths are text relative to the folder of the index or of the audit. They may hold surrogate escapes (bytes that are
  not UTF-8), which JSON carries as ``\\udcXX``.
- Each field is documented once, in the docstring of its class. `retrieval.results_schema` copies these descriptions
  into report.schema.json.

This module imports nothing of imindex except errors and plain enumerations.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, field

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.findings import Finding

if TYPE_CHECKING:
    import pyarrow

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0)]
Number = float | None
Share = Annotated[float, Meta(ge=0, le=1)] | None
P = (
    Annotated[float, Meta(ge=0, le=1, description="A p-value. Never 0, unless it is too small for a double.")]
    | None
)
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Digest = Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", description="A SHA-256, or empty.")]
Time = Annotated[str, Meta(description="ISO 8601, UTC.")]
Seed = Annotated[int, Meta(description="-1 if unknown.")]
Level = Annotated[float, Meta(gt=0, lt=1)]
Adjust = Literal["holm", "bh", "by"]
Alternative = Literal["two-sided", "less", "greater"]
FigureName = Literal["auc", "accuracy"]
Interval = tuple[Number, Number] | None


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all result types; holds plain values only.

    Examples
    --------
    >>> left_out = LeftOut(artist="Ada Example", why="no works")
    >>> left_out.to_dict()
    {'artist': 'Ada Example', 'why': 'no works'}
    >>> left_out.to_arrow().column_names
    ['artist', 'why']
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            plain = _plain(value)
            if plain is not value:
                msgspec.structs.force_setattr(self, name, plain)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as dicts, lists, texts, numbers and None: what its JSON holds."""
        values: dict[str, Any] = to_dict(self)
        return values

    def records(self) -> list[dict[str, Any]]:
        """Return the main table of the result as flat rows: an artist each, or a neighbour each.

        Keys of nested figures are joined: ``recall@5`` is the recall within the first 5.
        """
        artists = getattr(self, "artists", None)
        rows = artists if isinstance(artists, tuple) and artists else (self,)
        return [_flat(to_dict(row)) for row in rows]

    def to_arrow(self) -> pyarrow.Table:
        """Return `records` as an Arrow table."""
        import pyarrow

        rows = self.records()
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pyarrow.table({name: [_utf8(row.get(name)) for row in rows] for name in names})

    def to_pandas(self) -> Any:
        """Return `records` as a pandas.DataFrame.

        Raises
        ------
        ImindexError
            pandas is not installed.
        """
        return to_frame(self.to_arrow(), "pandas")

    def to_polars(self) -> Any:
        """Return `records` as a polars.DataFrame.

        Raises
        ------
        ImindexError
            polars is not installed.
        """
        return to_frame(self.to_arrow(), "polars")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file, replacing one of that name in a single step.

        Parameters
        ----------
        path : path-like
            ``.json`` writes everything; ``.csv`` and ``.parquet`` write `records`.

        Returns
        -------
        Path

        Raises
        ------
        ImindexError
            Another suffix.
        """
        from imindex.indexer.system.atomic import put_in_place

        file = Path(path)
        if file.suffix not in (".json", ".csv", ".parquet"):
            raise ImindexError(
                f"{file} does not end in .json, .csv or .parquet. Choose one of these formats."
            )
        with put_in_place(file) as temporary:
            if file.suffix == ".json":
                temporary.write_bytes(to_json(self, indent=1))
            elif file.suffix == ".csv":
                temporary.write_text(_csv(self.records()), encoding="utf-8", errors="backslashreplace")
            else:
                import pyarrow.parquet

                pyarrow.parquet.write_table(self.to_arrow(), temporary)
        return file

    def _repr_html_(self) -> str | None:
        """Return HTML for a notebook, or None where nothing draws results."""
        return _renderers[-1](self) if _renderers else None


_renderers: list[Callable[[Result], str | None]] = []


def draw_with(renderer: Callable[[Result], str | None]) -> None:
    """Let `renderer` draw results in notebooks. It returns an HTML fragment, or None for a type it cannot draw."""
    _renderers[:] = [renderer]


def to_frame(table: pyarrow.Table, library: str) -> Any:
    """Convert an Arrow table to a pandas or polars data frame.

    Raises
    ------
    ImindexError
        The library is not installed.
    """
    try:
        if library == "pandas":
            return table.to_pandas()
        return importlib.import_module("polars").from_arrow(table)
    except ImportError as error:
        raise ImindexError(
            f"{library} is not installed. Run `pip install {library}`, or use to_arrow()."
        ) from error


def _utf8(value: Any) -> Any:
    """Text that UTF-8 can hold: bytes of file names that are not UTF-8 become escapes such as ``\\udcff``."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix[:-1]}@{key}" if prefix and key.isdigit() else prefix + key
        if isinstance(item, dict):
            row.update(_flat(item, f"{name}."))
        else:
            row[name] = item
    return row


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; lists are JSON. Spreadsheets take a cell that begins with = + - @ for a formula: texts get a '."""
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return json.dumps(value)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _plain(value: Any) -> Any:
    """Replace NaN and infinities by None, NumPy scalars by Python's; return anything else unchanged."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind in (str, int, bool, type(None)):
        return value
    if kind is tuple:
        items = tuple(_plain(item) for item in value)
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if kind is dict:
        entries = {key: _plain(item) for key, item in value.items()}
        return value if all(entries[key] is value[key] for key in value) else entries
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value


# JSON


def to_dict(result: Any) -> Any:
    """Return a result as dicts, lists, texts, numbers and None, ready for `json.dumps`."""
    return _lists(msgspec.to_builtins(result, str_keys=True))


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_lists(item) for item in value]
    return value


def to_json(result: Any, *, indent: int | None = None) -> bytes:
    """Return a result as JSON in ASCII."""
    return json.dumps(to_dict(result), ensure_ascii=True, indent=indent, allow_nan=False).encode()


def from_dict(type: type[T], value: Any, name: str = "") -> T:
    """Build a result from plain values, strictly.

    Parameters
    ----------
    type : type
        Of the result.
    value : object
        As `to_dict` returns it, or as `json.loads` does.
    name : str
        What messages call the source, such as a file.

    Raises
    ------
    ImindexError
        A key is missing, unknown or has a wrong value; the message names its path.

    Examples
    --------
    >>> from_dict(LeftOut, {"artist": "Ada", "why": 3}, "report.json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    imindex...ImindexError: report.json: why: expected `str`, got `int`. Restore it or compute it again.
    """
    try:
        return msgspec.convert(value, type, str_keys=True)
    except (msgspec.ValidationError, UnicodeError) as error:
        text, _, place = str(error).partition(" - at `")
        where = ": ".join(
            part for part in (name, place.rstrip("`").removeprefix("$").removeprefix(".")) if part
        )
        reason = f"{text[:1].lower()}{text[1:]}"
        raise ImindexError(f"{where or type.__name__}: {reason}. Restore it or compute it again.") from error


def from_json(type: type[T], data: bytes | str, name: str = "") -> T:
    """Decode a result from JSON, strictly; see `from_dict`."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ImindexError(
            f"{name or type.__name__} is not JSON: {error}. Restore it or compute it again."
        ) from error
    return from_dict(type, value, name)


def fields_of(result: msgspec.Struct) -> dict[str, Any]:
    """The fields of a result by name, to build a subtype of it: ``MatchedArtist(**fields_of(tests), n_works=3)``."""
    return {name: getattr(result, name) for name in result.__struct_fields__}


# Settings


class HowTested(Result, kw_only=True, frozen=True):
    """How artists were tested; see `imindex.retrieval.evidence.testing.Testing`.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names, or patterns of them.
    level : float
        Of the whole family of artists, after correction.
    adjust : str
        Correction for testing many artists: holm, bh or by.
    unit : str
        What is drawn at random under the null: artist or work.
    approximate : bool
        Whether findings rest on the studentised p-values.
    n_resamples : int
        Resamples of every interval and Monte Carlo test.
    confidence_level : float
        Of intervals.
    seed : int
        Of the random numbers.
    """

    placebos: tuple[str, ...]
    level: Level
    adjust: Adjust
    unit: str
    approximate: bool
    n_resamples: Count
    confidence_level: Level
    seed: int


# Classification


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

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each method and artist."""
        return [
            {"method": method.method, **_flat(to_dict(artist))}
            for method in self.methods
            for artist in method.artists
        ]


# Matching


class ArtistTests(Result, kw_only=True, frozen=True):
    """The tests of one artist; all but `artist` is None where nothing was tested.

    `name` is the test against placebo names (does the name matter), `rival` the one against other artists (is it this
    artist rather than another).

    Attributes
    ----------
    artist : str
    finding : Finding or None
    auc_low, auc_high : float or None
        Percentile interval of the AUC.
    auc_bca, auc_basic : pair of float, or None
        BCa and basic intervals.
    auc_standard_error : float or None
    p_bootstrap : float or None
        Of an AUC of 0.5.
    n_prompts_or_imitations : int or None
        What was drawn besides works.
    prompts_held_fixed : bool or None
        Whether prompts repeat and are too few to be drawn: the interval is for these prompts.
    p_name, p_rival : float or None
        Of the own set against the references.
    p_name_approximate, p_rival_approximate : float or None
        The same by studentised scores, if these are normal.
    z_name, z_rival : float or None
        The studentised scores, in standard deviations of the references.
    n_name_references, n_rival_references : int or None
        References of the same design.
    n_name_at_least_as_near, n_rival_at_least_as_near : int or None
        Of these, as near as the own set or nearer.
    n_name_left_out, n_rival_left_out : int or None
        References of another design.
    resolution_name, resolution_rival : float or None
        The smallest p that was possible.
    status_name, status_rival : str or None
        ok, or why there is no p.
    set_size : int or None
        Imitations in a set.
    p_work : float or None
        Of the work-level test.
    p : float or None
        What the finding rests on: with placebo names the larger of p_name and p_rival, else p_rival; p_work by works.
    p_holm, p_bh, p_by : float or None
        p after correction over the artists that the encoder can tell.
    p_name_holm, p_name_bh, p_name_by : float or None
        p_name after the same corrections.
    gap_class : str or None
        Validity: robust positive, ambiguous, robust negative, or why there is no class.
    gap_low, gap_high : float or None
        Interval of the gap, a difference of cosines.
    ceiling_auc : float or None
        The AUC of the artist's own works among all works.
    floor_placebo, floor_control : float or None
        Mean rank percentile of placebo names' imitations and of control pictures; 0.5 is chance, 1 the nearest.
    p_differs : float or None
        Of works and imitations having one distribution (MMD).
    """

    artist: str
    finding: Finding | None = None
    auc_low: Share = None
    auc_high: Share = None
    auc_bca: Interval = None
    auc_basic: Interval = None
    auc_standard_error: Number = None
    p_bootstrap: P = None
    n_prompts_or_imitations: Count | None = None
    prompts_held_fixed: bool | None = None
    p_name: P = None
    p_name_approximate: P = None
    z_name: Number = None
    n_name_references: Count | None = None
    n_name_at_least_as_near: Count | None = None
    n_name_left_out: Count | None = None
    resolution_name: P = None
    status_name: str | None = None
    p_rival: P = None
    p_rival_approximate: P = None
    z_rival: Number = None
    n_rival_references: Count | None = None
    n_rival_at_least_as_near: Count | None = None
    n_rival_left_out: Count | None = None
    resolution_rival: P = None
    status_rival: str | None = None
    set_size: Count | None = None
    p_work: P = None
    p: P = None
    p_holm: P = None
    p_bh: P = None
    p_by: P = None
    p_name_holm: P = None
    p_name_bh: P = None
    p_name_by: P = None
    gap_class: str | None = None
    gap_low: Number = None
    gap_high: Number = None
    ceiling_auc: Share = None
    floor_placebo: Share = None
    floor_control: Share = None
    p_differs: P = None

    def p_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p` after a correction over artists."""
        return {"holm": self.p_holm, "bh": self.p_bh, "by": self.p_by}[adjust]

    def p_name_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p_name` after a correction over artists."""
        return {"holm": self.p_name_holm, "bh": self.p_name_bh, "by": self.p_name_by}[adjust]


class RankFigures(Result, kw_only=True, frozen=True):
    """How well works find the own imitations, as means; None without works, own imitations or those of others.

    Attributes
    ----------
    auc : float or None
        Probability that an own imitation is nearer than another name's. Chance is 0.5.
    rank_percentile : float or None
        Mean of (rank - 1) / (M - 1): 0 is the nearest, 1 the furthest. Chance is 0.5.
    reciprocal_rank : float or None
        1 / rank of the nearest own imitation.
    average_precision : float or None
        Mean over own imitations of the share of own ones at least as near.
    recall : dict of int to float
        Share of the own imitations within the first k.
    hit : dict of int to float
        Share of works with any own imitation within the first k.
    """

    auc: Share
    rank_percentile: Share
    reciprocal_rank: Share
    average_precision: Share
    recall: Mapping[int, Share]
    hit: Mapping[int, Share]


class MatchedArtist(ArtistTests, kw_only=True, frozen=True):
    """Where the own imitations of one artist stand in the ranking by each work, and the tests of that.

    Attributes
    ----------
    n_works, n_imitations : int
    status : str
        ok, or why there are no figures.
    auc, rank_percentile, reciprocal_rank, average_precision : float or None
        See RankFigures; means over the artist's works.
    recall, hit : dict of int to float
        See RankFigures.
    gap : float or None
        How much nearer the works are to each other than to those of the nearest other artist, a difference of cosines.
    gap_nearest : str
        That other artist; empty if there is none.
    gap_status : str
        ok, or why there is no gap.
    """

    n_works: Count
    n_imitations: Count
    status: str
    auc: Share
    rank_percentile: Share
    reciprocal_rank: Share
    average_precision: Share
    recall: Mapping[int, Share]
    hit: Mapping[int, Share]
    gap: Number
    gap_nearest: str
    gap_status: str


class OverallTests(Result, kw_only=True, frozen=True):
    """The tests over all artists of a release.

    Attributes
    ----------
    auc, auc_low, auc_high : float or None
        Mean over artists and its percentile interval.
    auc_bca : pair of float, or None
        Its BCa interval.
    p_assignment : float or None
        Of the AUCs over random assignments of sets to artists.
    n_artists : int
        Artists with an AUC.
    n_tested : int
        Artists over whom p is corrected.
    findings : dict of Finding to int
        How many artists have each finding.
    n_name_matters_and_rival_below_level : int
        Of those whose name matters, how many have p_rival at or below the level, uncorrected.
    """

    auc: Share
    auc_low: Share
    auc_high: Share
    auc_bca: Interval
    p_assignment: P
    n_artists: Count
    n_tested: Count
    findings: Mapping[Finding, Count]
    n_name_matters_and_rival_below_level: Count


class MatchEvidence(Result, kw_only=True, frozen=True):
    """How a release was tested, and the tests over all artists.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names.
    question : str
        What the tests ask, in words.
    unit : str
        What is drawn at random under the null: artist or work.
    approximate : bool
        Whether findings rest on the studentised p-values.
    level : float
    adjust : str
        holm, bh or by.
    family : int
        Artists over whom p is corrected.
    references_needed : int
        References with which one artist alone could be called after Holm.
    seed, n_resamples : int
    confidence_level : float
    overall : OverallTests
    """

    placebos: tuple[str, ...]
    question: str
    unit: str
    approximate: bool
    level: Level
    adjust: Adjust
    family: Count
    references_needed: Count
    seed: int
    n_resamples: Count
    confidence_level: Level
    overall: OverallTests


class AucMatrix(Result, kw_only=True, frozen=True):
    """The AUC of each artist's imitations (column) for each artist's works (row).

    Attributes
    ----------
    artists : tuple of str
        Of rows and columns.
    values : tuple of tuple of float or None
    """

    artists: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]


class Matching(Result, kw_only=True, frozen=True):
    """What `match` found in a release.

    Attributes
    ----------
    collection : str
        The release.
    root_digest : str
        Of the index.
    encoder : str
        Model, weights and precision of the index.
    csls_k : int or None
        Neighbours in CSLS; None where imitations are ranked by cosine.
    recall_at : tuple of int
    n_works, n_imitations : int
        Ranked, repetitions left out.
    n_repeated_works, n_repeated_imitations : int
        Repetitions of a picture under one name, which were left out.
    n_artists : int
        Artists with figures.
    macro : RankFigures
        Means over these artists.
    artists : tuple of MatchedArtist
        All with works or imitations, placebo names included.
    evidence : MatchEvidence or None
        None where nothing was tested.
    auc_matrix : AucMatrix or None
        None where it was not asked for.
    """

    collection: str
    root_digest: str = field(name="root-digest")
    encoder: str
    csls_k: int | None
    recall_at: tuple[int, ...]
    n_works: Count
    n_imitations: Count
    n_repeated_works: Count
    n_repeated_imitations: Count
    n_artists: Count
    macro: RankFigures
    artists: tuple[MatchedArtist, ...]
    evidence: MatchEvidence | None
    auc_matrix: AucMatrix | None


# Query


class Approximate(Result, kw_only=True, frozen=True):
    """An approximate search.

    Attributes
    ----------
    kind : str
        Of the approximate index.
    recall : float
        recall@10 measured on pictures of the index.
    recall_queries : int
        How many pictures it was measured on.
    """

    kind: str
    recall: Share
    recall_queries: Count


class QueryNeighbour(Result, kw_only=True, frozen=True):
    """A picture near a query.

    Attributes
    ----------
    rank : int
        1 is the nearest.
    row : int
        In the index.
    cosine : float
    artist : str
        Empty for control pictures.
    collection, path, prompt : str
    """

    rank: Annotated[int, Meta(ge=1)]
    row: Count
    cosine: float
    artist: str
    collection: str
    path: str
    prompt: str


class QueryArtist(Result, kw_only=True, frozen=True):
    """An artist among the neighbours of a query.

    Attributes
    ----------
    artist : str
    votes : int
        How many of the neighbours are the artist's.
    best : float
        The highest cosine of these.
    """

    artist: str
    votes: Count
    best: float


class KindNeighbours(Result, omit_defaults=True, kw_only=True, frozen=True):
    """The neighbours of a query among the pictures of one kind.

    Attributes
    ----------
    approximate : Approximate or None
        How the search was not exact; no key in JSON where it was exact.
    pictures : tuple of QueryNeighbour
        The nearest first.
    artists : tuple of QueryArtist
        Those with most votes first.
    """

    approximate: Approximate | None = None
    pictures: tuple[QueryNeighbour, ...]
    artists: tuple[QueryArtist, ...]


class AttributedArtist(Result, kw_only=True, frozen=True):
    """Whether a picture stands out among the works of one artist.

    Attributes
    ----------
    artist : str
    p : float
        Conformal p-value: small if the picture stands out.
    n_works : int
    smallest_p : float
        The smallest p that was possible.
    excludable : bool
        Whether there are enough works to exclude the artist.
    in_set : bool
        Whether the artist is in the prediction set.
    score : float
        Nearness to the works.
    """

    artist: str
    p: P
    n_works: Count
    smallest_p: P
    excludable: bool
    in_set: bool
    score: Number


class Attribution(Result, kw_only=True, frozen=True):
    """Which artists a picture does not stand out among, by conformal prediction.

    Attributes
    ----------
    confidence_level : float
        With which the set holds the true artist, if it is one of them.
    n_itself : int
        Works with the bytes of the picture, which were left out.
    set : tuple of str
        The prediction set, the best fit first.
    artists : tuple of AttributedArtist
        All with works, the best fit first.
    """

    confidence_level: Level
    n_itself: Count
    set: tuple[str, ...]
    artists: tuple[AttributedArtist, ...]


class QueryAnswer(Result, omit_defaults=True, kw_only=True, frozen=True):
    """What was found for one query.

    Attributes
    ----------
    query : str
        The path of the picture, or the text in quotes.
    kinds : dict of str to KindNeighbours
        By kind of collection.
    attribution : Attribution or None
        Of a picture, where works were searched; no key in JSON otherwise.
    """

    query: str
    kinds: Mapping[str, KindNeighbours]
    attribution: Attribution | None = None


class QueryResult(Result, kw_only=True, frozen=True):
    """What `query` found.

    Attributes
    ----------
    index : str
    k : int
        Neighbours asked for, of each kind.
    queries : tuple of QueryAnswer
    rejects : dict of str to str
        Pictures that could not be read, with the reason.
    """

    index: str
    k: Count
    queries: tuple[QueryAnswer, ...]
    rejects: Mapping[str, str]

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each neighbour of each query."""
        return [
            {"query": answer.query, "kind": kind, **to_dict(picture)}
            for answer in self.queries
            for kind, neighbours in answer.kinds.items()
            for picture in neighbours.pictures
        ]


# Comparison


class ReleaseSide(Result, kw_only=True, frozen=True):
    """A release that is compared.

    Attributes
    ----------
    release : str
    index : str
        The index file.
    root_digest : str
        Of the index; empty if unknown.
    """

    release: str
    index: str
    root_digest: str


class LeftOut(Result, kw_only=True, frozen=True):
    """An artist that was not compared.

    Attributes
    ----------
    artist : str
    why : str
    """

    artist: str
    why: str


class FigureChange(Result, kw_only=True, frozen=True):
    """Mean over artists of a figure under both releases, and its paired change; the artist is the unit.

    Attributes
    ----------
    base, base_low, base_high : float or None
        Mean under the base release, and its interval.
    new, new_low, new_high : float or None
        Mean under the new release, and its interval.
    change, low, high : float or None
        New minus base, and its interval.
    p : float or None
        Of no change.
    n_artists : int
        Artists with the figure under both.
    """

    base: Share
    base_low: Share
    base_high: Share
    new: Share
    new_low: Share
    new_high: Share
    change: Number
    low: Number
    high: Number
    p: P
    n_artists: Count


class FigureChanges(Result, kw_only=True, frozen=True):
    """The changes over all artists.

    Attributes
    ----------
    auc : FigureChange
    accuracy : FigureChange
    """

    auc: FigureChange
    accuracy: FigureChange


class SideCounts(Result, kw_only=True, frozen=True):
    """A count under each release.

    Attributes
    ----------
    base, new : int
    """

    base: Count
    new: Count


class SideFindings(Result, kw_only=True, frozen=True):
    """How many artists have each finding under each release.

    Attributes
    ----------
    base, new : dict of Finding to int
        Findings that no artist has are left out.
    """

    base: Mapping[Finding, Count]
    new: Mapping[Finding, Count]


class FindingChange(Result, kw_only=True, frozen=True):
    """An artist with another finding under the new release.

    Attributes
    ----------
    artist : str
    before : Finding
        Under the base release; `from` in JSON.
    to : Finding
        Under the new one.
    """

    artist: str
    before: Finding = field(name="from")
    to: Finding


class ReleaseFindings(Result, kw_only=True, frozen=True):
    """The findings of one release over all its artists, compared or not.

    Attributes
    ----------
    n : int
        Artists tested.
    significant : int
        Artists with a finding at the level.
    findings : dict of Finding to int
    """

    n: Count
    significant: Count
    findings: Mapping[Finding, Count]


class SideReleaseFindings(Result, kw_only=True, frozen=True):
    """The findings of each release over all its artists.

    Attributes
    ----------
    base, new : ReleaseFindings
    """

    base: ReleaseFindings
    new: ReleaseFindings


class FindingCounts(Result, kw_only=True, frozen=True):
    """How many artists have which finding.

    Attributes
    ----------
    significant : SideCounts
        Of the artists compared, those with a finding at the level.
    findings : SideFindings
        Of the artists compared.
    changed : tuple of FindingChange
        Artists whose finding is another one.
    not_compared : tuple of str
        Artists tested under the new release only.
    all : SideReleaseFindings
        Over all artists of each release.
    """

    significant: SideCounts
    findings: SideFindings
    changed: tuple[FindingChange, ...]
    not_compared: tuple[str, ...]
    all: SideReleaseFindings


class Shifts(Result, kw_only=True, frozen=True):
    """The artists whose AUC changed, at the level after correction.

    Attributes
    ----------
    risen, fallen : tuple of str
    """

    risen: tuple[str, ...]
    fallen: tuple[str, ...]


class ArtistFigure(NamedTuple):
    """A figure of one artist under both releases, and its change: the fields of `ArtistChange` of one figure."""

    base: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    p_bh: float | None
    p_by: float | None

    def p_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p` after a correction over artists."""
        return {"holm": self.p_holm, "bh": self.p_bh, "by": self.p_by}[adjust]


class ArtistChange(Result, kw_only=True, frozen=True):
    """One artist under both releases.

    Attributes
    ----------
    artist : str
    n_works, n_base, n_new : int or None
        Works, and imitations of each release; None where only reports are compared.
    auc_shared_change : float or None
        New minus base of the mean score among the same other imitations; p_auc is of it.
    auc_base, auc_new, auc_change : float or None
        AUC among each release's own other imitations, and new minus base.
    auc_low, auc_high : float or None
        Interval of the change.
    p_auc, p_auc_holm, p_auc_bh, p_auc_by : float or None
        Of no change, raw and corrected over artists.
    accuracy_base, accuracy_new, accuracy_change : float or None
        Share named as the artist, and new minus base.
    accuracy_low, accuracy_high : float or None
        Interval of the change.
    p_accuracy, p_accuracy_holm, p_accuracy_bh, p_accuracy_by : float or None
        Of no change, raw and corrected over artists.
    finding_base, finding_new : Finding
    design : str
        What was exchanged between the releases: pairs, pictures within prompts, prompts or pictures.
    prompts_held_fixed : bool
        Whether prompts repeat and are too few to be drawn.
    approximate : bool
        Whether prompts with different numbers of pictures were exchanged.
    """

    artist: str
    n_works: Count | None = None
    n_base: Count | None = None
    n_new: Count | None = None
    auc_shared_change: Number = None
    auc_base: Share
    auc_new: Share
    auc_change: Number
    auc_low: Number = None
    auc_high: Number = None
    p_auc: P = None
    accuracy_base: Share
    accuracy_new: Share
    accuracy_change: Number
    accuracy_low: Number = None
    accuracy_high: Number = None
    p_accuracy: P = None
    finding_base: Finding
    finding_new: Finding
    design: str
    prompts_held_fixed: bool = False
    approximate: bool = False
    p_auc_holm: P = None
    p_auc_bh: P = None
    p_auc_by: P = None
    p_accuracy_holm: P = None
    p_accuracy_bh: P = None
    p_accuracy_by: P = None

    @property
    def auc(self) -> ArtistFigure:
        """The AUC under both releases."""
        return ArtistFigure(
            self.auc_base, self.auc_new, self.auc_change, self.auc_low, self.auc_high,
            self.p_auc, self.p_auc_holm, self.p_auc_bh, self.p_auc_by,
        )  # fmt: skip

    @property
    def accuracy(self) -> ArtistFigure:
        """The accuracy under both releases."""
        return ArtistFigure(
            self.accuracy_base, self.accuracy_new, self.accuracy_change, self.accuracy_low, self.accuracy_high,
            self.p_accuracy, self.p_accuracy_holm, self.p_accuracy_bh, self.p_accuracy_by,
        )  # fmt: skip

    def figure(self, name: FigureName) -> ArtistFigure:
        """Return `auc` or `accuracy` by its name."""
        return self.auc if name == "auc" else self.accuracy


class Comparison(Result, kw_only=True, frozen=True):
    """What changed between two releases.

    Attributes
    ----------
    base, new : ReleaseSide
    encoder : str
    left_out : tuple of LeftOut
        Artists that were not compared.
    n_artists : int
        Artists that were.
    figures : FigureChanges
    counts : FindingCounts
    shifts : Shifts
    artists : tuple of ArtistChange
    testing : HowTested
    alternative : str
        Of p-values; greater is that the new release imitates more.
    notes : tuple of str
        What the figures rest on, in sentences.
    """

    base: ReleaseSide
    new: ReleaseSide
    encoder: str
    left_out: tuple[LeftOut, ...]
    n_artists: Count
    figures: FigureChanges
    counts: FindingCounts
    shifts: Shifts
    artists: tuple[ArtistChange, ...]
    testing: HowTested
    alternative: Alternative
    notes: tuple[str, ...]


class Verdict(Result, kw_only=True, frozen=True):
    """A condition of a gate, checked. A condition that is true fails the release, and so does one that is not known.

    Attributes
    ----------
    condition : str
        As it was written.
    value, limit : float or None
    failed : bool
    reason : str
        One sentence.
    release, encoder : str
        What it was checked for.
    """

    condition: str
    value: Number
    limit: Number
    failed: bool
    reason: str
    release: str = ""
    encoder: str = ""


class GatedComparison(Comparison, kw_only=True, frozen=True):
    """A comparison and the conditions it was checked by; what `compare --json` prints.

    Attributes
    ----------
    gate : tuple of Verdict
    """

    gate: tuple[Verdict, ...]


# Audit


class Neighbours(Result, kw_only=True, frozen=True):
    """A work beside its nearest own imitation.

    Attributes
    ----------
    work : str
        Path, relative to the audit's folder.
    imitation : str
        Path, likewise.
    prompt : str or None
    seed : int or None
    rank : int
        Of the imitation among all of the release, by that work.
    cosine : float
    """

    work: str
    imitation: str
    prompt: str | None
    seed: Seed | None
    rank: Annotated[int, Meta(ge=1)]
    cosine: float


class Gallery(Result, kw_only=True, frozen=True):
    """What a report shows of an artist.

    Attributes
    ----------
    rank_histogram : tuple of int
        Pairs of a work and an own imitation by rank percentile, in equal bins, the nearest first.
    neighbours : tuple of Neighbours
        From the work with the best rank to the one with the worst.
    """

    rank_histogram: tuple[Count, ...]
    neighbours: tuple[Neighbours, ...]


class CopyPair(Result, kw_only=True, frozen=True):
    """An imitation and a work at or above the threshold.

    Attributes
    ----------
    artist : str
        Whose name was asked for.
    imitation : str
        Path.
    prompt : str or None
    seed : int or None
    work : str
        Path.
    work_artist : str
    cosine : float
    composition : float or None
        Correlation of the small pictures' pixels, mirrored or not; None if a picture cannot be read.
    series : float or None
        The highest correlation of the work with another work of its artist.
    same_bytes : bool or None
        Whether both are the same file.
    copy : bool
        Whether the pair is called a near-copy.
    """

    artist: str
    imitation: str
    prompt: str | None
    seed: Seed | None
    work: str
    work_artist: str
    cosine: float
    composition: Number = None
    series: Number = None
    same_bytes: bool | None = None
    copy: bool = True


class Copies(Result, kw_only=True, frozen=True):
    """Pairs of an imitation and a work at or above the threshold. Style and copying are different findings.

    Attributes
    ----------
    threshold : float
        Cosine from which a pair is looked at.
    composition_threshold : float or None
        Correlation from which it may be a near-copy.
    n_candidates : int
        Pairs at or above the threshold.
    n_looked_at : int
        Pairs whose pixels were compared.
    pairs : tuple of CopyPair
        Every near-copy and the nearest others, the nearest first.
    """

    threshold: float
    composition_threshold: Number
    n_candidates: Count
    n_looked_at: Count
    pairs: tuple[CopyPair, ...]

    @property
    def n_copies(self) -> int:
        """How many pairs are called near-copies."""
        return sum(pair.copy for pair in self.pairs)


class AuditResult(Result, kw_only=True, frozen=True):
    """All that an audit found of one release by one encoder; stored for the next run.

    Attributes
    ----------
    release, encoder : str
        Names in the plan.
    classification : Classification
        By name.
    by_works : Classification or None
        By works.
    matching : Matching
    rank_histogram : dict of str to tuple of int
        By artist; see Gallery.
    neighbours : dict of str to tuple of Neighbours
        By artist; see Gallery.
    copies : Copies
    """

    release: str
    encoder: str
    classification: Classification
    by_works: Classification | None
    matching: Matching
    rank_histogram: Mapping[str, tuple[Count, ...]]
    neighbours: Mapping[str, tuple[Neighbours, ...]]
    copies: Copies


class PlannedTests(Result, kw_only=True, frozen=True):
    """How the plan says to test.

    Attributes
    ----------
    level : float
        Of the whole family of artists, after correction.
    adjust : str
        holm, bh or by.
    n_resamples : int
    confidence_level : float
        Of intervals.
    seed : int
    """

    level: Level
    adjust: Adjust
    n_resamples: Count
    confidence_level: Level
    seed: int


class Amendment(Result, kw_only=True, frozen=True):
    """A change of the plan, or of the pictures that were there before, after it was registered.

    Attributes
    ----------
    when : str
    why : str
        The reason given.
    before : str
        Digest of the plan before; `from` in JSON.
    to : str
        Digest of the plan after.
    inputs : tuple of str
        Which pictures changed.
    """

    when: Time
    why: str
    before: str = field(name="from")
    to: str
    inputs: tuple[str, ...] = ()


class PlanRecord(Result, kw_only=True, frozen=True):
    """The plan of an audit, and how it was registered.

    Attributes
    ----------
    digest : str
        Of the plan, stored before the first picture was made.
    text : str
        The plan itself, TOML.
    registered : str
    first_digest : str
        Of the plan as it was first registered; empty in reports that do not say.
    registered_late : bool
        Whether pictures or results were there before the register was.
    inputs : dict of str to str
        Digests of the pictures that were there before.
    amendments : tuple of Amendment
    artists : tuple of str
        Those tested.
    background : tuple of str
        Artists with works to be told from, not tested.
    templates : tuple of str
        Of the prompts; empty where all pictures were made elsewhere.
    label_templates : tuple of str
        By which artists are named in classification.
    per_artist : int or None
        Pictures of every name, spread evenly over the templates; null where all pictures were made elsewhere.
    tests : PlannedTests
    seed : int
    labels : tuple of str
        Generic labels, candidates beside the artists' names.
    copy_threshold : float
        Cosine from which a pair is looked at as a near-copy.
    """

    digest: Sha256
    text: str
    registered: Time
    first_digest: Digest = ""
    registered_late: bool = False
    inputs: Mapping[str, str] = {}
    amendments: tuple[Amendment, ...]
    artists: tuple[str, ...]
    background: tuple[str, ...]
    templates: tuple[str, ...]
    label_templates: tuple[str, ...] = ()
    per_artist: Count | None
    tests: PlannedTests
    seed: int
    labels: tuple[str, ...]
    copy_threshold: float


class EncoderRecord(Result, kw_only=True, frozen=True):
    """An encoder of an audit, and the index it made.

    Attributes
    ----------
    name : str
    model : str
    precision : str
    weights_sha256 : str
    root_digest : str
        Of the index that the results were computed from.
    index : str
        The index file, relative to the audit's folder.
    """

    name: str
    model: str
    precision: str
    weights_sha256: Digest
    root_digest: Sha256
    index: str


class BlockedPicture(Result, kw_only=True, frozen=True):
    """A picture that a safety filter took away, or that came out in one colour.

    Attributes
    ----------
    path : str
    prompt : str
    reason : str
    """

    path: str
    prompt: str
    reason: str


class ReleaseRecord(Result, kw_only=True, frozen=True):
    """A release of an audit, and how many pictures it has.

    Attributes
    ----------
    name : str
    source : str
        generated by the audit, or pictures made elsewhere.
    model : str
        Of pictures made elsewhere, where they are.
    revision : str
    digest : str
        Of the pictures.
    settings : dict
        What the model was asked with.
    text_encoders : tuple of str
        Of the generator; empty if unknown.
    n_imitations : int
        Of all names, placebo names included.
    n_placebo_names, n_placebo_pictures, n_controls : int
    blocked : tuple of BlockedPicture
    """

    name: str
    source: Literal["generated", "pictures"]
    model: str
    revision: str
    digest: str
    settings: Mapping[str, Any]
    text_encoders: tuple[str, ...]
    n_imitations: Count
    n_placebo_names: Count
    n_placebo_pictures: Count
    n_controls: Count
    blocked: tuple[BlockedPicture, ...]


class RejectedPicture(Result, kw_only=True, frozen=True):
    """A picture that could not be read and is in no figure.

    Attributes
    ----------
    path : str
    reason : str
    """

    path: str
    reason: str


class Provenance(Result, omit_defaults=True, kw_only=True, frozen=True):
    """When, how and with what an audit ran. Not part of the report's digest.

    Attributes
    ----------
    command : str
    program : str
        Name and version.
    started, finished : str
    versions : dict of str to str
        By package.
    seconds : dict of str to float
        By stage.
    machine : str
    """

    command: str
    program: str = ""
    started: Time
    finished: Time
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    machine: str = ""


class AuditFindings(Result, kw_only=True, frozen=True):
    """All that an audit hands to its report, except provenance.

    Attributes
    ----------
    title : str
    plan : PlanRecord
    encoders : tuple of EncoderRecord
        The first one answers.
    releases : tuple of ReleaseRecord
    results : tuple of AuditResult
        One for each encoder and release.
    comparisons : tuple of Comparison
    gate : tuple of Verdict
    rejects : tuple of RejectedPicture
    """

    title: str
    plan: PlanRecord
    encoders: tuple[EncoderRecord, ...]
    releases: tuple[ReleaseRecord, ...]
    results: tuple[AuditResult, ...]
    comparisons: tuple[Comparison, ...]
    gate: tuple[Verdict, ...]
    rejects: tuple[RejectedPicture, ...]


class RegisterEntry(Result, kw_only=True, frozen=True):
    """A line of an audit's register.

    Attributes
    ----------
    event : str
        registered, amended or registered late.
    when : str
    plan : str
        Digest of the plan.
    inputs : dict of str to str
        Digests of the pictures that were there before.
    why : str
        The reason of an amendment; else empty.
    text : str
        The plan itself, TOML.
    versions : dict of str to str
        By package.
    previous : str
        SHA-256 of the line before; empty in the first.
    digest : str
        SHA-256 of the canonical JSON of all other keys.
    """

    event: str
    when: Time
    plan: Sha256
    inputs: Mapping[str, str]
    why: str
    text: str
    versions: Mapping[str, str]
    previous: Digest
    digest: Digest = ""


class ForecastStage(Result, kw_only=True, frozen=True):
    """A stage of an audit that has not run.

    Attributes
    ----------
    what : str
    total, there, to_do : int
        Pictures in all, there already, and to be made or encoded.
    seconds : float or None
        None where it was not measured.
    """

    what: str
    total: Count
    there: Count
    to_do: Count
    seconds: Number


class Forecast(Result, kw_only=True, frozen=True):
    """What an audit would make, and how long it would take; what `audit --dry-run --json` prints.

    Attributes
    ----------
    title, folder : str
    digest : str
        Of the plan.
    stages : tuple of ForecastStage
    notes : tuple of str
    """

    title: str
    folder: str
    digest: Sha256
    stages: tuple[ForecastStage, ...]
    notes: tuple[str, ...]


# Power


class SetVariances(Result, kw_only=True, frozen=True):
    """Standard deviations of the parts of a rank percentile; see `imindex.stats.power.Variances`.

    Attributes
    ----------
    between_sets : float
        Between names.
    within_set : float
        Between the imitations of one name.
    work_by_set : float
        Between the works of an artist, in how near they are to one name's imitations.
    residual : float
        What is left.
    """

    between_sets: float
    within_set: float
    work_by_set: float
    residual: float


class DesignPower(Result, kw_only=True, frozen=True):
    """The power of one design of an audit.

    Attributes
    ----------
    n_works, n_imitations : int
        For each artist, and of each name.
    n_placebos : int
        Placebo names.
    pictures : int
        Pictures to make, for all names.
    power : float
        Share of imitated artists who are found.
    standard_error : float
        Monte Carlo standard error of the power.
    resolution : float
        The smallest p that is possible.
    """

    n_works: Count
    n_imitations: Count
    n_placebos: Count
    pictures: Count
    power: Share
    standard_error: Number
    resolution: P


class PowerPlan(Result, kw_only=True, frozen=True):
    """How many works, imitations and placebo names an audit needs.

    Attributes
    ----------
    effect : float
        How much nearer own imitations are than placebos, as a difference of rank percentiles.
    variances : SetVariances
    pilot_artists : int
        Artists of the pilot; 0 if the variances were stated.
    artists : int
        Tested together.
    level : float
    correction : str
        none, holm or bh.
    target : float
        Power to reach.
    n_resamples : int
        Simulated audits.
    seed : int
    references_needed : int
        Placebo names with which one artist alone could be called.
    designs : tuple of DesignPower
        The one with fewest pictures first.
    smallest : DesignPower or None
        The first that reaches the target; None if none does.
    """

    effect: float
    variances: SetVariances
    pilot_artists: Count
    artists: Count
    level: Level
    correction: Literal["none", "holm", "bh"]
    target: Level
    n_resamples: Count
    seed: int
    references_needed: Count
    designs: tuple[DesignPower, ...]
    smallest: DesignPower | None

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each design."""
        return [to_dict(design) for design in self.designs]


# Report


class Summary(Result, kw_only=True, frozen=True):
    """Over the artists of one release by one encoder; every mean is over artists, whatever their numbers of pictures.

    Attributes
    ----------
    n_artists : int
    n_tested : int or None
        Artists over whom p is adjusted.
    n_works : int
    n_ranked : int
        Imitations that every work ranks, those of placebo names included.
    n_repeated : int
        Repetitions of a picture under one name, left out.
    n_classified : int
    n_labels : int
        Candidates, generic labels included.
    n_placebo_names : int
    findings : dict of Finding to int
    accuracy, accuracy_low, accuracy_high : float or None
        Mean over artists of the share of imitations named as the artist, by name; and its interval.
    accuracy_chance : float or None
        The same for guessing.
    accuracy_top5, accuracy_top5_chance : float or None
        The same among the five best labels.
    accuracy_by_works : float or None
        The same by prototypes of works instead of names.
    generic_share : float or None
        Share of the imitations that are nearest to a generic label.
    p_accuracy : float or None
        Of the accuracy over random assignments of sets to artists.
    auc, auc_low, auc_high : float or None
        Mean over artists and its interval; 0.5 without imitation.
    p_auc : float or None
        Of the AUC over random assignments of sets to artists.
    templates_top1 : dict of str to float
        Accuracy by each prompt template alone, where there are several.
    level : float or None
    adjust : str or None
    confidence_level : float or None
    family : int or None
        Artists over whom p is corrected.
    references_needed : int or None
        References with which one artist alone could be called after Holm.
    n_copies : int
        Near-copies.
    """

    n_artists: Count
    n_tested: Count | None
    n_works: Count
    n_ranked: Count
    n_repeated: Count = 0
    n_classified: Count
    n_labels: Count
    n_placebo_names: Count
    findings: Mapping[Finding, Count]
    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    accuracy_chance: Share
    accuracy_top5: Share
    accuracy_top5_chance: Share
    accuracy_by_works: Share
    generic_share: Share
    p_accuracy: P
    auc: Share
    auc_low: Share
    auc_high: Share
    p_auc: P
    templates_top1: Mapping[str, Share]
    level: Share
    adjust: Adjust | None
    confidence_level: Share
    family: Count | None
    references_needed: Count | None
    n_copies: Count


class ReportArtist(Result, kw_only=True, frozen=True):
    """One artist of the plan, under one release by one encoder.

    Attributes
    ----------
    artist : str
    finding : Finding
    status : str
        "ok", or why there are no figures.
    n_works, n_imitations : int
    top1, top1_low, top1_high : float or None
        Accuracy: share of the imitations named as the artist; and its interval.
    top5 : float or None
        Share with the artist among the five best labels.
    p_chance : float or None
        Of the accuracy against guessing; takes pictures for independent.
    p_generic : float or None
        Of the artist's name against the generic labels.
    confused_with : str or None
        The label named most often in place of the artist; empty if none was.
    p_chance_adjusted : float or None
        p_chance after correction over the artists.
    top1_by_works : float or None
        Accuracy by prototypes of works instead of names.
    auc, auc_low, auc_high : float or None
        Mean over works of the probability that an own imitation is nearer than another name's; and its interval.
    p_name : float or None
        Does the name matter: against placebo names.
    p_rival : float or None
        Is it this artist rather than another: against the other artists.
    p : float or None
        What the finding rests on: with placebo names the larger of p_name and p_rival, else p_rival.
    n_name_references, n_rival_references : int or None
        References of the same design.
    resolution_name, resolution_rival : float or None
        The smallest p that was possible.
    gap, gap_low, gap_high : float or None
        How much nearer the artist's works are to each other than to those of the nearest other artist; its interval.
    gap_class : str or None
        Validity: "robust positive", "ambiguous", "robust negative", or why there is no class.
    ceiling_auc : float or None
        The AUC of the artist's own works among all works.
    floor_placebo : float or None
        Where pictures for placebo names stand.
    floor_control : float or None
        Where control pictures stand.
    p_differs : float or None
        Of works and imitations having one distribution (MMD).
    prompts_held_fixed : bool or None
        Whether intervals are for these prompts only.
    p_name_adjusted : float or None
        p_name after correction over the artists.
    p_adjusted : float or None
        p after correction over the artists; null where the encoder cannot tell.
    copies : int
        Near-copies among the imitations in this artist's name.
    rank_histogram : tuple of int, or None
        Pairs of a work and an own imitation by rank percentile, in equal bins, the nearest first.
    neighbours : tuple of Neighbours
        Works beside their nearest own imitation, from the work with the best rank to the one with the worst.
    """

    artist: str
    finding: Finding
    status: str
    n_works: Count
    n_imitations: Count
    top1: Share
    top1_low: Share
    top1_high: Share
    top5: Share
    p_chance: P
    p_generic: P
    confused_with: str | None
    p_chance_adjusted: P
    top1_by_works: Share
    auc: Share
    auc_low: Share
    auc_high: Share
    p_name: P
    p_rival: P
    p: P
    n_name_references: Count | None
    n_rival_references: Count | None
    resolution_name: P
    resolution_rival: P
    gap: Number
    gap_low: Number
    gap_high: Number
    gap_class: str | None
    ceiling_auc: Share
    floor_placebo: Share
    floor_control: Share
    p_differs: P
    prompts_held_fixed: bool | None
    p_name_adjusted: P
    p_adjusted: P
    copies: Count
    rank_histogram: tuple[Count, ...] | None
    neighbours: tuple[Neighbours, ...]


class Confusion(Result, kw_only=True, frozen=True):
    """Who was named for whose imitations.

    Attributes
    ----------
    rows : tuple of str
        Artists asked for.
    columns : tuple of str
        Labels named: those of the rows in their order, others that were named, generic ones.
    n_generic : int
        How many of the last columns are generic.
    counts : tuple of tuple of int
        A row for each artist, a column for each label.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    n_generic: Count
    counts: tuple[tuple[Count, ...], ...]


class ReportResult(Result, kw_only=True, frozen=True):
    """One release by one encoder.

    Attributes
    ----------
    release, encoder : str
        Names in the plan.
    summary : Summary
    artists : tuple of ReportArtist
        One for each artist of the plan, in its order.
    confusion : Confusion
    label_curve : LabelCurve or None
        What accuracy fewer candidate artists would have given.
    copies : Copies
    """

    release: str
    encoder: str
    summary: Summary
    artists: tuple[ReportArtist, ...]
    confusion: Confusion
    label_curve: LabelCurve | None
    copies: Copies


class AgreementArtist(Result, kw_only=True, frozen=True):
    """The findings of all encoders on one artist.

    Attributes
    ----------
    artist : str
    findings : tuple of Finding
        In the order of the encoders.
    agree : bool or None
        null where an encoder could not judge.
    """

    artist: str
    findings: tuple[Finding, ...]
    agree: bool | None


class Agreement(Result, kw_only=True, frozen=True):
    """How far the encoders agree on one release.

    Attributes
    ----------
    release : str
    encoders : tuple of str
        Two or more.
    n_judged : int
        Artists whom every encoder could judge.
    n_agree : int
        Of these, with one finding by all.
    share : float or None
        n_agree / n_judged.
    artists : tuple of AgreementArtist
    """

    release: str
    encoders: Annotated[tuple[str, ...], Meta(min_length=2)]
    n_judged: Count
    n_agree: Count
    share: Share
    artists: tuple[AgreementArtist, ...]


class Limit(Result, kw_only=True, frozen=True):
    """Something that limits the findings.

    Attributes
    ----------
    title : str
    text : str
        Sentences that a reader can act on.
    """

    title: str
    text: str


class Report(Result, kw_only=True, frozen=True):
    """The content of report.json, version 1.0: what an audit asked, found and rests on. What is not known is null.

    Attributes
    ----------
    format : str
    version : str
        A reader of 1.0 can read every 1.x: keys are added, never taken away.
    digest : str
        SHA-256 of the canonical JSON of all but digest, provenance and the times of the plan: two runs of one plan on
        the same pictures have the same.
    title : str
    answer : tuple of str
        Two sentences a release, in the order of releases.
    plan : PlanRecord
    encoders : tuple of EncoderRecord
        The first one answers; the others are for agreement.
    releases : tuple of ReleaseRecord
    results : tuple of ReportResult
        One for each release and encoder.
    agreement : tuple of Agreement, or None
        How far encoders agree, release by release; null with one encoder.
    comparisons : tuple of Comparison
        What changed from the base release to each other one, by each encoder.
    gate : tuple of Verdict
        The conditions of the plan: true fails the release, and so does one that cannot be checked.
    rejects : tuple of RejectedPicture
        Pictures that could not be read and are in no figure.
    provenance : Provenance
    limits : tuple of Limit
        What limits the findings, in sentences.
    """

    format: Literal["imindex-report"]
    version: Annotated[str, Meta(pattern="^1\\.[0-9]+$")]
    digest: Digest
    title: str
    answer: tuple[str, ...]
    plan: PlanRecord
    encoders: tuple[EncoderRecord, ...]
    releases: tuple[ReleaseRecord, ...]
    results: tuple[ReportResult, ...]
    agreement: tuple[Agreement, ...] | None
    comparisons: tuple[Comparison, ...]
    gate: tuple[Verdict, ...]
    rejects: tuple[RejectedPicture, ...]
    provenance: Provenance
    limits: tuple[Limit, ...]
