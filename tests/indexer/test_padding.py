"""Batches that are not full: their vectors depend neither on their length nor on the number of threads."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.padding import encode_padded, padded_length
from tests.support.builds import Counting

BATCH = 32


@pytest.fixture(scope="module")
def demo() -> Encoder:
    return load("demo", device="cpu", precision="fp32", batch_size=BATCH)


@pytest.fixture(scope="module")
def pixels(demo: Encoder) -> torch.Tensor:
    size = (BATCH, 3, *demo.preprocess.size)
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, size, np.uint8))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def with_threads(n: int, encoder: Encoder, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
    torch.set_num_threads(n)
    return encode_padded(encoder, pixels, BATCH)


@pytest.mark.parametrize("n", [1, 2, 5, 10, 15, 16, 17, 31])
def test_a_short_batch_has_the_rows_of_a_full_one_with_any_number_of_threads(
    demo: Encoder, pixels: torch.Tensor, n: int
) -> None:
    full = with_threads(1, demo, pixels)
    for threads in (1, 2, 3):
        assert np.array_equal(with_threads(threads, demo, pixels[:n]), full[:n])


def test_black_pictures_are_added_up_to_16_and_never_beyond_a_full_batch(tiny_encoder: Encoder) -> None:
    lengths = [(1, 32), (16, 32), (17, 32), (32, 32), (3, 8), (8, 8), (20, 24), (9, 10), (0, 32)]
    assert [padded_length(*pair) for pair in lengths] == [16, 16, 32, 32, 8, 8, 24, 10, 0]
    encoder = Counting(tiny_encoder)
    pixels = torch.zeros((3, 3, 32, 32), dtype=torch.uint8)
    assert encode_padded(encoder, pixels, 8).shape == (3, tiny_encoder.dim)
    assert encoder.count == 0 and len(pixels) == 3
    assert encode_padded(encoder, pixels[:0], 8).shape == (0, tiny_encoder.dim)


@pytest.mark.parametrize(
    ("n", "lost", "pictures"),
    [
        (15, 1, "16 pictures (1 of them black"),
        (3, 1, "16 pictures (13 of them black"),
        (9, 7, "16 pictures"),
        (15, -1, "17, 32"),
    ],
)
def test_a_lost_or_added_vector_is_refused_though_enough_are_left(
    n: int, lost: int, pictures: str, tiny_encoder: Encoder
) -> None:
    class Loses(Counting):
        def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
            vectors = super().encode_images(pixels)
            return np.concatenate([vectors, vectors])[max(lost, 0) : len(vectors) - min(lost, 0)]

    pixels = torch.zeros((n, 3, 32, 32), dtype=torch.uint8)
    with pytest.raises(ImindexError, match=re.escape(pictures)):
        encode_padded(Loses(tiny_encoder), pixels, BATCH)


def test_vectors_that_are_none_are_refused_as_such(tiny_encoder: Encoder) -> None:
    class Empty(Counting):
        def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
            return None  # type: ignore[return-value]

    pixels = torch.zeros((15, 3, 32, 32), dtype=torch.uint8)
    with pytest.raises(ImindexError, match=r"returned NoneType for 16 pictures .*Fix its encode_images"):
        encode_padded(Empty(tiny_encoder), pixels, BATCH)


def test_pictures_without_direction_are_kept_in_a_filled_batch(tiny_encoder: Encoder) -> None:
    class Blind(Counting):
        def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
            return np.full((len(pixels), tiny_encoder.dim), np.nan, np.float16)

    pixels = torch.zeros((15, 3, 32, 32), dtype=torch.uint8)
    assert np.isnan(encode_padded(Blind(tiny_encoder), pixels, BATCH)).shape == (15, tiny_encoder.dim)
