"""The plan of an audit: from a TOML file to a checked `Plan` and its digest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from imindex.indexer.core.bounds import NAMES
from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.secrets import public_url, split_secrets
from imindex.indexer.generate.artists_file import names_of, read_artists, read_origins, read_training_images
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.image_api.settings import ApiSettings
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.audit.plan_table import (
    ArtistsTable,
    EncoderTable,
    PlanFile,
    Prompts,
    ReleaseTable,
    Tests,
    decode,
)
from imindex.retrieval.findings import TOGETHER
from imindex.retrieval.questions.settings import QuestionsTable
from imindex.retrieval.questions.wording import meant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS = (
    "revision", "lora", "lora_scale", "scheduler", "steps", "guidance", "size", "dtype", "negative_prompt", "offload",
)  # fmt: skip
"""Keys of a release that are settings of its model."""
API_SETTINGS = ("size", "key_env", "send_seeds", "response_format", "refusal_codes")
"""Keys of a release that are settings of its API."""


CHOSEN = ("chosen_by", "chosen_sha256", "chosen_on")
"""Keys of an encoder that record how it was chosen."""
NO_RIVALS = "none"
BY_ORIGIN = "auto by origin"


@dataclass(frozen=True)
class Release:
    """A release to audit: a model that generates pictures during the audit, or existing pictures.

    Attributes
    ----------
    name : str
        Name of the collection in the index.
    model : str
        Hub id or folder of a diffusers pipeline, relative to the plan; empty for existing pictures.
    pictures : str
        Folder of `<name in the prompt>/*`, or a manifest, relative to the plan; empty for a model.
    placebos : tuple of str
        For existing pictures: the placebo names, or patterns that match them.
    settings : mapping
        Settings of the model, see `imindex.indexer.generate.generate`; or of the API.
    api : str
        URL of the API that makes the pictures; `model` is then the name by which it knows the model.
    requests : str
        For existing pictures: the log of the requests for them, relative to the plan.
    """

    name: str
    model: str = ""
    pictures: str = ""
    placebos: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    api: str = ""
    requests: str = ""


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder, as `imindex build` takes it; a path is relative to the plan.

    `chosen_by` is the file of `imindex encoders compare` by which it was chosen, `chosen_sha256` its digest, and
    `chosen_on` when it was made; they are empty if the plan does not say.
    """

    name: str
    model: str
    pretrained: str | None = None
    precision: str = "auto"
    color: str = "auto"
    preprocess_from: str | None = None
    chosen_by: str = ""
    chosen_sha256: str = ""
    chosen_on: str = ""


@dataclass(frozen=True)
class Plan:
    """A checked plan. Paths are as written, relative to `folder`.

    Attributes
    ----------
    rivals : int, str or tuple of str
        Further real names: how many, "auto", "none", or which.
    training_images : mapping from artist to int
        How many works of an artist the training data hold, as stated.
    origins : mapping from artist to str
        Origins of names, as stated.
    unknown : tuple of str
        Real names that the releases cannot know.
    margin : float or None
        The largest change between releases that does not matter.
    case_number, examiner : str
        For the report.
    questions : QuestionsTable
        Further questions.
    """

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
    rivals: int | str | tuple[str, ...] = NO_RIVALS
    origins: Mapping[str, str] = field(default_factory=dict)
    training_images: Mapping[str, int] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    margin: float | None = None
    case_number: str = ""
    examiner: str = ""
    questions: QuestionsTable = field(default_factory=QuestionsTable)

    @property
    def folder(self) -> Path:
        """Folder to which the plan's paths are relative."""
        return self.path.parent

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's values as canonical JSON; comments and layout do not change it."""
        attributes = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("path", "text", "questions")
        }
        values = msgspec.to_builtins(attributes) | {"questions": self.questions.digested()}
        # Keys that version 0.1.0 did not have are part of the digest unless they have their default: the digests of
        # old plans stay the same.
        for table, key, default in (
            (values, "rivals", NO_RIVALS),
            (values, "origins", {}),
            (values, "training_images", {}),
            (values, "unknown", ()),
            (values, "margin", None),
            (values, "case_number", ""),
            (values, "examiner", ""),
            (values, "questions", {}),
            (values["prompts"], "equal_seeds", False),
            (values["prompts"], "placebo_seed", ""),
            (values["tests"], "statistic", Tests().statistic),
            (values["tests"], "copies_rate", Tests().copies_rate),
            (values["tests"], "as_paper", Tests().as_paper),
            (values["tests"], "csls", Tests().csls),
            (values["tests"], "whiten", Tests().whiten),
            *((release, key, "") for release in values["releases"] for key in ("api", "requests")),
            *((encoder, "color", "auto") for encoder in values["encoders"]),
            *((encoder, "preprocess_from", None) for encoder in values["encoders"]),
            *((encoder, key, "") for encoder in values["encoders"] for key in CHOSEN),
        ):
            if table[key] == default or not (table[key] or default):
                del table[key]
        return json_digest(values)

    def at(self, path: str) -> Path:
        """Resolve a path of the plan."""
        return self.folder / path

    def source(self, path: str) -> str:
        """Return a source of pictures that the plan names: a path of this machine, or a URL.

        Raises
        ------
        ImindexError
            If a URL carries credentials: a plan is registered, and shown to others.
        """
        if not is_url(path):
            return str(self.at(path))
        if split_secrets(path).secret:
            raise ImindexError(
                f"{self.path}: {public_url(path)} carries credentials, and a plan is registered as it is. Take them "
                "out, and set them in the environment."
            )
        return name_by_user(path)

    @property
    def label_templates(self) -> tuple[str, ...]:
        """The templates of classification."""
        return self.tests.templates or self.prompts.templates


def read_plan(path: Path, note: Callable[[str], None] = lambda _: None) -> Plan:
    """Read and check a plan.

    Parameters
    ----------
    path : Path
    note : callable
        Called with messages about the file of artists.

    Raises
    ------
    ImindexError
        The file does not exist or is not TOML, or a key is unknown, missing or has an invalid value.
    """
    if path.is_dir():
        raise ImindexError(f"{path} is a folder, not a plan. Pass the TOML file of the plan.")
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Write a plan with `imindex audit init {path}`.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    return plan_of(path, text, note)


def plan_of(path: Path, text: str, note: Callable[[str], None] = lambda _: None) -> Plan:
    """Check the text of a plan, which need not be in its file yet.

    Parameters
    ----------
    path : Path
        Where the plan is, or will be: paths in it are relative to this.
    text : str
    note : callable
        Called with messages about the file of artists.

    Raises
    ------
    ImindexError
        The text is not TOML, or a key is unknown, missing or has an invalid value.
    """
    try:
        content = tomllib.loads(text)
    except (
        RecursionError,
        ValueError,
    ) as error:  # ValueError: TOMLDecodeError, and numbers of thousands of digits
        said = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ImindexError(
            f"{path} is not TOML: {said}. `imindex audit init` writes a valid plan."
        ) from error
    return _plan(path, text, content, note)


def _plan(path: Path, text: str, content: dict[str, Any], note: Callable[[str], None]) -> Plan:
    file = decode(path, content)
    _check_prompts(path, file.prompts)
    tested = _tested(path, file.artists, note)
    plan = Plan(
        path=path,
        text=text,
        title=path.stem if file.title is None else file.title,
        seed=file.seed,
        tested=tested,
        works=file.works.tested,
        background=file.works.background,
        control=file.works.control,
        releases=tuple(
            _release(path, f"releases[{number}]", table, written)
            for number, (table, written) in enumerate(
                zip(file.releases, content.get("releases", ()), strict=True), 1
            )
        ),
        prompts=file.prompts,
        encoders=tuple(_encoder(table) for table in file.encoders),
        tests=file.tests,
        base=file.compare.base,
        fail_if=file.gate.fail_if,
        rivals=_rivals(path, file.rivals, tested),
        origins=_origins(path, file.artists, tested),
        training_images=_training_images(path, file.artists, tested),
        unknown=_unknown(path, file, tested),
        margin=file.compare.margin,
        case_number=file.case.number,
        examiner=file.case.examiner,
        questions=file.questions,
    )
    names = [release.name for release in plan.releases]
    _check_names(path, "releases", names)
    _check_names(path, "encoders", [encoder.name for encoder in plan.encoders])
    if any(clean_name(encoder.name).casefold() == TOGETHER for encoder in plan.encoders):
        raise ImindexError(
            f'{path}: encoders: "{TOGETHER}" is what the report calls all of them together. Use another name.'
        )
    if plan.base and plan.base not in names:
        raise ImindexError(
            f"{path}: compare.base is {plan.base!r}, which is not a release. The releases are {', '.join(names)}."
        )
    if plan.prompts.equal_seeds and (by_api := [one.name for one in plan.releases if one.api]):
        raise ImindexError(
            f"{path}: prompts.equal_seeds: {by_api[0]} is made by an API, and nothing shows that an API uses a seed. "
            "Remove equal_seeds, or audit that release by a plan of its own."
        )
    _check_gate(path, plan)
    for source in (
        plan.works,
        plan.background,
        plan.control,
        *(release.pictures for release in plan.releases),
    ):
        if source:
            plan.source(source)
    return plan


def _tested(path: Path, artists: ArtistsTable, note: Callable[[str], None]) -> tuple[str, ...]:
    if bool(artists.tested) == bool(artists.file):
        raise ImindexError(
            f'{path}: set either artists.tested = ["Ada Example"] or artists.file = "artists.csv".'
        )
    if artists.file:
        names = read_artists(path.parent / artists.file, note)
    else:
        try:
            names = names_of(artists.tested)
        except ImindexError as error:
            raise ImindexError(f"{path}: artists.tested: {error}") from error
    _check_names(path, "artists.tested", names)
    return tuple(names)


def _rivals(
    path: Path, written: int | str | tuple[str, ...], tested: Sequence[str]
) -> int | str | tuple[str, ...]:
    if isinstance(written, tuple):
        from imindex.indexer.generate.historical_artists import coinciding

        try:
            names = tuple(names_of(written))
        except ImindexError as error:
            raise ImindexError(f"{path}: rivals: {error}") from error
        for name in names:
            if (same := coinciding(name, tested)) is not None:
                raise ImindexError(
                    f"{path}: rivals: {name!r} is a tested artist ({same}). Remove the name from the list."
                )
        return names
    if written not in ("auto", NO_RIVALS) and not NAMES.hold(written):
        raise ImindexError(
            f'{path}: rivals is {written!r}. Write "auto", "none", {NAMES}, or a list of names.'
        )
    return written or NO_RIVALS


def _origins(path: Path, artists: ArtistsTable, tested: Sequence[str]) -> dict[str, str]:
    stated = read_origins(path.parent / artists.file) if artists.file else {}
    for name, origin in artists.origins.items():
        name = clean_name(name)
        if name not in tested:
            remedy = meant(name, tested, "Remove the line.")
            raise ImindexError(f"{path}: artists.origins: {name!r} is not tested. {remedy}")
        stated[name] = origin
    return dict(sorted(stated.items()))


def _training_images(path: Path, artists: ArtistsTable, tested: Sequence[str]) -> dict[str, int]:
    stated = read_training_images(path.parent / artists.file) if artists.file else {}
    for name, number in artists.training_images.items():
        name = clean_name(name)
        if name not in tested:
            remedy = meant(name, tested, "Remove the line.")
            raise ImindexError(f"{path}: artists.training_images: {name!r} is not tested. {remedy}")
        stated[name] = number
    return dict(sorted(stated.items()))


def _unknown(path: Path, file: PlanFile, tested: Sequence[str]) -> tuple[str, ...]:
    rivals = file.rivals if isinstance(file.rivals, tuple) else ()
    if any(table.model for table in file.releases):
        for name in file.artists.unknown:
            if name not in {*tested, *rivals}:
                raise ImindexError(
                    f"{path}: artists.unknown: {name!r} is neither tested nor a rival, so that no pictures would be "
                    "made. Add the name to rivals."
                )
    return file.artists.unknown


def _release(path: Path, name: str, table: ReleaseTable, written: Mapping[str, Any]) -> Release:
    """Return a release with the settings that the plan states, as written."""
    if table.api:
        return _by_api(path, name, table, written)
    if bool(table.model) == bool(table.pictures):
        raise ImindexError(
            f"{path}: {name}: set either model (a diffusers pipeline) or pictures (a folder or manifest of existing "
            "pictures)."
        )
    if table.requests and not table.pictures:
        raise ImindexError(
            f"{path}: {name}.requests is the log of requests for existing pictures; set pictures, too. The requests "
            "of an api are logged by the audit."
        )
    misplaced = [key for key in API_SETTINGS if key in written and key not in SETTINGS]
    if misplaced:
        raise ImindexError(f"{path}: {name}.{misplaced[0]} is a setting of an API. Set api, or remove it.")
    settings = {key: written[key] for key in SETTINGS if key in written}
    if table.pictures and settings:
        raise ImindexError(
            f"{path}: {name}.{next(iter(settings))} is a setting of a model, but this release has pictures. Remove it."
        )
    if table.model and table.placebos:
        raise ImindexError(
            f"{path}: {name}.placebos applies to existing pictures only. For a model, set prompts.placebos."
        )
    if table.model:
        try:
            ModelSettings(model=table.model, **settings)
        except ImindexError as error:
            raise ImindexError(f"{path}: {name}: {error}") from error
    return Release(table.name, table.model, table.pictures, table.placebos, settings, requests=table.requests)


def _by_api(path: Path, name: str, table: ReleaseTable, written: Mapping[str, Any]) -> Release:
    """Return a release that an API makes, with the settings that the plan states, as written."""
    others = (*SETTINGS, "pictures", "requests", "placebos")
    misplaced = [key for key in others if key in written and key not in API_SETTINGS]
    if misplaced:
        raise ImindexError(
            f"{path}: {name}.{misplaced[0]} does not apply to an API. Its settings are "
            f"{', '.join(API_SETTINGS)}. Remove it."
        )
    if split_secrets(table.api).secret:
        raise ImindexError(
            f"{path}: {name}.api carries credentials, and a plan is registered as it is. Take them out, and name the "
            "environment variable of the key in key_env."
        )
    settings = {key: written[key] for key in API_SETTINGS if key in written}
    if isinstance(settings.get("refusal_codes"), list):
        settings["refusal_codes"] = tuple(settings["refusal_codes"])
    try:
        checked = ApiSettings(table.api, table.model, **settings)
    except ImindexError as error:
        raise ImindexError(f"{path}: {name}: {error}") from error
    return Release(table.name, table.model, settings=settings, api=checked.api)


def _check_prompts(path: Path, prompts: Prompts) -> None:
    for template in prompts.templates:
        if "{artist}" not in template:
            raise ImindexError(
                f"{path}: prompts.templates: {template!r} does not contain {{artist}}. Write it where the name goes."
            )
    placebos = prompts.placebos
    if placebos not in ("auto", BY_ORIGIN) and not NAMES.hold(placebos):
        raise ImindexError(
            f'{path}: prompts.placebos is {placebos!r}. Write {NAMES}, "auto", or "{BY_ORIGIN}".'
        )
    if prompts.placebo_seed and not prompts.placebo_seed.startswith("from:"):
        raise ImindexError(
            f"{path}: prompts.placebo_seed is {prompts.placebo_seed!r}. Write from:FILE, the file of a secret seed."
        )


def _encoder(table: EncoderTable) -> EncoderSpec:
    return EncoderSpec(
        name=table.name or table.model.rpartition("/")[2] or table.model,
        model=table.model,
        pretrained=table.pretrained or None,
        precision=table.precision,
        color=table.color,
        preprocess_from=table.preprocess_from or None,
        chosen_by=table.chosen_by,
        chosen_sha256=table.chosen_sha256,
        chosen_on=table.chosen_on,
    )


def _check_names(path: Path, key: str, names: Sequence[str]) -> None:
    if not names:
        raise ImindexError(f"{path}: {key} is empty. Name at least one.")
    folded: set[str] = set()
    for name in names:
        key_of_name = clean_name(name).casefold()
        if key_of_name in folded:
            raise ImindexError(f"{path}: {key}: {name!r} is listed twice. Names must differ.")
        folded.add(key_of_name)


def _check_gate(path: Path, plan: Plan) -> None:
    from imindex.retrieval.compare.gate import parse

    for condition in plan.fail_if:
        try:
            parse(condition)
        except ImindexError as error:
            raise ImindexError(f"{path}: gate.fail_if: {error}") from error
        if "base" in condition and not plan.base:
            raise ImindexError(
                f"{path}: gate.fail_if: {condition!r} needs a base. Name the release in compare.base."
            )
