"""JPEG 2000: colour of more than 8 bits is refused, because Pillow wraps its bright samples around to black."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import pillow
from imindex.indexer.decode.limits import Limits

LOSSLESS = (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)


def encoded(values: np.ndarray) -> bytes:
    return cv2.imencode(".jp2", values, LOSSLESS)[1].tobytes()


@pytest.mark.parametrize("level", [0, 30000, 65407, 65408, 65535])
def test_colour_of_16_bits_is_refused(level: int) -> None:
    data = encoded(np.full((40, 50, 3), level, np.uint16))
    with pytest.raises(BadPicture, match="JPEG 2000 with 16 bits per colour sample"):
        pillow.read(data, Limits())


def test_other_pictures_are_read_exactly() -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert np.array_equal(pillow.read(encoded(colour), Limits()), colour[..., ::-1])
    grey = np.tile(np.linspace(0, 65535, 50).astype(np.uint16), (40, 1))
    read = np.array(pillow.read(encoded(grey), Limits())).astype(int)
    assert np.abs(read - grey[..., None] / 257).max() <= 1
