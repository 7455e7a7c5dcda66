"""The plan of an audit: TOML -> a validated `Plan` and its digest."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artists_file import names_of, read_artists
from imindex.retrieval.audit.plan_table import (
    ArtistsTable,
    EncoderTable,
    Prompts,
    ReleaseTable,
    Tests,
    decode,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS = (
    "revision", "lora", "lora_scale", "scheduler", "steps", "guidance", "size", "dtype", "negative_prompt", "offload",
)  # fmt: skip
"""The keys of a release that configure its model."""


@dataclass(frozen=True)
class Release:
    """A release to audit: a model that generates here, or existing pictures.

    Attributes
    ----------
    name : str
        The collection in the index.
    model : str
        Hub id or folder of a diffusers pipeline; empty for existing pictures. A folder is relative to the plan.
    pictures : str
        Folder of `<name in the prompt>/*`, or a manifest, relative to the plan; empty for a model.
    placebos : tuple of str
        Names among the existing pictures that are placebos, or patterns of them.
    settings : mapping
        Settings of the model; see `imindex.indexer.generate.generate`.
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
class Plan:
    """A validated plan. Paths are as written, relative to `folder`."""

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
        """The folder that the plan's paths are relative to."""
        return self.path.parent

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's values as canonical JSON; comments and layout do not count."""
        names = [field.name for field in fields(self) if field.name not in ("path", "text")]
        return json_digest(msgspec.to_builtins({name: getattr(self, name) for name in names}))

    def at(self, path: str) -> Path:
        """Return a path of the plan, resolved against its folder."""
        return self.folder / path

    @property
    def label_templates(self) -> tuple[str, ...]:
        """The templates for classification by name."""
        return self.tests.templates or self.prompts.templates


def read_plan(path: Path) -> Plan:
    """Read and validate a plan.

    Raises
    ------
    ImindexError
        If the file does not exist or is not TOML, or if a key is unknown, missing or has a wrong value. The message
        names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Write a plan with `imindex audit init {path}`.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ImindexError(
            f"{path} is not TOML: {error}. `imindex audit init` writes a valid plan."
        ) from error
    return _plan(path, text, values)


def _plan(path: Path, text: str, values: dict[str, Any]) -> Plan:
    file = decode(path, values)
    _check_prompts(path, file.prompts)
    plan = Plan(
        path=path,
        text=text,
        title=path.stem if file.title is None else file.title,
        seed=file.seed,
        tested=_tested(path, file.artists),
        works=file.works.tested,
        background=file.works.background,
        control=file.works.control,
        releases=tuple(
            _release(path, f"releases[{place}]", table, written)
            for place, (table, written) in enumerate(
                zip(file.releases, values.get("releases", ()), strict=True), 1
            )
        ),
        prompts=file.prompts,
        encoders=tuple(_encoder(table) for table in file.encoders),
        tests=file.tests,
        base=file.compare.base,
        fail_if=file.gate.fail_if,
    )
    _check_names(path, "releases", [release.name for release in plan.releases])
    _check_names(path, "encoders", [encoder.name for encoder in plan.encoders])
    if plan.base and plan.base not in {release.name for release in plan.releases}:
        known = ", ".join(release.name for release in plan.releases)
        raise ImindexError(
            f"{path}: compare.base is {plan.base!r}, which is not a release. The releases are {known}."
        )
    _check_gate(path, plan)
    return plan


def _tested(path: Path, artists: ArtistsTable) -> tuple[str, ...]:
    if bool(artists.tested) == bool(artists.file):
        raise ImindexError(
            f'{path}: artists.tested or artists.file: list the artists to test with either tested = ["Ada Example"] or '
            'file = "artists.csv".'
        )
    if artists.file:
        names = read_artists(path.parent / artists.file)
    else:
        try:
            names = names_of(artists.tested)
        except ImindexError as error:
            raise ImindexError(f"{path}: artists.tested: {error}") from error
    _check_names(path, "artists.tested", names)
    return tuple(names)


def _release(path: Path, name: str, table: ReleaseTable, written: Mapping[str, Any]) -> Release:
    """Return a release with the settings that the plan gives, as written."""
    if bool(table.model) == bool(table.pictures):
        raise ImindexError(
            f"{path}: {name}: give either model (a diffusers pipeline) or pictures (a folder or "
            "manifest of existing pictures)."
        )
    settings = {key: written[key] for key in SETTINGS if key in written}
    if table.pictures and settings:
        raise ImindexError(
            f"{path}: {name}.{next(iter(settings))}: settings belong to a model, but this release has pictures. "
            "Remove the setting."
        )
    if table.model and table.placebos:
        raise ImindexError(
            f"{path}: {name}.placebos selects names among existing pictures. For a model, set prompts.placebos."
        )
    return Release(table.name, table.model, table.pictures, table.placebos, settings)


def _check_prompts(path: Path, prompts: Prompts) -> None:
    for template in prompts.templates:
        if "{artist}" not in template:
            raise ImindexError(
                f"{path}: prompts.templates: {template!r} has no {{artist}}. Write {{artist}} where the name goes."
            )
    placebos = prompts.placebos
    if placebos != "auto" and (isinstance(placebos, str) or placebos < 0):
        raise ImindexError(
            f'{path}: prompts.placebos is {placebos!r}. Write a whole number of at least 0, or "auto".'
        )


def _encoder(table: EncoderTable) -> EncoderSpec:
    return EncoderSpec(
        name=table.name or table.model.rpartition("/")[2] or table.model,
        model=table.model,
        pretrained=table.pretrained or None,
        precision=table.precision,
    )


def _check_names(path: Path, key: str, names: Sequence[str]) -> None:
    if not names:
        raise ImindexError(f"{path}: {key} is empty. List at least one.")
    folded: set[str] = set()
    for name in names:
        normalized = unicodedata.normalize("NFC", name).casefold()
        if normalized in folded:
            raise ImindexError(f"{path}: {key}: {name!r} is listed twice. Remove one of them.")
        folded.add(normalized)


def _check_gate(path: Path, plan: Plan) -> None:
    from imindex.retrieval.compare.gate import parse

    for condition in plan.fail_if:
        try:
            parse(condition)
        except ImindexError as error:
            raise ImindexError(f"{path}: gate.fail_if: {error}") from error
        if "base" in condition and not plan.base:
            raise ImindexError(
                f"{path}: gate.fail_if: {condition!r} refers to a base release. Set compare.base."
            )
