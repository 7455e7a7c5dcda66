"""The written plan of an audit: TOML -> a checked `Plan` and its digest."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artists_file import names_of, read_artists
from imindex.indexer.generate.model_settings import DTYPES, OFFLOADS
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.retrieval.audit.plan_table import Table
from imindex.retrieval.evidence.classify_release import GENERIC_LABELS
from imindex.retrieval.evidence.testing import ADJUSTMENTS, Testing

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Release:
    """A release to be audited: a model that is asked here, or pictures that were made elsewhere.

    Attributes
    ----------
    name : str
        The collection in the index.
    model : str
        Hub id or folder of a diffusers pipeline; empty for pictures made elsewhere. A folder is relative to the plan.
    pictures : str
        Folder of `<name asked for>/*`, or a manifest, relative to the plan; empty for a model.
    placebos : tuple of str
        Of pictures made elsewhere: the placebo names among them, or patterns.
    settings : mapping
        What the model is asked with: see `imindex.indexer.generate.generate`.
    """

    name: str
    model: str = ""
    pictures: str = ""
    placebos: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder, as `imindex build` takes it; a path is relative to the plan."""

    name: str
    model: str
    pretrained: str | None = None
    precision: str = "auto"


@dataclass(frozen=True)
class Prompts:
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

    templates: tuple[str, ...] = (DEFAULT_TEMPLATE,)
    per_artist: int = 20
    placebos: int | str = "auto"
    nameless: int = 20
    generic: tuple[str, ...] = ()
    per_generic: int = 20


@dataclass(frozen=True)
class Tests:
    """How it is tested; see `imindex.retrieval.evidence.testing.Testing`.

    Attributes
    ----------
    level, adjust, n_resamples, confidence_level
    labels : tuple of str
        Generic labels among which, beside the artists, an imitation is classified.
    templates : tuple of str
        By which artists are named in classification; those of the prompts, unless given.
    copies : float
        A pair of imitation and work is a candidate copy from this cosine on.
    """

    level: float = Testing.level
    adjust: str = Testing.adjust
    n_resamples: int = Testing.n_resamples
    confidence_level: float = Testing.confidence_level
    labels: tuple[str, ...] = GENERIC_LABELS
    templates: tuple[str, ...] = ()
    copies: float = 0.85


@dataclass(frozen=True)
class Plan:
    """A checked plan. Paths are as written, relative to `folder`."""

    path: Path
    text: str
    title: str
    seed: int
    tested: tuple[str, ...]
    works: str
    background: str
    control: str
    releases: tuple[Release, ...]
    prompts: Prompts
    encoders: tuple[EncoderSpec, ...]
    tests: Tests
    base: str
    fail_if: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """What the plan's paths are relative to."""
        return self.path.parent

    @property
    def digest(self) -> str:
        """SHA-256 of what the plan says, as canonical JSON: comments and layout do not count, every value does."""
        said = {key: value for key, value in asdict(self).items() if key not in ("path", "text")}
        return json_digest(said)

    def at(self, path: str) -> Path:
        """A path of the plan, from where we are."""
        return self.folder / path

    @property
    def label_templates(self) -> tuple[str, ...]:
        """The templates of classification."""
        return self.tests.templates or self.prompts.templates


def read_plan(path: Path) -> Plan:
    """Read and check a plan.

    Raises
    ------
    ImindexError
        Not there, not TOML, or a key that is unknown, missing or has a wrong value: the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Write a plan with `imindex audit init {path}`.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ImindexError(
            f"{path} is not TOML: {error}. See `imindex audit init` for one that is."
        ) from error
    return _plan(path, text, Table(path, "", said))


def _plan(path: Path, text: str, top: Table) -> Plan:
    artists, works = top.table("artists"), top.table("works")
    plan = Plan(
        path=path,
        text=text,
        title=top.text("title", default=path.stem),
        seed=top.whole("seed", default=0, least=0),
        tested=_tested(path, artists),
        works=works.text("tested", default="works"),
        background=works.text("background", default=""),
        control=works.text("control", default=""),
        releases=tuple(_release(one) for one in top.tables("releases")),
        prompts=_prompts(top.table("prompts")),
        encoders=tuple(_encoder(one) for one in top.tables("encoders")),
        tests=_tests(top.table("tests")),
        base=top.table("compare").text("base", default=""),
        fail_if=top.table("gate").texts("fail_if", default=()),
    )
    top.finish()
    _check_names(path, "releases", [one.name for one in plan.releases])
    _check_names(path, "encoders", [one.name for one in plan.encoders])
    if plan.base and plan.base not in {one.name for one in plan.releases}:
        known = ", ".join(one.name for one in plan.releases)
        raise ImindexError(
            f"{path}: compare.base is {plan.base!r}, which is no release. The releases are {known}."
        )
    _check_gate(path, plan)
    return plan


def _tested(path: Path, artists: Table) -> tuple[str, ...]:
    listed = artists.texts("tested", default=())
    file = artists.text("file", default="")
    if bool(listed) == bool(file):
        raise ImindexError(
            f'{path}: artists.tested or artists.file: name the artists to be tested, as tested = ["Ada Example"] or as '
            'file = "artists.csv", and not both.'
        )
    if file:
        names = read_artists(path.parent / file)
    else:
        try:
            names = names_of(listed)
        except ImindexError as error:
            raise ImindexError(f"{path}: artists.tested: {error}") from error
    _check_names(path, "artists.tested", names)
    return tuple(names)


def _release(said: Table) -> Release:
    model, pictures = said.text("model", default=""), said.text("pictures", default="")
    if bool(model) == bool(pictures):
        raise ImindexError(
            f"{said.path}: {said.name}: give either model (a diffusers pipeline to be asked) or pictures (a folder or "
            "manifest of what was made elsewhere)."
        )
    asked = {
        "revision": said.text("revision", default=""),
        "lora": said.text("lora", default=""),
        "lora_scale": said.number("lora_scale", default=1.0),
        "scheduler": said.text("scheduler", default=""),
        "steps": said.whole("steps", default=0, least=0),
        "guidance": said.number("guidance", default=None),
        "size": said.text("size", default=""),
        "dtype": said.choice("dtype", DTYPES, default="auto"),
        "negative_prompt": said.text("negative_prompt", default=""),
        "offload": said.choice("offload", OFFLOADS, default="none"),
    }
    settings = {key: value for key, value in asked.items() if said.given(key)}
    if pictures and settings:
        raise ImindexError(
            f"{said.path}: {said.name}.{next(iter(settings))}: settings are of a model; this release has pictures."
        )
    placebos = said.texts("placebos", default=())
    if model and placebos:
        raise ImindexError(
            f"{said.path}: {said.name}.placebos are named for pictures only; for a model see prompts.placebos."
        )
    return Release(said.text("name"), model, pictures, placebos, settings)


def _prompts(said: Table) -> Prompts:
    default = Prompts()
    templates = said.texts("templates", default=default.templates)
    for template in templates:
        if "{artist}" not in template:
            raise ImindexError(
                f"{said.path}: prompts.templates: {template!r} has no {{artist}}. Write it where the name goes."
            )
    placebos: int | str = "auto"
    if said.get("placebos") != "auto":
        placebos = said.whole("placebos", default=-1, least=0)
    return Prompts(
        templates=templates,
        per_artist=said.whole("per_artist", default=default.per_artist, least=1),
        placebos="auto" if placebos == -1 else placebos,
        nameless=said.whole("nameless", default=default.nameless, least=0),
        generic=said.texts("generic", default=()),
        per_generic=said.whole("per_generic", default=default.per_generic, least=1),
    )


def _encoder(said: Table) -> EncoderSpec:
    model = said.text("model")
    pretrained = said.text("pretrained", default="") or None
    return EncoderSpec(
        name=said.text("name", default=model.rpartition("/")[2] or model),
        model=model,
        pretrained=pretrained,
        precision=said.choice("precision", DTYPES, default="auto"),
    )


def _tests(said: Table) -> Tests:
    default = Tests()
    templates = said.texts("templates", default=())
    return Tests(
        level=said.share("level", default=default.level),
        adjust=said.choice("adjust", ADJUSTMENTS, default=default.adjust),
        n_resamples=said.whole("n_resamples", default=default.n_resamples, least=99),
        confidence_level=said.share("confidence_level", default=default.confidence_level),
        labels=said.texts("labels", default=default.labels),
        templates=templates,
        copies=said.share("copies", default=default.copies),
    )


def _check_names(path: Path, key: str, names: Sequence[str]) -> None:
    if not names:
        raise ImindexError(f"{path}: {key} is empty. Name at least one.")
    folded: set[str] = set()
    for name in names:
        same = unicodedata.normalize("NFC", name).casefold()
        if same in folded:
            raise ImindexError(f"{path}: {key}: {name!r} stands there twice. Names must differ.")
        folded.add(same)


def _check_gate(path: Path, plan: Plan) -> None:
    from imindex.retrieval.compare.gate import parse

    for condition in plan.fail_if:
        try:
            parse(condition)
        except ImindexError as error:
            raise ImindexError(f"{path}: gate.fail_if: {error}") from error
        if "base" in condition and not plan.base:
            raise ImindexError(
                f"{path}: gate.fail_if: {condition!r} asks for a base. Name the release in compare.base."
            )
