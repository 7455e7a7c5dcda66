"""Generate the missing pictures of a release with a diffusers pipeline, and write their manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imindex.indexer.generate import model_settings
from imindex.indexer.generate.model_description import ModelDescription
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.generate.pipeline import Pipeline
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.generate.release_folder import Folder, PictureFile, check_space, locked, missing_shots
from imindex.indexer.generate.resolve_model import resolve

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ModelSettings", "Report", "check", "describe", "generate", "measure", "missing"]


@dataclass(frozen=True)
class Blocked:
    """A picture that the safety filter removed or that has a single colour."""

    path: str
    prompt: str
    reason: str


@dataclass(frozen=True)
class Report:
    """Result of a run.

    Attributes
    ----------
    folder, release : str
    made, there : int
        Pictures made by this run, and pictures already present.
    names : int
        Distinct names among the requested pictures.
    blocked : tuple of Blocked
        Requested pictures that the safety filter removed or that have a single colour.
    others : int
        Pictures of earlier runs in the folder that this run did not request; the manifest keeps them.
    batch_size : int
        The final batch size; it is halved when memory runs out. 0 if nothing was made.
    seconds : float
        Time to make the pictures, without loading the model.
    notes : tuple of str
    """

    folder: str
    release: str
    made: int
    there: int
    names: int
    blocked: tuple[Blocked, ...]
    others: int
    batch_size: int
    seconds: float
    notes: tuple[str, ...]


class Pipelines(Protocol):
    """Where pictures are made. Whoever creates it closes it."""

    @property
    def batch_size(self) -> int:
        """Pictures per forward pass, once the model is loaded."""

    @property
    def width(self) -> int:
        """Of a picture, in pixels."""

    @property
    def height(self) -> int:
        """Of a picture, in pixels."""

    def describe(self) -> ModelDescription:
        """Describe the model; its weights need not be loaded."""

    def load(self, shots: Sequence[Shot], batch_size: int | None) -> str:
        """Load the model; return a note on prompts that are too long."""

    def generate(self, shots: Sequence[Shot]) -> Iterable[tuple[Shot, Image | PictureFile, str | None]]:
        """Make pictures, in any order; yield each with the reason if it is blocked."""


class LocalPipeline:
    """One pipeline, in this process."""

    def __init__(self, model: ModelSettings):
        self._model = model
        self._resolved = resolve(model)
        self._pipeline: Pipeline | None = None
        self.width = self.height = 0

    @property
    def batch_size(self) -> int:
        """The batch size, which is halved when memory runs out; 0 before the model is loaded."""
        return self._pipeline.batch_size if self._pipeline else 0

    def describe(self) -> ModelDescription:
        """Describe the model."""
        return self._resolved.description

    def load(self, shots: Sequence[Shot], batch_size: int | None) -> str:
        """Load the model."""
        self._pipeline = pipeline = Pipeline(self._resolved, self._model, batch_size)
        self.width, self.height = pipeline.width, pipeline.height
        return pipeline.note_on_long_prompts(shots)

    def generate(self, shots: Sequence[Shot]) -> Iterable[tuple[Shot, Image, str | None]]:
        """Make pictures, in the order of the shots."""
        assert self._pipeline is not None
        return self._pipeline.generate(shots)


def generate(  # noqa: PLR0913
    shots: Sequence[Shot],
    out: Path,
    model: ModelSettings,
    *,
    release: str = "",
    batch_size: int | None = None,
    command: str = "",
    pipelines: Pipelines | None = None,
    progress: Callable[[int, int], None] = lambda done, made: None,
) -> Report:
    """Generate the pictures that are missing in a folder, each from its own seed.

    Every batch has the same shape; the last one is padded with repeats. For a given batch size a picture is therefore
    identical bit for bit whatever else is in its batch: in any subset, in any order, and after any interruption.
    Between batch sizes of 1 to 8, the pipelines of our tests differ by 1e-6 before rounding and by at most one of 255
    grey levels after it. Other devices, dtypes and versions of torch give slightly different pictures.

    A single missing picture is made in a whole batch, too. Alone it would cost less, but its bits could differ, because
    a product of matrices adds in another order for another batch: of 8 pictures of the demonstration's model (fp32,
    CPU) made alone, 6 to 7 have one to three values that differ by one grey level from those made 8 at a time.

    Parameters
    ----------
    shots : sequence of Shot
        The pictures to generate.
    out : Path
        The folder of the release: pictures, `manifest.jsonl` (one line per picture, read by `imindex build`) and
        `release.json`. A picture is present if the manifest has its line and its bytes have the SHA-256 of that line.
    model : ModelSettings
    release : str
        The collection of the pictures, by default the name of the folder.
    batch_size : int, optional
        Pictures per forward pass. The default depends on their size: 8 pictures of 512 x 512 on CUDA, 1 on a CPU.
        Halved when memory runs out.
    command : str
        The command line, shown to another process that finds the folder in use.
    pipelines : Pipelines, optional
        Where the pictures are made; by default, by one pipeline in this process.
    progress : callable
        Called after each batch with the number of pictures done and the number made so far.

    Returns
    -------
    Report

    Raises
    ------
    ImindexError
        If the model cannot be loaded or does not accept a setting, the folder holds another release, the disk is full,
        or there is not enough memory for a single picture.
    """
    out = Path(out)
    release = release or out.resolve().name
    makers: Pipelines = pipelines or LocalPipeline(model)
    description = makers.describe()
    with locked(out, command) as lock_note:
        folder = Folder(out, release, description.manifest_fields())
        folder.refuse_other({"release": release, **description.to_dict()})
        done = folder.done(shots)
        left = [shot for shot in shots if shot.path not in done]
        started, size, notes = time.monotonic(), 0, [lock_note]
        if left:
            folder.begin(shots)
            progress(len(done), 0)
            about_prompts = makers.load(left, batch_size)
            notes += [check_space(out, len(left), makers.width * makers.height), about_prompts]
            started = time.monotonic()
            made = 0
            progress(len(done), made)
            try:
                for shot, picture, blocked in makers.generate(left):
                    folder.add(shot, picture, blocked)
                    made += 1
                    progress(len(done) + made, made)
            finally:
                folder.close()
            size = makers.batch_size
        seconds = time.monotonic() - started
        lines = folder.finish(shots)
        return Report(
            folder=str(out),
            release=release,
            made=len(left),
            there=len(done),
            names=len({shot.artist for shot in shots if shot.artist}),
            blocked=tuple(
                Blocked(line["path"], line["prompt"], line["blocked"]) for line in lines if line["blocked"]
            ),
            others=folder.count() - len(lines),
            batch_size=size,
            seconds=seconds,
            notes=tuple(note for note in notes if note),
        )


def missing(shots: Sequence[Shot], out: Path) -> list[Shot]:
    """Return the shots that `generate` would make: those without a complete picture and its line in the manifest."""
    return missing_shots(shots, Path(out))


def measure(shots: Sequence[Shot], model: ModelSettings, *, batch_size: int | None = None) -> float:
    """Generate one batch without writing it, and return the seconds per picture.

    A first batch warms up and is not counted, unless it takes more than 30 seconds. The time to load the model is
    excluded.
    """
    resolved = resolve(model)
    pipeline = Pipeline(resolved, model, batch_size)
    seconds = 0.0
    for _ in range(2):
        batch = list(shots[: pipeline.batch_size])
        started = time.monotonic()
        batch = [shot for shot, _, _ in pipeline.generate(batch)]
        seconds = (time.monotonic() - started) / max(1, len(batch))
        if seconds * len(batch) > 30:
            break
    return seconds


def describe(model: ModelSettings) -> ModelDescription:
    """Describe a model and its settings. Its weights are digested, but not loaded.

    A model on the hub is downloaded.

    Returns
    -------
    ModelDescription

    Raises
    ------
    ImindexError
        As in `generate`.
    """
    return resolve(model).description


def check(model: ModelSettings) -> ModelDescription:
    """Describe a model as `describe` does, and check that every weights file exists and is complete.

    Raises
    ------
    ImindexError
        If the model cannot be used, or a weights file is missing or truncated.
    """
    resolved = resolve(model)
    model_settings.check_weights(resolved.folder, resolved.index, resolved.variant)
    return resolved.description
