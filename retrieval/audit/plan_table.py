"""The tables of a plan as types, and the decoder that names a wrong key, its value and the remedy.

The description of each type is the remedy that a message gives.
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
from msgspec import Meta

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.model_settings import DTYPES, OFFLOADS
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.retrieval import results
from imindex.retrieval.evidence.classify_release import GENERIC_LABELS
from imindex.retrieval.evidence.copy_rule import RATE
from imindex.retrieval.evidence.testing import ADJUSTMENTS, Testing

_CONTROL = r"\x00-\x1f\x7f"
_FINITE = 1.7976931348623157e308


def _whole(least: int) -> Meta:
    return Meta(ge=least, description=f"Write a whole number from {least} on.")


def _one_of(words: tuple[str, ...]) -> Meta:
    return Meta(pattern=rf"\A({'|'.join(words)})\Z", description=f"Write one of {', '.join(words)}.")


_TEXT = "Write a text in quotes."
Text = Annotated[str, Meta(pattern=rf"\A[^{_CONTROL}]*\Z", description=_TEXT)]
Given = Annotated[str, Meta(pattern=rf"\A(?=.*\S)[^{_CONTROL}]+\Z", description=_TEXT)]
Texts = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\S", description=_TEXT)], ...],
    Meta(description='Write a list of texts: ["one", "two"].'),
]
Natural = Annotated[int, _whole(0)]
Positive = Annotated[int, _whole(1)]
Resamples = Annotated[int, _whole(99)]
Real = Annotated[float, Meta(ge=-_FINITE, le=_FINITE, description="Write a number.")]
Between = Annotated[float, Meta(gt=0, lt=1, description="Write a number between 0 and 1.")]
DType = Annotated[str, _one_of(DTYPES)]
Offload = Annotated[str, _one_of(OFFLOADS)]
Adjust = Annotated[results.Adjust, Meta(description=f"Write one of {', '.join(ADJUSTMENTS)}.")]
Placebos = Annotated[int | str, Meta(description='Write a whole number from 0 on, or "auto".')]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a plan; unknown keys are refused."""


class Prompts(Table, frozen=True, kw_only=True):
    """What generated releases are asked.

    Attributes
    ----------
    templates : tuple of str
    per_artist : int
        Pictures of every name.
    placebos : int or "auto"
        Invented names; auto: as many as the level and the correction ask for (`needed_placebos`).
    nameless : int
        Control pictures of the templates with the name removed.
    generic : tuple of str
        Prompts that name nobody.
    per_generic : int
        Pictures of each.
    """

    templates: Texts = (DEFAULT_TEMPLATE,)
    per_artist: Positive = 20
    placebos: Placebos = "auto"
    nameless: Natural = 20
    generic: Texts = ()
    per_generic: Positive = 20


class Tests(Table, frozen=True, kw_only=True):
    """How it is tested; see `imindex.retrieval.evidence.testing.Testing`.

    Attributes
    ----------
    level, adjust, n_resamples, confidence_level
    labels : tuple of str
        Generic labels among which, beside the artists, an imitation is classified.
    templates : tuple of str
        By which artists are named in classification; by default those of the prompts.
    copies : float
        No longer used, and accepted because earlier templates of a plan have it: a cosine does not tell copies from
        style.
    copies_rate : float
        Probability that an audit without copies has a candidate for a copy.
    """

    level: Between = Testing.level
    adjust: Adjust = Testing.adjust
    n_resamples: Resamples = Testing.n_resamples
    confidence_level: Between = Testing.confidence_level
    labels: Texts = GENERIC_LABELS
    templates: Texts = ()
    copies: Between = 0.85
    copies_rate: Between = RATE


class ArtistsTable(Table, frozen=True, kw_only=True):
    """Who is tested: names, or a file of names."""

    tested: Texts = ()
    file: Text = ""


class WorksTable(Table, frozen=True, kw_only=True):
    """Where pictures are."""

    tested: Text = "works"
    background: Text = ""
    control: Text = ""


class ReleaseTable(Table, frozen=True, kw_only=True):
    """A release: a model with its settings, or pictures."""

    name: Given
    model: Text = ""
    pictures: Text = ""
    placebos: Texts = ()
    revision: Text = ""
    lora: Text = ""
    lora_scale: Real = 1.0
    scheduler: Text = ""
    steps: Natural = 0
    guidance: Real | None = None
    size: Text = ""
    dtype: DType = "auto"
    negative_prompt: Text = ""
    offload: Offload = "none"


class EncoderTable(Table, frozen=True, kw_only=True):
    """An encoder, as `imindex build` takes it."""

    model: Given
    name: Given | None = None
    pretrained: Text = ""
    precision: DType = "auto"


class CompareTable(Table, frozen=True, kw_only=True):
    """The release that others are compared with."""

    base: Text = ""


class GateTable(Table, frozen=True, kw_only=True):
    """Conditions on which a release fails."""

    fail_if: Texts = ()


class PlanFile(Table, frozen=True, kw_only=True):
    """A whole plan file."""

    title: Text | None = None
    seed: Natural = 0
    artists: ArtistsTable = ArtistsTable()
    works: WorksTable = WorksTable()
    releases: tuple[ReleaseTable, ...] = ()
    prompts: Prompts = Prompts()
    encoders: tuple[EncoderTable, ...] = ()
    tests: Tests = Tests()
    compare: CompareTable = CompareTable()
    gate: GateTable = GateTable()


def decode(path: Path, said: Mapping[str, Any]) -> PlanFile:
    """Decode a parsed plan.

    Parameters
    ----------
    path : Path
        Of the plan, for messages.
    said : mapping
        What the TOML says.

    Raises
    ------
    ImindexError
        A key is unknown, missing or has a wrong value; the message names the key, the value and the remedy.
    """
    try:
        return msgspec.convert(said, PlanFile)
    except msgspec.ValidationError as error:
        raise ImindexError(f"{path}: {_explain(str(error), said)}") from error
    except UnicodeError as error:
        raise ImindexError(f"{path}: a key is not a text: {error}. Remove it.") from error


def _explain(message: str, said: Mapping[str, Any]) -> str:
    text, _, place = message.partition(" - at `")
    steps = re.findall(r"\w+", place.rstrip("`").removeprefix("$"))
    value: Any = said
    hint: Any = PlanFile
    where = ""
    for step in steps:
        value = value[int(step) if isinstance(value, list) else step]
        hint = _within(hint, step)
        where += f"[{int(step) + 1}]" if step.isdigit() else f"{'.' if where else ''}{step}"
    if named := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        known = list(hint.__struct_fields__)
        near = difflib.get_close_matches(named[1], known, 1)
        remedy = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(known))}."
        return f"{_key(where, named[1])} is no key of a plan. {remedy}"
    if named := re.fullmatch(r"Object missing required field `(.*)`", text):
        return f"{_key(where, named[1])} is missing. See `imindex audit init` for every key."
    if inspect.isclass(hint) and issubclass(hint, Table):
        if where.endswith("]"):
            where = where.partition("[")[0]
            return f"{where} is not a list of tables. Begin each with [[{where}]]."
        return f"{where} is not a table. Write [{where}] and its keys below."
    if hint is not None and typing.get_origin(hint) is tuple:
        return f"{where} is not a list of tables. Begin each with [[{where}]]."
    if isinstance(value, str) and re.search(f"[{_CONTROL}]", value):
        return f"{where} holds a control character. Remove it."
    return f"{where} is {value!r}. {_remedy(hint)}"


def _key(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _within(hint: Any, step: str) -> Any:
    """The type of a field of a table, or of an item of a list."""
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if inspect.isclass(hint) and issubclass(hint, Table):
        return typing.get_type_hints(hint, include_extras=True)[step]
    return typing.get_args(hint)[0]


def _remedy(hint: Any) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _remedy(typing.get_args(hint)[0])
    return next((str(one.description) for one in getattr(hint, "__metadata__", ()) if one.description), "")
