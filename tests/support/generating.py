"""Helpers for tests of `indexer.generate`: tiny pipelines loaded once, prompts, and the generated files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imindex.indexer.generate import pipeline as generate_pipeline
from imindex.indexer.generate.generate import ModelSettings, Report, generate
from imindex.indexer.generate.prompts import Shot, shots
from tests.support.pipelines import SIZE

ASKED = shots(["Ada", "Bo"], placebos=["Cy"], per_artist=3, nameless=2, generic=["A tree"], per_generic=1)


def load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep loaded pipelines between runs, to save time."""
    load = generate_pipeline._load

    def kept(found: Any, model: ModelSettings) -> Any:
        key = (
            found.description.revision,
            found.description.scheduler,
            found.description.settings.dtype,
        )
        if model.lora or found.variant or "copy" in str(found.folder):
            return load(found, model)
        return LOADED[key] if key in LOADED else LOADED.setdefault(key, load(found, model))

    monkeypatch.setattr(generate_pipeline, "_load", kept)


LOADED: dict[tuple[str, ...], Any] = {}


def maker(model: Callable[[str], Path], tmp_path: Path) -> Callable[..., Report]:
    """Return a function that generates into the test's folder, with two steps per picture, on the CPU."""

    def run(
        out: str, asked: list[Shot] = ASKED, *, kind: str = "sd", batch_size: int = 4, **settings: Any
    ) -> Report:
        progress = settings.pop("progress", lambda done, made: None)
        settings = {"steps": 2, "device": "cpu", "model": str(model(kind)), **settings}
        return generate(
            asked,
            tmp_path / out,
            ModelSettings(**settings),
            release="r",
            batch_size=batch_size,
            progress=progress,
        )

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def pixels(folder: Path, shot: Shot) -> np.ndarray:
    return np.asarray(Image.open(folder / shot.path)).astype(int)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_bytes().split(b"\n")[:-1]]


class Stub:
    """The common interface of diffusers' pipelines, wrapping a real one or replacing it."""

    components: dict = {}  # noqa: RUF012
    default_sample_size, vae_scale_factor = 4, 8

    def __init__(self, pipe: Any, most: int = 99, *, plain: bool = False, says: str = "CUDA out of memory"):
        self.pipe, self.most, self.plain, self.says = pipe, most, plain, says

    def __call__(self, **asked: Any) -> Any:
        if len(asked["prompt"]) > self.most:
            raise torch.OutOfMemoryError(self.says) if "CUDA" in self.says else RuntimeError(self.says)
        output = self.pipe(**asked)
        if self.plain:
            output.images[0] = Image.new("RGB", (SIZE, SIZE), (7, 8, 9))
        return output


def wrap(monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    load = generate_pipeline._load
    monkeypatch.setattr(generate_pipeline, "_load", lambda found, model: Stub(load(found, model), **how))
