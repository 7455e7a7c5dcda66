"""The models of an audit, pipelines and encoders; they are checked before long computations begin."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError, NoEncoder
from imindex.indexer.core.json_text import parse_json, split_lines
from imindex.indexer.core.preprocess_bounds import SRGB
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.lazy import LazyEncoder, encoder_for, preprocess_note
from imindex.indexer.encoders.model_options import FOLDERS, with_folder
from imindex.indexer.encoders.registry import differences, open_clip_spelling, options_apart
from imindex.indexer.generate.prompts import Shot, shots
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import make_folder, write_file
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.audit.asking import question_folder, question_shots
from imindex.retrieval.audit.by_api import (
    api_settings,
    ask_for,
    made_by_api,
    missing_by_api,
    request_record,
)
from imindex.retrieval.audit.inputs import Inputs, blocked_of, log_of, require_imitations
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.on_cluster import (
    encoding_batch,
    encoding_device,
    encoding_precision,
    pipelines_of,
)
from imindex.retrieval.audit.plan import EncoderSpec, Plan, Release
from imindex.retrieval.evidence.label_lengths import check_label_lengths
from imindex.retrieval.questions.question import collection_of
from imindex.retrieval.results import BlockedPicture

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder
    from imindex.indexer.generate.generate import ModelSettings
    from imindex.retrieval.audit.run import Run

BY_WORKS = "classified by the artists' works, not by their names"
"""What an audit does with the pictures of an encoder without a text side."""


def encoder_arguments(plan: Plan, encoder: EncoderSpec) -> dict[str, Any]:
    """Return the arguments that load an encoder: with paths relative to the plan."""
    (name, options), pretrained = options_apart(encoder.model), encoder.pretrained
    model = encoder.model
    if name.endswith(".json") and not name.startswith(FOLDERS):
        model = f"{plan.at(name)}{options}"
    model = with_folder(model, lambda path: Path(plan.at(path)))
    if pretrained and plan.at(pretrained).is_file():
        pretrained = str(plan.at(pretrained))
    color = SRGB if encoder.color == "auto" else encoder.color
    return {
        "model": model,
        "pretrained": pretrained,
        "precision": encoder.precision,
        "color": color,
        "preprocess_from": encoder.preprocess_from,
    }


def load_planned(run: Run, spec: EncoderSpec, path: Path) -> Encoder:
    """Load an encoder as the plan names it, and compare it with the one that made the index.

    What the index itself names is never loaded: the index may come from somebody else.

    Parameters
    ----------
    run : Run
    spec : EncoderSpec
    path : Path
        The index of this encoder.

    Raises
    ------
    ImindexError
        The encoder cannot be loaded, or another one made the index.
    """
    from imindex.indexer.encoders.load import load, recorded, require_trusted
    from imindex.indexer.system.device import torch_devices

    with Index(path) as index:
        made_by = index.encoder
    where = encoder_arguments(run.plan, spec)
    if not run.compute.trust_encoders:
        require_trusted(where["model"], where["pretrained"], by=f"The plan {run.plan.path}")
    if where["precision"] == "auto":
        where["precision"] = made_by.precision
    if spec.color == "auto":
        where["color"] = made_by.color
    where["preprocess_from"] = where["preprocess_from"] or made_by
    torch_devices(encoding_device(run))  # a wrong device is no matter of the encoder
    try:
        encoder = load(
            **where,
            truncated=made_by.truncated,
            device=encoding_device(run),
            batch_size=encoding_batch(run),
        )
    except ImindexError as error:
        raise NoEncoder(
            f"{error} {recorded(made_by)} Put that encoder where {run.plan.path} names it, or name its place there."
        ) from error
    if found := differences(made_by, encoder.info):
        raise ImindexError(
            f"{path} was made by another encoder than {spec.name} of {run.plan.path}: {made_by.name()}, not "
            f"{encoder.info.name()} (index against plan: {'; '.join(found)}). Move that index away, and run the audit "
            "again to encode the pictures with the encoder of the plan; or name the other encoder in the plan."
        )
    return encoder


def is_as_planned(plan: Plan, spec: EncoderSpec, info: EncoderInfo) -> bool:
    """Return whether an index names the encoder as the plan does, which needs no encoder to be loaded.

    An index can name another encoder than the one that made it: `load_planned` compares the encoders themselves.
    """
    planned = _named(plan, spec, info)
    return (planned.model, planned.pretrained, planned.precision, planned.color) == (
        info.model,
        info.pretrained,
        info.precision,
        info.color,
    )


def named_as_planned(plan: Plan, spec: EncoderSpec, info: EncoderInfo) -> bool:
    """Return whether an index states the names of the plan's encoder, except for the folders they are in."""
    return _named(plan, spec, info).short_name() == info.short_name()


def _named(plan: Plan, spec: EncoderSpec, info: EncoderInfo) -> EncoderInfo:
    """Return what an index would record of the plan's encoder; where the plan leaves it open, what it does record."""
    named = encoder_arguments(plan, spec)
    model, pretrained = open_clip_spelling(str(named["model"])), named["pretrained"] or info.pretrained
    name, options = options_apart(model)
    if name.endswith(".json") and not name.startswith(FOLDERS):
        model = f"{os.path.normpath(Path(name).absolute())}{options}"
    if named["pretrained"] and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).resolve())
    precision = info.precision if named["precision"] == "auto" else named["precision"]
    color = info.color if spec.color == "auto" else spec.color
    planned = replace(info, model=model, pretrained=pretrained, precision=precision)
    return planned.rendered(color, info.truncated)


def order(plan: Plan, release: Release, inputs: Inputs) -> list[Shot]:
    """List the pictures to generate for a release: every name and template, and the controls."""
    prompts = plan.prompts
    with of_release(plan, release):
        return shots(
            plan.tested,
            placebos=inputs.placebos[release.name],
            rivals=inputs.rivals.get(release.name, ()),
            templates=prompts.templates,
            per_artist=prompts.per_artist,
            nameless=prompts.nameless,
            generic=prompts.generic,
            per_generic=prompts.per_generic,
            seed=plan.seed,
            equal_seeds=prompts.equal_seeds,
        )


def model_settings(run: Run, release: Release) -> ModelSettings:
    """Return the model of a release and its settings. Folders are relative to the plan."""
    from imindex.indexer.generate.generate import ModelSettings

    model = release.model
    if run.plan.at(model).is_dir():
        model = str(run.plan.at(model))
    settings = dict(release.settings)
    if "lora" in settings and run.plan.at(settings["lora"]).exists():
        settings["lora"] = str(run.plan.at(settings["lora"]))
    return ModelSettings(model=model, device=run.compute.device, **settings)


class Encoders:
    """The encoders of an audit. Each is loaded at most once, and not at all if nothing is to be encoded.

    Parameters
    ----------
    run : Run
    names : sequence of str
        The artists that a new index is going to name: an encoder that does not read them whole is refused.
    """

    def __init__(self, run: Run, names: Sequence[str] = ()):
        self._run = run
        self._names = list(dict.fromkeys(names))
        self._loaded: dict[str, Encoder] = {}

    def check(self, spec: EncoderSpec) -> None:
        """Load an encoder whose index does not exist yet. On a CPU it stays loaded; on a GPU its memory is freed.

        Raises
        ------
        ImindexError
            The encoder cannot be loaded.
        """
        from imindex.indexer.encoders.load import load

        run = self._run
        where = encoder_arguments(run.plan, spec)
        where["precision"] = encoding_precision(run, where["precision"])
        encoder = load(**where, device=encoding_device(run), batch_size=encoding_batch(run))
        self._check_new(encoder)
        if encoder.device.type == "cpu":
            self._loaded[spec.name] = encoder

    def of(self, spec: EncoderSpec, path: Path) -> LazyEncoder:
        """Return the encoder of an index, which is loaded when needed.

        It is loaded now for a new index, and if the index names another encoder than the plan.

        Raises
        ------
        ImindexError
            The encoder cannot be loaded, or another one made the index.
        """
        run = self._run
        if path.exists():
            with Index(path) as index:
                info = index.encoder
            load = functools.partial(load_planned, run, spec, path)
            encoder = LazyEncoder(load, encoding_batch(run) or self._default_size, info)
            if not is_as_planned(run.plan, spec, info):
                encoder.get()
            return encoder
        if spec.name in self._loaded:
            loaded = self._loaded.pop(spec.name)
            return LazyEncoder(lambda: loaded, encoding_batch(run) or self._default_size, loaded.info)
        named = encoder_arguments(run.plan, spec)
        named["precision"] = encoding_precision(run, named["precision"])
        lazy = encoder_for(path, **named, device=encoding_device(run), batch_size=encoding_batch(run))
        self._check_new(lazy.get())
        return lazy

    def _check_new(self, encoder: Encoder) -> None:
        """Say what a new encoder took from elsewhere and how many texts it cuts; refuse it if it cuts names."""
        run = self._run
        if taken := preprocess_note(encoder.info):
            run.show.note(taken)
        if encoder.has_text:
            labels, templates = run.plan.tests.labels, run.plan.label_templates
            if cut := check_label_lengths(encoder, self._names, labels, templates):
                run.show.note(cut.sentence(encoder.info.name()))

    def _default_size(self) -> int:
        from imindex.indexer.encoders.precision import default_batch_size

        return default_batch_size(self._run.compute.device)


def check_models(run: Run, inputs: Inputs, encoders: Encoders) -> set[str]:
    """Load every encoder and check every pipeline that is still needed, before pictures are generated.

    Returns
    -------
    set of str
        Releases with missing pictures.

    Raises
    ------
    ImindexError
        An encoder or a pipeline cannot be loaded.
    """
    generated = [release for release in run.plan.releases if release.model]
    if not generated:
        return set()  # encoding comes next anyway
    incomplete = [
        release
        for release in generated
        if any(
            missing_of(release, wanted, folder) for folder, wanted in orders(run, release, inputs).values()
        )
    ]
    if not incomplete:
        return set()
    with run.stage("check the models", len(run.plan.encoders) + len(incomplete)) as progress:
        done = 0
        for encoder in run.plan.encoders:
            if not run.workspace.index(encoder).exists():
                encoders.check(encoder)
            progress(done := done + 1, 0)
        for release in incomplete:
            check_pipeline(run, release)
            progress(done := done + 1, 0)
    return {release.name for release in incomplete}


def missing_of(release: Release, wanted: list[Shot], folder: Path) -> list[Shot]:
    """Return the pictures of a release that are still to be made."""
    from imindex.indexer.generate.generate import missing

    return missing_by_api(release, wanted, folder) if release.api else missing(wanted, folder)


def check_pipeline(run: Run, release: Release) -> None:
    """Check that the model of a release can be loaded with its settings, or that there is a key of its API."""
    if release.api:
        with of_release(run.plan, release):
            api_settings(release).key()
        return
    from imindex.indexer.generate.generate import check

    settings = model_settings(run, release)
    if run.cluster is not None:  # each pipeline checks it again on its own device
        settings = replace(settings, device="cpu", offload="none")
    with of_release(run.plan, release):
        check(settings)


@contextlib.contextmanager
def of_release(plan: Plan, release: Release) -> Iterator[None]:
    """Add the plan and the release to the message of an error."""
    try:
        yield
    except ImindexError as error:
        raise ImindexError(f"{plan.path}: {release.name}: {error}") from error


def make(run: Run, release: Release, inputs: Inputs, *, whole: bool = False) -> Made:
    """Generate the missing pictures of a release, or describe the pictures that the plan names.

    `whole` means that no picture is missing. The model is then not needed if its settings are unchanged.

    Raises
    ------
    ImindexError
        The model cannot be loaded, or the folder contains pictures of another model or of other settings.
    """
    if not release.model:
        items = inputs.made[release.name]
        blocked = inputs.blocked.get(release.name, ())
        made = Made(release, items, "", inputs.digests[release.name], {}, (), blocked)
        if release.requests:
            requests, digest = inputs.requests[release.name], inputs.digests[log_of(release.name)]
            made = replace(
                made, requests=requests, log=request_record(requests, digest, seeds="as the manifest says")
            )
        return replace(made, questions=_given(run, release, inputs))
    asked = orders(run, release, inputs)
    folder, wanted = asked.pop("")
    n_names = (
        len(run.plan.tested) + len(inputs.placebos[release.name]) + len(inputs.rivals.get(release.name, ()))
    )
    run.show.note(f"{release.name}: {len(wanted):,} pictures, of {n_names:,} names and control prompts.")
    with run.stage(f"generate {release.name}", len(wanted)) as progress:
        _generate(run, release, wanted, progress, whole=whole)
    made = _made(release, folder, wanted)
    if made.blocked:
        withheld = "refused or blocked" if release.api else "blocked"
        run.show.note(
            f"{release.name}: {len(made.blocked)} of {len(wanted)} pictures were {withheld}; the report lists them."
        )
    require_imitations(
        run.plan, release.name, made.items, blocked=len(made.blocked), some=made.log is not None
    )
    return replace(
        made,
        questions={
            **{
                key: _make_for_question(run, release, key, place, shots, whole=whole)
                for key, (place, shots) in asked.items()
            },
            **_given(run, release, inputs),
        },
    )


def _make_for_question(
    run: Run, release: Release, key: str, folder: Path, wanted: list[Shot], *, whole: bool
) -> Made:
    """Generate the missing pictures of a question."""
    collection = collection_of(release.name, key)
    run.show.note(f"{collection}: {len(wanted):,} pictures.")
    with run.stage(f"generate {collection}", len(wanted)) as progress:
        _generate(run, release, wanted, progress, whole=whole, folder=folder, collection=collection)
    return _made(release, folder, wanted, collection)


def _given(run: Run, release: Release, inputs: Inputs) -> dict[str, Made]:
    """Return the existing pictures of the questions."""
    made = {}
    for key, items in inputs.asked.get(release.name, {}).items():
        usable = tuple(item for item in items if not item.blocked)
        digest = inputs.digests[collection_of(release.name, key)]
        made[key] = Made(release, usable, "", digest, {}, (), blocked_of(run.plan, items))
    return made


def orders(run: Run, release: Release, inputs: Inputs) -> dict[str, tuple[Path, list[Shot]]]:
    """Return folders and the pictures to generate into them: by question, "" for the release itself."""
    folder = run.workspace.pictures(release)
    with of_release(run.plan, release):
        names = inputs.placebos[release.name], inputs.rivals.get(release.name, ())
        asked = question_shots(run.plan, release, *map(tuple, names))
    return {
        "": (folder, order(run.plan, release, inputs)),
        **{key: (question_folder(run.workspace, release, key), shots) for key, shots in asked.items()},
    }


def made_before(run: Run, release: Release, inputs: Inputs) -> Made:
    """Return the pictures of a release that an audit has made, without generating any.

    Raises
    ------
    ImindexError
        Pictures are missing.
    """
    if release.model:
        from imindex.indexer.generate.release_folder import missing_shots

        made: dict[str, Made] = {}
        for key, (folder, wanted) in orders(run, release, inputs).items():
            gone = missing_by_api(release, wanted, folder) if release.api else missing_shots(wanted, folder)
            if gone:
                raise ImindexError(
                    f"{folder} lacks {len(gone)} of the {len(wanted)} pictures of {release.name}. Restore them from a "
                    "backup, or run the audit again."
                )
            collection = collection_of(release.name, key) if key else ""
            made[key] = _made(release, folder, wanted, collection)
        return replace(made.pop(""), questions={**made, **_given(run, release, inputs)})
    return make(run, release, inputs)


def _generate(
    run: Run,
    release: Release,
    wanted: list[Shot],
    progress: Callable[[int, int], None],
    *,
    whole: bool,
    folder: Path | None = None,
    collection: str = "",
) -> None:
    from imindex.indexer.generate.generate import generate

    folder = folder or run.workspace.pictures(release)
    if release.api:
        with of_release(run.plan, release):
            ask_for(run, release, wanted, folder, collection or release.name, progress)
        return
    request = canonical_json({"model": release.model, **release.settings})
    record = folder / "asked.json"
    if whole and record.exists() and read_text(record) == request:
        progress(len(wanted), 0)
        return
    settings = model_settings(run, release)
    make_folder(folder, inside=run.workspace.folder)
    with pipelines_of(run, settings) as pipelines:
        generate(
            wanted,
            folder,
            settings,
            release=collection or release.name,
            batch_size=run.compute.generate_batch,
            command=run.command,
            pipelines=pipelines,
            progress=progress,
        )
    write_file(record, request.encode())


def _made(release: Release, folder: Path, shots: list[Shot], collection: str = "") -> Made:
    if release.api:
        return made_by_api(release, folder, shots, collection or release.name)
    wanted = {shot.path for shot in shots}
    manifest = folder / "manifest.jsonl"
    rows = [parse_json(line) for line in split_lines(read_text(manifest))]
    rows = [row for row in rows if row["path"] in wanted]
    blocked = {row["path"]: row for row in rows if row["blocked"]}
    paths = {os.path.normpath(folder / path) for path in wanted - blocked.keys()}
    items = tuple(
        replace(item, collection=collection or release.name)
        for item in find([manifest])
        if os.path.normpath(item.path) in paths
    )
    if len(items) != len(paths):
        raise ImindexError(
            f"{manifest} lists {len(items)} of the {len(paths)} pictures, so it has changed since it was written. "
            "Delete it and run the audit again."
        )
    about = parse_json(read_text(folder / "release.json"))
    return Made(
        release=release,
        items=items,
        revision=about["revision"],
        digest=json_digest(
            {
                row["path"]: [row["sha256"], row["blocked"]] if row["blocked"] else row["sha256"]
                for row in rows
            }
        ),
        settings=about["settings"],
        text_encoders=tuple(about["text_encoders"]),
        blocked=tuple(
            BlockedPicture(path=path, prompt=row["prompt"], reason=row["blocked"])
            for path, row in blocked.items()
        ),
    )
