"""A pipeline in a process of a cluster: it says what it is, loads the model, and makes batches of pictures."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import program
from imindex.indexer.generate.model_description import ModelDescription
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.generate.release_folder import PictureFile, picture_file
from imindex.indexer.runners.workers import end_process
from imindex.indexer.system.locks import process_identity

_PROBE = Shot("generic", "", "A lighthouse", 0, "A lighthouse", 20_231_101, "probe.png")


@dataclass(frozen=True)
class Failure:
    """What a worker returns in place of a result: an error for the user, that other workers would have, too."""

    message: str


@dataclass(frozen=True)
class About:
    """What a worker is, before it loads the model.

    Attributes
    ----------
    pid : int
    identity : str
        Of the process (`imindex.indexer.system.locks.process_identity`).
    description : ModelDescription
        With a digest of the weights.
    versions : tuple of str
        Of what the bytes of a picture depend on besides.
    computes_on : str
        The kind of processor.
    """

    pid: int
    identity: str
    description: ModelDescription
    versions: tuple[str, ...]
    computes_on: str


@dataclass(frozen=True)
class Loaded:
    """A worker with its model.

    Attributes
    ----------
    batch_size, width, height : int
    probe : str
        SHA-256 of a picture that every worker makes.
    """

    batch_size: int
    width: int
    height: int
    probe: str


@dataclass(frozen=True)
class Picture:
    """One picture of a batch: its file, and why it is blocked, if it is."""

    file: PictureFile
    blocked: str | None


class PipelineWorker:
    """Makes pictures with one pipeline.

    Parameters
    ----------
    model : ModelSettings
        Its folder is read on this machine.
    threads : int
        Processors, for a pipeline without a GPU.
    """

    def __init__(self, model: ModelSettings, threads: int):
        if model.device == "cpu":
            import torch

            torch.set_num_threads(threads)
        self._model = model
        self._pipeline: Any = None
        self._common: Mapping[str, Any] = {}

    def ping(self) -> int:
        """Return the number of the process."""
        return os.getpid()

    def end(self, pid: int, identity: str) -> bool:
        """End another process of this machine that was lost, also a stopped one."""
        return end_process(pid, identity)

    def about(self) -> About | Failure:
        """Find the model on this machine, and digest its weights."""
        import PIL
        import torch
        from PIL import features

        from imindex.indexer.generate.resolve_model import resolve

        try:
            description = resolve(self._model).description
        except ImindexError as error:
            return Failure(str(error))
        codec = features.version("zlib") or zlib.ZLIB_RUNTIME_VERSION
        versions = (program(), f"pillow {PIL.__version__}", f"zlib {codec}", f"torch {torch.__version__}")
        return About(
            os.getpid(),
            process_identity(os.getpid()),
            description,
            versions,
            _computes_on(self._model.device),
        )

    def load(self, batch_size: int | None, common: Mapping[str, Any]) -> Loaded | Failure:
        """Load the model, and make the picture by which pipelines are compared.

        Parameters
        ----------
        batch_size : int, optional
        common : mapping
            The fields that all lines of the manifest share.
        """
        from imindex.indexer.generate.pipeline import Pipeline
        from imindex.indexer.generate.resolve_model import resolve

        try:
            self._pipeline = Pipeline(resolve(self._model), self._model, batch_size, may_halve=False)
            self._common = common
            ((_, image, _),) = self._pipeline.generate([_PROBE])
        except ImindexError as error:
            return Failure(str(error))
        probe = hashlib.sha256(image.tobytes()).hexdigest()
        pipeline = self._pipeline
        return Loaded(pipeline.batch_size, pipeline.width, pipeline.height, probe)

    def prompts(self, shots: Sequence[Shot]) -> str | Failure:
        """Return a note on prompts that are too long for the model."""
        try:
            note: str = self._pipeline.note_on_long_prompts(shots)
            return note
        except ImindexError as error:
            return Failure(str(error))

    def make(self, shots: Sequence[Shot]) -> list[Picture] | Failure:
        """Make one batch; the pictures are returned as files."""
        try:
            return [
                Picture(picture_file(image, shot, self._common), blocked)
                for shot, image, blocked in self._pipeline.generate(shots)
            ]
        except ImindexError as error:
            return Failure(str(error))


def _computes_on(device: str) -> str:
    import torch

    if device != "cpu":
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name} sm_{properties.major}{properties.minor}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def on_device(model: ModelSettings, gpus: float) -> ModelSettings:
    """Return the settings of a worker: it sees only its own GPU, or none."""
    return replace(model, device="cuda" if gpus else "cpu")
