"""A diffusers pipeline -> pictures and their manifest: what is missing is made, and what was made is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imindex.indexer.generate import model_settings as generate_model
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.generate.pipeline import Pipeline
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.generate.release_folder import Folder, check_space, locked, missing_shots
from imindex.indexer.generate.resolve_model import find

__all__ = ["ModelSettings", "Report", "check", "describe", "generate", "measure", "missing"]


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes
    ----------
    folder, release : str
    made, there : int
        Pictures that were made, and that were there already.
    names : int
        Distinct names asked for.
    blocked : tuple of dict
        Pictures that the safety filter took away or that are all one colour, of those asked for: path, prompt, reason.
    others : int
        Pictures of earlier runs in the folder that this run did not ask for; the manifest keeps them.
    batch_size : int
        At the end: it is halved when memory runs out. 0 where nothing was made.
    seconds : float
        Of making pictures; loading the model is not in it.
    notes : tuple of str
    """

    folder: str
    release: str
    made: int
    there: int
    names: int
    blocked: tuple[dict[str, str], ...]
    others: int
    batch_size: int
    seconds: float
    notes: tuple[str, ...]


def generate(
    shots: Sequence[Shot],
    out: Path,
    model: ModelSettings,
    *,
    release: str = "",
    batch_size: int | None = None,
    command: str = "",
    progress: Callable[[int, int], None] = lambda done, made: None,
) -> Report:
    """Make pictures, each from its own seed; what is there already is not made again.

    Every batch has the same shape, the last one filled up with repeats. At one batch size a picture is then the same
    bit by bit whatever else is in its batch, so in any subset, order, or after any stop. Between batch sizes of 1 to 8
    the pipelines of our tests differ by 1e-6 before rounding, by at most one of 255 grey levels after it. Other
    devices, dtypes and versions of torch make slightly different pictures.

    Parameters
    ----------
    shots : sequence of Shot
    out : Path
        The release's folder: pictures, `manifest.jsonl` (one line a picture, as `imindex build` reads it) and
        `release.json`. A picture is there if its line is, and its bytes have the line's SHA-256.
    model : ModelSettings
    release : str
        The collection of the pictures; the folder's name unless given.
    batch_size : int, optional
        Pictures in one pass. Unless given it goes by their size: 512 x 512 by 8 on CUDA and singly on a CPU. Halved
        when memory runs out.
    command : str
        The command line, for whoever finds the folder in use.
    progress : callable
        Is told, after each batch, how many pictures are done and how many were made so far.

    Returns
    -------
    Report

    Raises
    ------
    ImindexError
        The model cannot be loaded or does not take a setting; the folder holds another release; no space; memory does
        not suffice for a single picture.
    """
    out = Path(out)
    release = release or out.resolve().name
    found = find(model)
    with locked(out, command) as killed:
        folder = Folder(out, release, found.line())
        folder.refuse_other({"release": release, **found.about})
        done = folder.done(shots)
        left = [shot for shot in shots if shot.path not in done]
        started, size, notes = time.monotonic(), 0, [killed]
        if left:
            pipeline = Pipeline(found, model, batch_size)
            notes += [check_space(out, len(left), pipeline.width * pipeline.height), pipeline.too_long(left)]
            started = time.monotonic()
            made = 0
            progress(len(done), made)
            try:
                for shot, image, blocked in pipeline.ask(left):
                    folder.add(shot, image, blocked)
                    made += 1
                    progress(len(done) + made, made)
            finally:
                folder.close()
            size = pipeline.batch_size
        seconds = time.monotonic() - started
        lines = folder.finish(shots)
        return Report(
            folder=str(out),
            release=release,
            made=len(left),
            there=len(done),
            names=len({shot.artist for shot in shots if shot.artist}),
            blocked=tuple(
                {"path": line["path"], "prompt": line["prompt"], "reason": line["blocked"]}
                for line in lines
                if line["blocked"]
            ),
            others=folder.count() - len(lines),
            batch_size=size,
            seconds=seconds,
            notes=tuple(note for note in notes if note),
        )


def missing(shots: Sequence[Shot], out: Path) -> list[Shot]:
    """Those that `generate` would make: their picture is not there, whole, with its line in the manifest."""
    return missing_shots(shots, Path(out))


def measure(shots: Sequence[Shot], model: ModelSettings, *, batch_size: int | None = None) -> float:
    """Make one batch of pictures, write nothing, and say how many seconds a picture takes.

    A first batch warms up and is not counted, unless it takes more than 30 seconds. Loading the model is not in it.
    """
    found = find(model)
    pipeline = Pipeline(found, model, batch_size)
    seconds = 0.0
    for _ in range(2):
        batch = list(shots[: pipeline.batch_size])
        started = time.monotonic()
        batch = [shot for shot, _, _ in pipeline.ask(batch)]
        seconds = (time.monotonic() - started) / max(1, len(batch))
        if seconds * len(batch) > 30:
            break
    return seconds


def describe(model: ModelSettings) -> dict[str, Any]:
    """Say what a model is and how it would be asked; its weights are digested, but not loaded.

    A model of the hub is downloaded.

    Returns
    -------
    dict
        As in `release.json`: model, revision, pipeline, scheduler, lora, settings, text_encoders, versions.

    Raises
    ------
    ImindexError
        As `generate` does.
    """
    return find(model).about


def check(model: ModelSettings) -> dict[str, Any]:
    """Do as `describe`, and see that every file of weights is there and whole.

    Raises
    ------
    ImindexError
    """
    found = find(model)
    generate_model.check_weights(found.folder, found.index, found.variant)
    return found.about
