"""Small real things to test with: an open_clip model with random weights, folders of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
import transformers
from PIL import Image
from precision import CHOICES, VARIABLE, force

from indexer.encoder import Encoder, default_precision, load

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    text = f"What --precision auto resolves to on the CPU, whatever the processor is (default: ${VARIABLE})."
    parser.addoption("--precision-auto", choices=CHOICES, help=text)


def pytest_configure(config: pytest.Config) -> None:
    force(config.getoption("--precision-auto"))


def pytest_report_header() -> str:
    return f"precision auto on the CPU: {default_precision(torch.device('cpu'))}"


def save_model(folder: Path, seed: int = 0, config: dict = TINY) -> Path:
    """Write an open_clip `local-dir` with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a tiny model with random weights, as `--model` takes it."""
    return f"local-dir:{save_model(tmp_path_factory.mktemp('model'))}"


@pytest.fixture(scope="session")
def tiny_encoder(tiny_model: str) -> Encoder:
    return load(tiny_model, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Two threads wait for each other more than they compute on tiny models, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pipelines from one run to the next; nothing but the time of the tests depends on it."""
    from generating import load_once

    load_once(monkeypatch)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a pipeline of a kind, made once."""
    from pipelines import save_pipeline

    folder = tmp_path_factory.mktemp("models")

    def made(kind: str) -> Path:
        if kind == "sd3" and int(transformers.__version__.partition(".")[0]) < 5:
            pytest.skip("the tokenizer of this tiny pipeline is made with transformers 5")
        return folder / kind if (folder / kind).exists() else save_pipeline(folder / kind, kind=kind)

    return made


@pytest.fixture
def make(model: Callable[[str], Path], tmp_path: Path) -> Callable[..., Any]:
    """Return a function that generates into a folder of the test's, two steps a picture, on the CPU."""
    from generating import maker

    return maker(model, tmp_path)


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A picture with structure: random coarse blocks under noise."""
    rng = np.random.default_rng(seed)
    width, height = size
    coarse = rng.integers(0, 256, (4, 4, 3)).repeat(-(-height // 4), 0).repeat(-(-width // 4), 1)
    noise = rng.integers(-20, 21, (height, width, 3))
    return Image.fromarray((coarse[:height, :width] + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def works(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that draws a tree of pictures below the test's folder."""

    def draw(layout: dict[str, int], root: str = "art", first_seed: int = 0) -> Path:
        seed = first_seed
        for folder, count in layout.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(seed).save(tmp_path / root / folder / f"{number:03d}.png")
                seed += 1
        return tmp_path / root

    return draw


@pytest.fixture(scope="session")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index file of each kind, approximate and exact, over the same vectors; not to be changed."""
    from approximate import one_of_each

    return one_of_each(tmp_path_factory.mktemp("optimized"))
