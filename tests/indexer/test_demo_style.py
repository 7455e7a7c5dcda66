"""The style encoder that comes with imindex: its card, its files, and `--model demo-style`."""

from __future__ import annotations

import hashlib
import json
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.preprocess import decode
from imindex.indexer.demo import artists
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.registry import STYLE_MODEL, name_for
from tests.support.pictures import encoded
from tests.support.places import ROOT

FOLDER = ROOT / "indexer" / "demo" / "style"
WEIGHTS = FOLDER / "model.safetensors"
CARD = " ".join((FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load(STYLE_MODEL, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def drawn() -> tuple[list[bytes], np.ndarray]:
    """Works of six invented artists, five each, from seeds that the training did not use."""
    names = artists.NAMES[::4]
    pictures = [
        encoded(artists.draw(name, seed=seed, size=96), "PNG") for name in names for seed in range(700, 705)
    ]
    return pictures, np.repeat(np.arange(len(names)), 5)


def pixels_of(encoder: Encoder, pictures: list[bytes]) -> torch.Tensor:
    return torch.stack([decode(data, encoder.preprocess).pixels for data in pictures])


class TestFiles:
    def test_card_says_what_the_file_says(self) -> None:
        from safetensors.torch import load_file

        data = WEIGHTS.read_bytes()
        assert hashlib.sha256(data).hexdigest() in CARD
        assert f"{len(data) / 1e6:.1f} MB" in CARD
        tensors = load_file(WEIGHTS)
        learned = [key for key in tensors if "running_" not in key and "num_batches" not in key]
        assert f"{sum(tensors[key].numel() for key in learned) / 1e6:.1f} million parameters" in CARD
        assert {tensors[key].dtype for key in learned} == {torch.float16}

    def test_file_is_small(self) -> None:
        assert WEIGHTS.stat().st_size <= 12_000_000

    def test_card_says_what_the_configuration_says(self) -> None:
        config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
        size = config["pretrained_cfg"]["input_size"][1]
        assert f"`{config['architecture']}`" in CARD
        assert f"{config['num_features']} numbers at {size} px" in CARD

    def test_card_has_the_comparison_on_unseen_designers(self) -> None:
        rows = re.findall(r"\| 70 designers unseen by both \| (\d+) \| [\d,]+ \| (\w+) \|", CARD)
        assert rows == [("70", "mAP"), ("70", "AUC")]


class TestEncoder:
    def test_is_known_by_name(self, encoder: Encoder) -> None:
        assert name_for(STYLE_MODEL) == "timm"
        assert encoder.info.model == STYLE_MODEL == "demo-style"
        assert encoder.info.config["backend"] == "timm"
        assert not encoder.has_text
        assert str(ROOT) not in json.dumps(encoder.info.config)

    def test_an_index_that_names_it_needs_no_trust(self, encoder: Encoder) -> None:
        assert (
            load_as(encoder.info, device="cpu", trust=False).info.weights_sha256
            == encoder.info.weights_sha256
        )

    def test_is_recognised_as_a_demonstration(self, encoder: Encoder) -> None:
        assert is_demonstration(encoder.info.weights_sha256)

    def test_refuses_other_weights(self) -> None:
        with pytest.raises(ImindexError, match=r"demo-style, which brings its weights"):
            load(STYLE_MODEL, str(WEIGHTS), device="cpu")

    def test_has_no_text_side(self, encoder: Encoder) -> None:
        with pytest.raises(ImindexError, match="text"):
            encoder.encode_texts(["Artwork"])

    def test_vectors_are_unit_and_timms_own(
        self, encoder: Encoder, drawn: tuple[list[bytes], np.ndarray]
    ) -> None:
        import timm
        from safetensors.torch import load_file
        from timm.data import create_transform, resolve_data_config

        config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
        network = timm.create_model(config["architecture"], num_classes=0, **config["model_args"]).eval()
        network.load_state_dict(load_file(WEIGHTS))
        transform = create_transform(**resolve_data_config(pretrained_cfg=config["pretrained_cfg"]))
        pictures = drawn[0][::5]
        vectors = encoder.encode_images(pixels_of(encoder, pictures)).astype(np.float64)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
        assert vectors.shape[1] == config["num_features"]
        with torch.inference_mode():
            inputs = torch.stack([transform(Image.open(BytesIO(data)).convert("RGB")) for data in pictures])
            own = network(inputs).double().numpy()
        cosines = (vectors * own).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(vectors, axis=1)
        assert cosines.min() > 0.9999

    def test_tells_invented_artists_better_than_chance(
        self, encoder: Encoder, drawn: tuple[list[bytes], np.ndarray]
    ) -> None:
        pictures, makers = drawn
        vectors = encoder.encode_images(pixels_of(encoder, pictures)).astype(np.float64)
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -2)
        nearest = makers[cosines.argmax(1)] == makers
        assert nearest.mean() > 0.6  # chance is 4 / 29; 12 of 30 by chance has probability 3e-4

    def test_builds_and_matches(self, tmp_path: Path, drawn: tuple[list[bytes], np.ndarray]) -> None:
        for number, (data, maker) in enumerate(zip(*drawn, strict=True)):
            path = (
                tmp_path
                / "art"
                / ("works" if number % 5 < 3 else "imitations/final")
                / f"artist {maker}"
                / f"{number}.png"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        index = tmp_path / "style.h5"
        report = imindex.build(tmp_path / "art", index, model=STYLE_MODEL, device="cpu", precision="fp32")
        assert report.rows == 30
        with imindex.open(index) as opened:
            auc = [artist.auc for artist in opened.match().artists]
        assert len(auc) == 6
        assert np.mean(auc) > 0.8  # the "imitations" are further works of the same artist
