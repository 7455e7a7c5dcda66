"""The timm back end, against timm's own transform and forward pass; weights that do not fit, and hostile folders."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
import timm.data
import torch
from PIL import Image

from imindex.indexer.decode.preprocess import Preprocess, decode
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.timm import preprocessing
from imindex.indexer.encoders.torch_encoder import weights_digest
from tests.support.timm_folders import DATA, SMALL, save

PICTURES = ((90, 90), (150, 80), (70, 133), (64, 64))
"""Width and height."""
WAYS: list[dict[str, Any]] = [
    {},
    {"crop_pct": 0.9},
    {"crop_pct": 0.875, "interpolation": "bilinear"},
    {"crop_mode": "squash"},
    {"crop_mode": "squash", "crop_pct": 0.9},
    {"crop_mode": "border", "mean": [0.5, 0.5, 0.5]},
]


def files() -> list[bytes]:
    """Pictures with structure at several scales, as PNG and JPEG."""
    noise = np.random.default_rng(5)
    found = []
    for kind in ("PNG", "JPEG"):
        for width, height in PICTURES:
            coarse = Image.fromarray(noise.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
                (width, height)
            )
            pixels = np.asarray(coarse).astype(int) + noise.integers(-30, 31, (height, width, 3))
            buffer = io.BytesIO()
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, kind, quality=95)
            found.append(buffer.getvalue())
    return found


FILES = files()


def theirs(model: torch.nn.Module, data: dict[str, Any], precision: str = "fp32") -> npt.NDArray[np.float64]:
    """The normalised features that timm computes of the pictures by its transform and its network."""
    transform = timm.data.create_transform(**data, is_training=False)
    pixels = torch.stack([transform(Image.open(io.BytesIO(one)).convert("RGB")) for one in FILES])
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    with torch.inference_mode():
        features = model.to(dtype)(pixels.to(dtype)).double().numpy()
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def ours(encoder: Encoder) -> npt.NDArray[np.float64]:
    """The vectors of the pictures, as a build computes them."""
    pixels = torch.stack([decode(one, encoder.preprocess).pixels for one in FILES])
    return encoder.encode_images(pixels).astype(np.float64)


def agree(mine: npt.NDArray[np.float64], timms: npt.NDArray[np.float64]) -> None:
    """Check every cosine, and that the cosines between pictures are far smaller, so that the check can fail."""
    cosines = mine @ timms.T / np.linalg.norm(mine, axis=1, keepdims=True)
    assert cosines.diagonal().min() >= 0.9999, cosines.diagonal()
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    assert others.min() < 0.99, others.min()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a small network, which is written once."""
    root = tmp_path_factory.mktemp("networks")

    def folder(architecture: str, **data: Any) -> Path:
        name = "-".join([architecture, *(str(value) for value in data.values())]).replace("/", "_")
        return root / name if (root / name).exists() else save(root / name, architecture, data=data)

    return folder


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", SMALL)
def test_vectors_are_those_of_timm(architecture: str, precision: str, folders: Callable[..., Path]) -> None:
    folder = folders(architecture, crop_pct=0.9)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    data = timm.data.resolve_model_data_config(model)
    encoder = load(f"timm:local-dir:{folder}", device="cpu", precision=precision)
    assert encoder.info.weights_sha256 == weights_digest(model)
    assert encoder.dim == model.num_features and not encoder.has_text
    assert encoder.info.config["architecture"] == architecture and encoder.info.config["backend"] == "timm"
    agree(ours(encoder), theirs(model, data, precision))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())) or "plain")
@pytest.mark.parametrize("size", [(64, 64), (96, 64), (48, 80)])
def test_pictures_are_prepared_as_timm_does(way: dict[str, Any], size: tuple[int, int]) -> None:
    data = {**DATA, **way, "input_size": (3, *size)}
    preprocess = preprocessing("timm:x", data, size)
    assert Preprocess.from_dict(preprocess.as_dict()) == preprocess
    transform = timm.data.create_transform(**data, is_training=False)
    mean, std = (torch.tensor(data[key]).reshape(3, 1, 1) for key in ("mean", "std"))
    for one in FILES:
        expected = transform(Image.open(io.BytesIO(one))) * std + mean
        got = decode(one, preprocess).pixels
        assert got.shape == expected.shape == (3, *size)
        off = (got.float() - expected * 255).abs()
        assert (
            off > 1.01
        ).float().mean() < 0.02 and off.mean() < 0.6  # JPEG decoders and rounding differ a little
