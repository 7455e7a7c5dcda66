"""The tables of a plan as types, and a decoder whose errors name the key, its value and the remedy.

The description of each type is the remedy in the message.
"""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from imindex.indexer.core import bounds
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.retrieval.evidence.classify_release import GENERIC_LABELS
from imindex.retrieval.evidence.copy_rule import RATE
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.plan_values import (
    CONTROL,
    Adjust,
    Color,
    Controls,
    Csls,
    DType,
    Given,
    Offload,
    Origins,
    PerName,
    Placebos,
    Resamples,
    Rivals,
    Scale,
    Seed,
    Share,
    Statistic,
    Steps,
    Table,
    Text,
    Texts,
    TrainingImages,
)
from imindex.retrieval.questions.settings import QuestionsTable


class Prompts(Table, frozen=True, kw_only=True):
    """Prompts of the releases that generate pictures.

    Attributes
    ----------
    templates : tuple of str
    per_artist : int
        Pictures per name.
    placebos : int, "auto" or "auto by origin"
        Number of invented names; auto: as many as the level and the correction require (`needed_placebos`); by origin:
        as many for each origin of the artists.
    placebo_seed : str
        from:FILE, a secret seed of these names; by default they follow from the plan's seed.
    nameless : int
        Number of control pictures, from the templates without the name.
    equal_seeds : bool
        Whether the pictures of all names, and those without a name, have the same seeds.
    generic : tuple of str
        Prompts without any name.
    per_generic : int
        Pictures per generic prompt.
    """

    templates: Texts = (DEFAULT_TEMPLATE,)
    per_artist: PerName = 20
    placebos: Placebos = "auto"
    placebo_seed: Text = ""
    nameless: Controls = 20
    equal_seeds: bool = False
    generic: Texts = ()
    per_generic: PerName = 20


class Tests(Table, frozen=True, kw_only=True):
    """Settings of the tests; see `imindex.retrieval.evidence.testing.Testing`.

    Attributes
    ----------
    level, adjust, statistic, n_resamples, confidence_level
    labels : tuple of str
        Generic labels that classification offers in addition to the artists.
    templates : tuple of str
        Templates of the artists' labels in classification; by default those of the prompts.
    copies : float
        Accepted because earlier plans have it, and without effect: a cosine does not distinguish copies from style.
    copies_rate : float
        Probability that an audit without copies has a candidate for a copy.
    as_paper : bool
        Whether the report also has the tests of Casper et al. 2023, with what they assume.
    csls : int
        Correct ranks and the classification by works for hubs, with CSLS over this many neighbours; 0: do not.
    whiten : bool
        Whether to whiten all vectors by what is learnt on works.
    """

    level: Share = Testing.level
    adjust: Adjust = Testing.adjust
    statistic: Statistic = Testing.statistic
    n_resamples: Resamples = Testing.n_resamples
    confidence_level: Share = Testing.confidence_level
    labels: Texts = GENERIC_LABELS
    templates: Texts = ()
    copies: Share = 0.85
    copies_rate: Share = RATE
    as_paper: bool = False
    csls: Csls = 0
    whiten: bool = False


class ArtistsTable(Table, frozen=True, kw_only=True):
    """The artists to test: names, or a file of names; their origins; names that the releases cannot know; and how many
    works of each artist the training data hold."""

    tested: Texts = ()
    file: Text = ""
    origins: Origins = msgspec.field(default_factory=dict)
    unknown: Texts = ()
    training_images: TrainingImages = msgspec.field(default_factory=dict)


class WorksTable(Table, frozen=True, kw_only=True):
    """Locations of the works and of control pictures."""

    tested: Text = "works"
    background: Text = ""
    control: Text = ""


class ReleaseTable(Table, frozen=True, kw_only=True):
    """A release: a model with its settings, a model of an API, or pictures, perhaps with a log of requests."""

    name: Given
    model: Text = ""
    pictures: Text = ""
    requests: Text = ""
    placebos: Texts = ()
    api: Text = ""
    key_env: Text = ""
    send_seeds: bool = False
    response_format: Text = ""
    refusal_codes: Texts = ()
    revision: Text = ""
    lora: Text = ""
    lora_scale: Scale = 1.0
    scheduler: Text = ""
    steps: Steps = 0
    guidance: Scale | None = None
    size: Text = ""
    dtype: DType = "auto"
    negative_prompt: Text = ""
    offload: Offload = "none"


class EncoderTable(Table, frozen=True, kw_only=True):
    """An encoder, as `imindex build` takes it.

    Attributes
    ----------
    color : {"auto", "srgb", "as-encoded"}
        auto is the setting of an existing index, or else `srgb`.
    preprocess_from : str
        Published weights, `TAG` or `MODEL:TAG`, with the preprocessing and activation of weights that do not state it.
    chosen_by, chosen_sha256, chosen_on
        The file of `imindex encoders compare` by which this encoder was chosen, its SHA-256, and when it was made.
    """

    model: Given
    name: Given | None = None
    pretrained: Text = ""
    precision: DType = "auto"
    color: Color = "auto"
    preprocess_from: Text = ""
    chosen_by: Text = ""
    chosen_sha256: Text = ""
    chosen_on: Text = ""


class CompareTable(Table, frozen=True, kw_only=True):
    """The release with which the others are compared.

    Attributes
    ----------
    base : str
    margin : float, optional
        The largest change of the mean AUC, beyond that of placebo names, that does not matter.
    """

    base: Text = ""
    margin: Share | None = None


class GateTable(Table, frozen=True, kw_only=True):
    """Conditions under which a release fails."""

    fail_if: Texts = ()


class CaseTable(Table, frozen=True, kw_only=True):
    """The case that the audit belongs to, for the report: its number, and who examines it."""

    number: Text = ""
    examiner: Text = ""


class PlanFile(Table, frozen=True, kw_only=True):
    """A whole plan file."""

    title: Text | None = None
    seed: Seed = 0
    rivals: Rivals = "none"
    artists: ArtistsTable = ArtistsTable()
    works: WorksTable = WorksTable()
    releases: tuple[ReleaseTable, ...] = ()
    prompts: Prompts = Prompts()
    encoders: tuple[EncoderTable, ...] = ()
    tests: Tests = Tests()
    compare: CompareTable = CompareTable()
    gate: GateTable = GateTable()
    case: CaseTable = CaseTable()
    questions: QuestionsTable = QuestionsTable()


def decode(path: Path, content: Mapping[str, Any]) -> PlanFile:
    """Decode a parsed plan.

    Parameters
    ----------
    path : Path
        The plan's path, for messages.
    content : mapping
        The parsed TOML.

    Raises
    ------
    ImindexError
        A key is unknown, missing or has an invalid value; the message names the key, the value and the remedy.
    """
    try:
        return msgspec.convert(content, PlanFile)
    except msgspec.ValidationError as error:
        raise ImindexError(f"{path}: {_explain(str(error), content)}") from error
    except UnicodeError as error:
        raise ImindexError(f"{path}: a key is not valid text: {error}. Remove it.") from error


def _explain(message: str, content: Mapping[str, Any]) -> str:
    text, _, place = message.partition(" - at `")
    steps = re.findall(r"\w+", place.rstrip("`").removeprefix("$"))
    value: Any = content
    hint: Any = PlanFile
    where = ""
    for step in steps:
        value = value[int(step) if isinstance(value, list) else step]
        hint = _inside(hint, step)
        where += f"[{int(step) + 1}]" if step.isdigit() else f"{'.' if where else ''}{step}"
    if inspect.isclass(inner := _table_or_list(hint)) and issubclass(inner, Table):
        hint = inner
    if named := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        known = list(hint.__struct_fields__)
        near = difflib.get_close_matches(named[1], known, 1)
        remedy = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(sorted(known))}."
        return f"{_key(where, named[1])} is not a key of a plan. {remedy}"
    if named := re.fullmatch(r"Object missing required field `(.*)`", text):
        return f"{_key(where, named[1])} is missing. `imindex audit init` writes a plan with every key."
    if inspect.isclass(hint) and issubclass(hint, Table):
        if where.endswith("]"):
            where = where.partition("[")[0]
            return f"{where} is not a list of tables. Begin each with [[{where}]]."
        return f"{where} is not a table. Write [{where}] and its keys below."
    if hint is not None and typing.get_origin(hint) is tuple:
        return f"{where} is not a list of tables. Begin each with [[{where}]]."
    if isinstance(value, str) and re.search(f"[{CONTROL}]", value):
        return f"{where} contains a control character. Remove it."
    return f"{where} is {bounds.shown(value)}. {_remedy(hint)}"


def _key(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _inside(hint: Any, step: str) -> Any:
    """Return the type of a field of a table, or of the items of a list."""
    while (origin := typing.get_origin(hint)) in (Annotated, types.UnionType, typing.Union):
        chosen = hint if origin is Annotated else _table_or_list(hint)
        hint = typing.get_args(hint)[0] if chosen is hint else chosen
    if inspect.isclass(hint) and issubclass(hint, Table):
        return typing.get_type_hints(hint, include_extras=True)[step]
    values = typing.get_args(hint)
    return values[-1] if typing.get_origin(hint) is Mapping else values[0]


def _table_or_list(hint: Any) -> Any:
    """Return the table of a type such as `Table | None`, or the list of one such as `str | tuple[str, ...]`."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    choices = typing.get_args(hint)
    tables = [one for one in choices if inspect.isclass(one) and issubclass(one, Table)]
    lists = [one for one in choices if typing.get_origin(one) is tuple]
    return [*tables, *lists, hint][0]


def _remedy(hint: Any) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _remedy(typing.get_args(hint)[0])
    metadata = getattr(hint, "__metadata__", ())
    return next((str(meta.description) for meta in metadata if meta.description), "")
