"""The back end for transformers: vectors equal to the library's own, and refusals."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imindex.indexer.decode.preprocess import decode
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.precision import PRECISIONS
from imindex.indexer.encoders.transformers import FAMILIES
from tests.support.pictures import encoded, picture
from tests.support.vision_towers import TOWERS, own_vector, save_tower

PICTURES = {
    "wide jpeg": encoded(picture(1, (200, 160)), "JPEG", quality=92),
    "tall png": encoded(picture(2, (61, 90)), "PNG"),
    "small png": encoded(picture(3, (23, 31)), "PNG"),
}
"""Files whose sides give odd margins, even ones, and one that is enlarged."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("towers")
    return {kind: save_tower(base / kind, kind) for kind in TOWERS}


def vectors(encoder: Encoder) -> dict[str, np.ndarray]:
    """Return the vectors of `PICTURES`, prepared as a build prepares them."""
    pixels = torch.stack([decode(data, encoder.preprocess).pixels for data in PICTURES.values()])
    found = encoder.encode_images(pixels).astype(np.float64)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=2e-3)
    return dict(zip(PICTURES, found, strict=True))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", TOWERS)
def test_vectors_equal_the_librarys_own(kind: str, precision: str, folders: dict[str, Path]) -> None:
    encoder = load(f"transformers:{folders[kind]}", device="cpu", precision=precision, color="as-encoded")
    found = vectors(encoder)
    for name, data in PICTURES.items():
        own = own_vector(folders[kind], kind, Image.open(io.BytesIO(data)), PRECISIONS[precision])
        print(kind, precision, name, cosine(found[name], own))
        assert cosine(found[name], own) >= 0.9999, name
    first, second, _ = found.values()
    assert cosine(first, second) < 0.99  # the weights tell pictures apart
    assert not encoder.has_text and encoder.info.config["pooling"] == FAMILIES[kind].pooling
